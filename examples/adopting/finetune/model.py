"""A small language model over a text stream and audio streams, which stands in for moshi's LMModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional


class LMOutput(NamedTuple):
    text_logits: torch.Tensor  # [B, 1, T, text_card]
    logits: torch.Tensor  # [B, n_q, T, card]


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-8) * self.alpha


class Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int, context: int) -> None:
        super().__init__()
        self.in_projs = nn.ModuleList([nn.Linear(dim, 3 * dim, bias=False)])
        self.out_projs = nn.ModuleList([nn.Linear(dim, dim, bias=False)])
        self.num_heads, self.context = num_heads, context

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.in_projs[0](x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril().triu(1 - self.context)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: torch.Tensor = self.out_projs[0](mixed.transpose(1, 2).flatten(-2))
        return out


class Gating(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(dim, 2 * hidden, bias=False)
        self.linear_out = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.linear_in(x).chunk(2, dim=-1)
        out: torch.Tensor = self.linear_out(functional.silu(gate) * value)
        return out


class Layer(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim = config["dim"]
        self.self_attn = Attention(dim, config["num_heads"], config["context"])
        self.norm1, self.norm2, self.gating = RMSNorm(dim), RMSNorm(dim), Gating(dim, 2 * dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.feed_forward_block(self.attention_block(x))

    def attention_block(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.self_attn(self.norm1(x))
        return out

    def feed_forward_block(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.gating(self.norm2(x))
        return out


class Transformer(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_layers"]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class LMModel(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, self.card, self.text_card = config["dim"], config["card"], config["text_card"]
        self.emb = nn.ModuleList(nn.Embedding(self.card + 1, dim) for _ in range(config["n_q"]))
        self.text_emb = nn.Embedding(self.text_card + 1, dim)
        self.transformer, self.out_norm = Transformer(config), RMSNorm(dim)
        self.text_linear = nn.Linear(dim, self.text_card, bias=False)
        self.linears = nn.ModuleList(nn.Linear(dim, self.card, bias=False) for _ in self.emb)

    def forward(self, codes: torch.Tensor) -> LMOutput:
        """Return the logits of every token of codes [B, 1 + n_q, T], from what comes before it."""
        shifted = functional.pad(codes[..., :-1], (1, 0))
        shifted[:, :1, 0], shifted[:, 1:, 0] = self.text_card, self.card
        x = self.text_emb(shifted[:, 0])
        for stream, emb in enumerate(self.emb, 1):
            x = x + emb(shifted[:, stream])
        hidden = self.out_norm(self.transformer(x))
        audio = torch.stack([linear(hidden) for linear in self.linears], dim=1)
        return LMOutput(self.text_linear(hidden)[:, None], audio)
