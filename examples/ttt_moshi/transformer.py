"""A causal transformer as Moshi has it: limited context, rotary positions, gated feed-forward, RMS norm, no biases.

Names of modules and parameters are those of `moshi.modules.transformer` and `moshi.modules.gating` (moshi 0.2.13).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint


class RMSNorm(nn.Module):
    """Scales to unit root mean square, computed in float32."""

    eps = 1e-8

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(self.eps + wide.square().mean(dim=-1, keepdim=True))
        return (wide * self.alpha.float() * scale).to(x.dtype)


class Gating(nn.Module):
    """Feed-forward with a SiLU gate; its hidden width is Moshi's, 21/8 of the model's at a scale of 4."""

    def __init__(self, dim: int, hidden_scale: float) -> None:
        super().__init__()
        hidden = (21 * dim) // 8 if hidden_scale == 4 else 2 * int(hidden_scale * dim) // 3
        self.linear_in = nn.Linear(dim, 2 * hidden, bias=False)
        self.linear_out = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.linear_in(x).chunk(2, dim=-1)
        result: Tensor = self.linear_out(silu(gate) * value)
        return result


class Past(NamedTuple):
    """What an attention keeps of the pieces before: keys and values [B, H, t, d], and how many tokens went by."""

    keys: Tensor
    values: Tensor
    tokens: int


class Attention(nn.Module):
    """Causal self-attention over the last `context` tokens, the current one included.

    Attributes:
        context: Tokens that a token sees; may be changed at any time, no parameter depends on it.
        streaming: Whether the next input continues the one before.
    """

    def __init__(self, dim: int, num_heads: int, context: int, max_period: float) -> None:
        super().__init__()
        self.num_heads, self.context, self.max_period = num_heads, context, max_period
        self.in_projs = nn.ModuleList([nn.Linear(dim, 3 * dim, bias=False)])
        self.out_projs = nn.ModuleList([nn.Linear(dim, dim, bias=False)])
        self.streaming = False
        self.past: Past | None = None

    def forward(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        offset = self.past.tokens if self.past else 0
        projected = self.in_projs[0](x).view(batch, length, 3, self.num_heads, dim // self.num_heads)
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)
        queries, keys = (rotate(one, offset, self.max_period) for one in (queries, keys))
        if self.past is not None:
            keys = torch.cat([self.past.keys, keys], dim=2)
            values = torch.cat([self.past.values, values], dim=2)
        if self.streaming:
            kept = max(0, keys.shape[2] - self.context + 1)  # the next token is one of the context itself
            self.past = Past(keys[:, :, kept:], values[:, :, kept:], offset + length)
        mixed = scaled_dot_product_attention(queries, keys, values, self.mask(length, keys.shape[2], x.device))
        result: Tensor = self.out_projs[0](mixed.transpose(1, 2).reshape(batch, length, dim))
        return result

    def mask(self, queries: int, keys: int, device: torch.device) -> Tensor:
        """Return which keys each query sees [queries, keys]; the last query is as old as the last key."""
        ages = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
        return (ages >= 0) & (ages < self.context)


def rotate(x: Tensor, offset: int, max_period: float) -> Tensor:
    """Apply rotary positions, counted from `offset`, to neighbouring pairs of channels of x [B, H, T, d]."""
    pairs = x.shape[-1] // 2
    exponents = torch.arange(pairs, device=x.device, dtype=torch.float32) * (-2 * math.log(max_period) / x.shape[-1])
    positions = torch.arange(offset, offset + x.shape[2], device=x.device, dtype=torch.float32)
    angles = positions[:, None] * exponents.exp()
    even, odd = x.float().unflatten(-1, (pairs, 2)).unbind(-1)
    turned = (even * angles.cos() - odd * angles.sin(), even * angles.sin() + odd * angles.cos())
    return torch.stack(turned, dim=-1).flatten(-2).to(x.dtype)


class Layer(nn.Module):
    """One transformer layer: attention and feed-forward, each behind a norm and added to its input.

    With `gradient_checkpointing` each block's activations are computed again in the backward pass, and not kept. TTT
    that is put between them has its own (`ttt.scan_checkpoint_group_size`).
    """

    def __init__(self, dim: int, num_heads: int, context: int, max_period: float, hidden_scale: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads, context, max_period)
        self.norm1, self.norm2 = RMSNorm(dim), RMSNorm(dim)
        self.gating = Gating(dim, hidden_scale)
        self.gradient_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        return self.feed_forward_block(self.attention_block(x))

    def attention_block(self, x: Tensor) -> Tensor:
        """Return the input plus what attention makes of it; TTT goes after it."""
        return self._kept_or_not(lambda x: x + self.self_attn(self.norm1(x)), x)

    def feed_forward_block(self, x: Tensor) -> Tensor:
        """Return the input plus what the feed-forward network makes of it."""
        return self._kept_or_not(lambda x: x + self.gating(self.norm2(x)), x)

    def _kept_or_not(self, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        again = self.gradient_checkpointing and self.training
        found: Tensor = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return found


class Transformer(nn.Module):
    """A stack of layers."""

    def __init__(
        self, dim: int, num_heads: int, num_layers: int, context: int, max_period: float, hidden_scale: float
    ) -> None:
        super().__init__()
        layers = (Layer(dim, num_heads, context, max_period, hidden_scale) for _ in range(num_layers))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@contextmanager
def streaming(model: nn.Module) -> Iterator[None]:
    """Take consecutive inputs of `model` as pieces of one sequence; afterwards nothing of them is left."""
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    try:
        for attention in attentions:
            attention.streaming, attention.past = True, None
        yield
    finally:
        for attention in attentions:
            attention.streaming, attention.past = False, None
