"""TTT-MLP between the attention and the feed-forward network of the model's layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from finetune.args import TTTArgs


@dataclass
class TTTConfig:
    model_dim: int = 1024
    num_heads: int = 8
    ttt_base_lr: float = 0.1
    mini_batch_size: int = 16
    gating_alpha_init: float = 0.1


def create_ttt_config(args: TTTArgs, lm_config: dict[str, Any]) -> TTTConfig:
    return TTTConfig(
        model_dim=lm_config["dim"],
        num_heads=lm_config["num_heads"],
        ttt_base_lr=args.base_lr,
        mini_batch_size=args.mini_batch_size,
        gating_alpha_init=args.initial_gating_alpha,
    )


def parse_layers(specification: str, num_layers: int) -> list[int]:
    if specification == "middle":
        return list(range(num_layers // 4, 3 * num_layers // 4))
    return [int(index) for index in specification.split(",")]


class TTTMLP(nn.Module):
    def __init__(self, config: TTTConfig) -> None:
        super().__init__()
        self.base_lr, self.mini_batch_size = config.ttt_base_lr, config.mini_batch_size
        dim, self.num_heads = config.model_dim, config.num_heads
        self.head_dim = dim // self.num_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim) for _ in range(4))
        self.learnable_ttt_lr_weight = nn.Parameter(0.02 * torch.randn(self.num_heads, 1, dim))
        self.learnable_ttt_lr_bias = nn.Parameter(torch.zeros(self.num_heads, 1))
        self.ttt_norm_weight = nn.Parameter(torch.ones(self.num_heads, self.head_dim))
        self.ttt_norm_bias = nn.Parameter(torch.zeros(self.num_heads, self.head_dim))
        self.post_norm = nn.LayerNorm(dim)
        self.W1 = nn.Parameter(0.02 * torch.randn(self.num_heads, self.head_dim, 4 * self.head_dim))
        self.b1 = nn.Parameter(torch.zeros(self.num_heads, 1, 4 * self.head_dim))
        self.W2 = nn.Parameter(0.02 * torch.randn(self.num_heads, 4 * self.head_dim, self.head_dim))
        self.b2 = nn.Parameter(torch.zeros(self.num_heads, 1, self.head_dim))

    @torch.enable_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        filled = functional.pad(x, (0, 0, 0, -x.shape[1] % self.mini_batch_size))
        q, k, v = (self.heads(wide(filled)) for wide in (self.wq, self.wk, self.wv))
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        gate = torch.einsum("blc,hc->bhl", filled, self.learnable_ttt_lr_weight[:, 0]) + self.learnable_ttt_lr_bias
        eta = self.base_lr * torch.sigmoid(gate) / self.head_dim / self.mini_batch_size
        weights = [one.expand(len(x), *one.shape) for one in (self.W1, self.b1, self.W2, self.b2)]
        outputs = []
        mini_batches = (one.split(self.mini_batch_size, dim=2) for one in (q, k, v, eta))
        for queries, keys, values, rates in zip(*mini_batches, strict=True):
            misses = self.inner(weights, keys) - (values - keys)
            loss = (rates * misses.square().sum(dim=-1)).sum() / 2
            slopes = torch.autograd.grad(loss, weights, create_graph=True)
            weights = [one - slope for one, slope in zip(weights, slopes, strict=True)]
            outputs.append(queries + self.inner(weights, queries))
        return torch.cat(outputs, dim=2).transpose(1, 2).flatten(-2)[:, : x.shape[1]]

    def heads(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.view(*tokens.shape[:2], self.num_heads, -1).transpose(1, 2)

    def inner(self, weights: list[torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        hidden = functional.gelu(tokens @ weights[0] + weights[1], approximate="tanh")
        normal = functional.layer_norm(hidden @ weights[2] + weights[3], (self.head_dim,))
        return self.ttt_norm_weight[:, None] * normal + self.ttt_norm_bias[:, None]


class TTTWrapper(nn.Module):
    def __init__(self, config: TTTConfig) -> None:
        super().__init__()
        self.ttt = TTTMLP(config)


class SSMGating(nn.Module):
    def __init__(self, config: TTTConfig) -> None:
        super().__init__()
        self.gating_alpha = nn.Parameter(torch.full((config.model_dim,), config.gating_alpha_init))


class SeqModelingBlock(nn.Module):
    def __init__(self, config: TTTConfig) -> None:
        super().__init__()
        self.ttt_layer = TTTWrapper(config)
        self.forward_ssm_gating, self.backward_ssm_gating = SSMGating(config), SSMGating(config)


class HybridLayer(nn.Module):
    def __init__(self, original_layer: nn.Module, config: TTTConfig) -> None:
        super().__init__()
        self.original_layer, self.seq_modeling_block = original_layer, SeqModelingBlock(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layer: Any = self.original_layer
        x, block = layer.attention_block(x), self.seq_modeling_block
        x = x + torch.tanh(block.forward_ssm_gating.gating_alpha) * block.ttt_layer.ttt(x)
        out: torch.Tensor = layer.feed_forward_block(x)
        return out
