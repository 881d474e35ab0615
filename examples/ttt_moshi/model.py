"""`TinyMoshi`: a small language model over one text stream and several audio streams, as Moshi is one.

What it shares with `moshi.models.lm.LMModel`: names and shapes of its tensors, delays, initial and zero tokens, what
goes in and what comes out. What it leaves out: the depformer. The audio streams of one step are predicted at once, by
`linears.k` on the transformer's output, not one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import tttcfg
from tttcfg import InputError, Problem
from tttcfg import nn as tttnn

from .moshi_model import build_moshi, is_moshi, lora_linear
from .transformer import RMSNorm, Transformer, streaming

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class LMOutput:
    """Logits of every stream, aligned with the codes that they predict; NaN where the mask is False.

    Shapes: logits [B, dep_q, T, card], mask [B, dep_q, T], text_logits [B, 1, T, text_card], text_mask [B, 1, T].
    """

    logits: Tensor
    mask: Tensor
    text_logits: Tensor
    text_mask: Tensor


class Embedding(nn.Embedding):
    """An embedding of tokens in which -1, the zero token, is zero."""

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = super().forward(tokens.clamp(min=0))
        return torch.where((tokens == TinyMoshi.zero_token_id)[..., None], torch.zeros_like(embedded), embedded)


class TinyMoshi(nn.Module):
    """The model that a config.json describes.

    Args:
        config: `dim`, `num_heads`, `num_layers`, `context` (tokens), `n_q` audio streams, `card` and `text_card` tokens
            of an audio and of the text stream, `delays` (tokens, text first), and where they are not Moshi's
            `max_period`, `hidden_scale`, `dep_q` (audio streams that are predicted), `existing_text_padding_id`.

    Raises:
        InputError: A key is missing, or values do not fit together.
    """

    zero_token_id = -1
    audio_offset = 1
    end_of_text_padding_id = 0

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        check_config(config)
        self.n_q, self.card, self.text_card = config["n_q"], config["card"], config["text_card"]
        self.dep_q: int = config.get("dep_q", self.n_q)
        self.delays: list[int] = list(config["delays"])
        self.existing_text_padding_id: int = config.get("existing_text_padding_id", 3)
        self.text_initial_token_id, self.initial_token_id = self.text_card, self.card
        dim = config["dim"]
        self.emb = nn.ModuleList(Embedding(self.card + 1, dim) for _ in range(self.n_q))
        self.text_emb = Embedding(self.text_card + 1, dim)
        self.transformer = Transformer(
            dim,
            config["num_heads"],
            config["num_layers"],
            config["context"],
            config.get("max_period", 10_000.0),
            config.get("hidden_scale", 4.0),
        )
        self.out_norm = RMSNorm(dim)
        self.text_linear = nn.Linear(dim, self.text_card, bias=False)
        self.linears = nn.ModuleList(nn.Linear(dim, self.card, bias=False) for _ in range(self.dep_q))
        self.apply(_initialise)

    @property
    def text_padding_token_id(self) -> int:
        """The text token of a step in which no text begins."""
        return self.existing_text_padding_id

    def forward(self, codes: Tensor) -> LMOutput:
        """Return the logits of `codes` [B, n_q + 1, T], each from what comes before it."""
        delayed = self.delayed(codes)
        hidden, text_logits = self.forward_text(delayed[:, :, :-1])
        logits = self.forward_depformer_training(delayed[:, :, 1:], hidden)
        return self.undelayed(logits, text_logits, codes)

    def delayed(self, codes: Tensor) -> Tensor:
        """Return what goes in, step by step [B, n_q + 1, T + 1]: initial tokens, then `codes`, each stream delayed."""
        initial = self._get_initial_token().expand(codes.shape[0], -1, -1)
        length = codes.shape[2]
        lines = []
        for stream, delay in enumerate(self.delays):
            start = initial[:, stream].expand(-1, 1 + min(delay, length))
            lines.append(torch.cat([start, codes[:, stream, : max(0, length - delay)]], dim=1))
        return torch.stack(lines, dim=1)

    def undelayed(self, logits: Tensor, text_logits: Tensor, codes: Tensor) -> LMOutput:
        """Return the logits of delayed steps aligned with `codes`; what would lie beyond the end is masked."""
        audio = slice(self.audio_offset, self.audio_offset + self.dep_q)
        text_logits, text_mask = _undelay(text_logits, self.delays[:1])
        logits, mask = _undelay(logits, self.delays[audio])
        mask &= codes[:, audio] != self.zero_token_id
        text_mask &= codes[:, :1] != self.zero_token_id
        return LMOutput(logits, mask, text_logits, text_mask)

    def forward_text(self, delayed: Tensor) -> tuple[Tensor, Tensor]:
        """Return the transformer's output [B, t, dim] and the text logits [B, 1, t, text_card] of delayed steps."""
        x = self.text_emb(delayed[:, 0])
        for stream, embedding in enumerate(self.emb, self.audio_offset):
            x = x + embedding(delayed[:, stream])
        hidden = self.out_norm(self.transformer(x))
        return hidden, self.text_linear(hidden)[:, None]

    def forward_depformer_training(self, delayed_next: Tensor, hidden: Tensor) -> Tensor:
        """Return the audio logits [B, dep_q, t, card]; the heads are parallel, so `delayed_next` is not looked at."""
        del delayed_next
        return torch.stack([linear(hidden) for linear in self.linears], dim=1)

    def streaming(self, batch_size: int) -> AbstractContextManager[None]:
        """Take consecutive calls of `forward_text` as pieces of one sequence; see also `tttcfg.nn.carrying_states`."""
        del batch_size
        return streaming(self)

    def _get_initial_token(self) -> Tensor:
        tokens = [self.text_initial_token_id, *[self.initial_token_id] * self.n_q]
        return torch.tensor(tokens, device=self.text_emb.weight.device)[None, :, None]


def _undelay(logits: Tensor, delays: Sequence[int]) -> tuple[Tensor, Tensor]:
    length = logits.shape[2]
    mask = torch.ones(logits.shape[:3], dtype=torch.bool, device=logits.device)
    lines = []
    for stream, delay in enumerate(delays):
        beyond = torch.full_like(logits[:, stream, :delay], torch.nan)
        lines.append(torch.cat([logits[:, stream, delay:], beyond], dim=1))
        mask[:, stream, max(0, length - delay) :] = False
    return torch.stack(lines, dim=1), mask


def _initialise(module: nn.Module) -> None:
    """Draw weights as Moshi does: normal, of the inputs' variance, cut off at three standard deviations."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        std = module.weight.shape[1] ** -0.5
        nn.init.trunc_normal_(module.weight, std=std, a=-3 * std, b=3 * std)


def check_config(config: Mapping[str, Any]) -> None:
    """Raise an InputError with everything that is wrong with a config.json of this model."""
    problems = list(_config_problems(config))
    if problems:
        raise InputError(problems)


def _config_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("dim", "num_heads", "num_layers", "context", "n_q", "card", "text_card"):
        value = config.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield Problem("model_config", f"is {value!r}, and has to be a positive whole number", key)
            return
    if config["dim"] % (2 * config["num_heads"]):
        yield Problem("model_config", f"{config['dim']} is no even number of channels for each head", "dim")
    delays = config.get("delays")
    if not isinstance(delays, list) or len(delays) != config["n_q"] + 1 or any(type(one) is not int for one in delays):
        yield Problem("model_config", f"are {delays!r}, and have to be n_q + 1 whole numbers, text first", "delays")


def build(
    config: Mapping[str, Any],
    effective: tttcfg.Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig],
    base: str | os.PathLike[str] | None = None,
) -> TinyMoshi:
    """Return the model of an effective configuration: TTT layers and LoRA put in, in param_dtype.

    Args:
        config: The model's config.json; one with a depformer is the real Moshi's, whose LMModel has every attribute of
            `TinyMoshi` that the programs use.
        base: A safetensors file with the weights of the plain model; left out, they are drawn from the seed.

    Raises:
        InputError: config.json is no model's, or `base` holds another one's weights.
    """
    training = effective.training
    torch.manual_seed(training.seed)
    real, dtype = is_moshi(config), DTYPES[training.param_dtype]
    check_config(config)
    model: Any = build_moshi(config, dtype) if real else TinyMoshi(config)
    if base is not None:
        load_base(model, base)
    if effective.ttt is not None:
        tttnn.add_ttt(model.transformer.layers, effective.ttt)
    if training.lora.enable:
        make = lora_linear if real else tttnn.LoRALinear
        tttnn.add_lora(model, training.lora.rank, training.lora.scaling, make=make)
    return model.to(dtype)  # type: ignore[no-any-return]


def load_base(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load the weights of a plain model, strictly."""
    place = os.fspath(path)
    try:
        model.load_state_dict(load_file(place))
    except OSError as error:
        raise InputError(Problem("not_found", f"cannot be read: {error}", "moshi_paths.moshi_path", place)) from None
    except Exception as error:  # safetensors and torch each raise their own
        message = f"is no base model of this config.json: {' '.join(str(error).split())[:200]}"
        raise InputError(Problem("weights", message, "moshi_paths.moshi_path", place)) from None
