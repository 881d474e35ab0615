"""What a model and a tokenizer provide, and recordings as codes in the model's streams."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from tttcfg import InputError, Place, Problem
from tttcfg.ttt_moshi.evaluation import EvaluationArgs

from .audio import read_audio


class Output(Protocol):
    """A model's output, as moshi's LMOutput: logits [B, dep_q, T, card], mask [B, dep_q, T]."""

    logits: Tensor
    mask: Tensor


class Model(Protocol):
    """The part of `moshi.models.lm.LMModel` that is used, on whole sequences or in pieces."""

    n_q: int
    dep_q: int
    card: int
    zero_token_id: int
    initial_token_id: int
    text_initial_token_id: int
    existing_text_padding_id: int
    training: bool

    @property
    def delays(self) -> Sequence[int]: ...
    def __call__(self, codes: Tensor) -> Output: ...
    def forward_text(self, sequence: Tensor) -> tuple[Tensor, Tensor]: ...
    def forward_depformer_training(self, sequence: Tensor, transformer_out: Tensor) -> Tensor: ...
    def streaming(self, batch_size: int) -> AbstractContextManager[Any]: ...
    def train(self, mode: bool = True) -> Any: ...
    def parameters(self) -> Any: ...


class Tokenizer(Protocol):
    """Audio as tokens: `codebooks` streams of `card` different ones, from samples at `sample_rate` Hz."""

    sample_rate: int
    codebooks: int
    card: int

    def encode(self, samples: Tensor) -> Tensor:
        """Return the codes [codebooks, T] of float32 samples [n], 12.5 a second."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return, as JSON values, what determines the codes."""
        ...


@dataclass(frozen=True)
class Streams:
    """Puts recordings into a model's streams: text, one speaker's codebooks, and the other's where the model has two.

    The audio goes to Moshi's own streams, or with `use_user_stream` to the user's. The other speaker's streams hold the
    codes of silence with `use_silence`, as this tokenizer has them, and without it the zero token, which is no input at
    all. The text stream holds padding throughout: no text begins. Only the audio's streams are scored.

    Attributes:
        first: The audio's first stream among the audio streams, counted from 0.
        other: What the other speaker's streams hold; `absent` where the model has one speaker only.
    """

    model: Model
    tokenizer: Tokenizer
    first: int
    other: Literal["absent", "silence codes", "zero token"]

    @property
    def scored(self) -> slice:
        """The audio's streams among those that are predicted, and among the delays and codes without the text."""
        return slice(self.first, self.first + self.tokenizer.codebooks)

    def codes(self, files: Sequence[Path], most: int | None = None) -> Tensor:
        """Return recordings joined into one sequence of codes [1, n_q + 1, T], of `most` positions at most.

        Raises:
            InputError: A recording cannot be read, or is too short for one token.
        """
        parts: list[Tensor] = []
        for file in files:
            parts.append(self._encoded(file))
            if most is not None and sum(part.shape[1] for part in parts) >= most:
                break
        device = next(iter(self.model.parameters())).device
        return torch.cat(parts, dim=1)[None, :, :most].to(device)

    def _encoded(self, file: Path) -> Tensor:
        samples = read_audio(file, self.tokenizer.sample_rate)
        audio = self._tokens(samples, file)
        codes = torch.full((self.model.n_q + 1, audio.shape[1]), self.model.zero_token_id, dtype=torch.int64)
        if self.other == "silence codes":
            silence = self._tokens(torch.zeros_like(samples), file)
            codes[1:] = silence.repeat(self.model.n_q // self.tokenizer.codebooks, 1)
        codes[0] = self.model.existing_text_padding_id
        codes[1:][self.scored] = audio
        return codes

    def _tokens(self, samples: Tensor, file: Path) -> Tensor:
        tokens = self.tokenizer.encode(samples).cpu()
        if tokens.dim() != 2 or tokens.shape[0] != self.tokenizer.codebooks:
            found = list(tokens.shape)
            raise ValueError(f"the tokenizer gives codes of shape {found}, not [{self.tokenizer.codebooks}, T]")
        if not tokens.shape[1]:
            raise InputError(Problem("empty", "is too short for one token", place=Place(str(file))))
        return tokens


def streams_of(model: Model, tokenizer: Tokenizer, settings: EvaluationArgs) -> Streams:
    """Return where audio goes by the configuration.

    Raises:
        InputError: The tokenizer is of another model, or the model does not predict the streams to be scored.
    """
    one, there = tokenizer.codebooks, model.n_q
    if there not in (one, 2 * one) or tokenizer.card > model.card:
        message = (
            f"the tokenizer gives {one} codebooks of {tokenizer.card} tokens, "
            f"and the model has {there} audio streams of {model.card}"
        )
        raise InputError(Problem("model_config", message))
    first = one if settings.use_user_stream else 0
    if first + one > model.dep_q:
        found = f"the model predicts {model.dep_q} of its {there} audio streams"
        key = "evaluation.use_user_stream" if settings.use_user_stream else ""
        raise InputError(Problem("rejected", f"{found}, and not those that would hold the audio", key))
    if there == one:
        return Streams(model, tokenizer, first, "absent")
    return Streams(model, tokenizer, first, "silence codes" if settings.use_silence else "zero token")
