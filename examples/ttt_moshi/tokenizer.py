"""From samples to audio codes: Mimi where it is there, a small deterministic tokenizer where it is not."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tttcfg
from tttcfg import InputError, Problem

from .evaluation.streams import Tokenizer
from .moshi_model import moshi_module

FRAME_RATE = 12.5
SAMPLE_RATE = 24_000
MIMI = "moshi_paths.mimi_path"


class MelTokenizer:
    """A deterministic tokenizer without weights: mel cepstra of each frame, two to a codebook, on a fixed grid.

    It keeps what distinguishes sounds, and cannot be decoded to audio. Codebook k takes cepstra 2k and 2k + 1;
    the first of all is the loudness. Each is divided by its typical size, and its range is cut into `floor(sqrt(card))`
    equal parts.
    """

    sample_rate = SAMPLE_RATE
    bands, typical, window = 40, 4.0, 1024

    def __init__(self, codebooks: int, card: int) -> None:
        self.codebooks, self.card = codebooks, card
        self.levels = math.isqrt(card)
        self.filters = _mel_filters(self.bands, self.window, self.sample_rate)
        order = torch.arange(2 * codebooks, dtype=torch.float64)[:, None]
        places = (torch.arange(self.bands, dtype=torch.float64) + 0.5) / self.bands
        self.cosines = torch.cos(math.pi * order * places) * math.sqrt(2 / self.bands)

    def encode(self, samples: Tensor) -> Tensor:
        step = int(self.sample_rate / FRAME_RATE)
        frames = max(1, math.ceil(len(samples) / step))
        padded = torch.zeros(frames * step + self.window, dtype=torch.float64)
        padded[: len(samples)] = samples.double()
        windows = padded.unfold(0, self.window, step // 4)[: frames * 4]
        power = torch.fft.rfft(windows * torch.hann_window(self.window, dtype=torch.float64)).abs().square()
        mel = (power @ self.filters.T).view(frames, 4, self.bands).mean(dim=1)
        cepstra = torch.log(mel + 1e-5) @ self.cosines.T
        cepstra[:, 0] += 12.0  # the logarithm of quiet speech, times the sum of the cosines, lies around it
        grid = ((cepstra / self.typical + 1) / 2 * self.levels).floor().clamp(0, self.levels - 1).long()
        return (grid[:, 0::2] * self.levels + grid[:, 1::2]).T.contiguous()

    def describe(self) -> dict[str, Any]:
        settings = {"codebooks": self.codebooks, "card": self.card, "levels": self.levels, "bands": self.bands}
        return {"name": "mel-grid", "version": 1, "sample_rate": SAMPLE_RATE, "frame_rate": FRAME_RATE, **settings}


def _mel_filters(bands: int, window: int, sample_rate: int) -> Tensor:
    """Return triangles that sum a spectrum up into mel bands [bands, window / 2 + 1]."""
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, bands + 2, dtype=torch.float64) / 2595) - 1)
    hertz = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


class MimiTokenizer:
    """kyutai's Mimi, from the `moshi` package and a local file of its weights; it computes on the CPU.

    Raises:
        InputError: The package is missing, the file is not Mimi's, or Mimi has not so many codebooks.
    """

    def __init__(self, path: Path, codebooks: int) -> None:
        loaders = moshi_module("moshi.models.loaders", MIMI)
        if not path.is_file():
            raise InputError(Problem("not_found", "there is no such file", MIMI, str(path)))
        if path.suffix != ".safetensors":  # moshi would unpickle it, and run what is in it
            raise InputError(Problem("rejected", "is no .safetensors file", MIMI, str(path)))
        try:
            self.mimi = loaders.get_mimi(path, device="cpu", num_codebooks=codebooks)
        except Exception as error:  # safetensors, torch and moshi each raise their own
            message = f"is no Mimi with {codebooks} codebooks: {' '.join(str(error).split())[:200]}"
            raise InputError(Problem("rejected", message, MIMI, str(path))) from None
        self.sample_rate, self.codebooks, self.card = self.mimi.sample_rate, codebooks, self.mimi.cardinality
        self.weights = hashlib.sha256(path.read_bytes()).hexdigest()

    def encode(self, samples: Tensor) -> Tensor:
        frame = int(self.sample_rate / FRAME_RATE)
        padded = torch.nn.functional.pad(samples, (0, max(0, frame - len(samples))))  # Mimi takes a frame at least
        with torch.no_grad():
            codes: Tensor = self.mimi.encode(padded[None, None].float())[0]
        return codes

    def describe(self) -> dict[str, Any]:
        return {"name": "mimi", "weights": f"sha256:{self.weights}", "codebooks": self.codebooks, "card": self.card}


def audio_tokenizer(model_config: Mapping[str, Any], training: tttcfg.TrainingArgs) -> Tokenizer:
    """Return Mimi where `moshi_paths.mimi_path` names its weights, the small tokenizer otherwise.

    Raises:
        InputError: Mimi is asked for and cannot be had.
    """
    codebooks, path = model_config.get("dep_q", model_config["n_q"]), training.moshi_paths.mimi_path
    if path is None:
        return MelTokenizer(codebooks, model_config["card"])
    mimi = MimiTokenizer(Path(path), codebooks)
    if mimi.card > model_config["card"]:
        message = f"has {mimi.card} tokens in a codebook, and the model's card is {model_config['card']}"
        raise InputError(Problem("model_config", message, MIMI, str(path)))
    return mimi
