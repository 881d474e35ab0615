"""What the tests of the layers are made of: configurations, and a model with Moshi's tensor names that does little."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tttcfg.nn import TTTLayer
from tttcfg.ttt_moshi.ttt_config import TTTConfig

LINEAR, MLP, MULTI, DEEP = (16, 16), (16, 64, 16), (16, 24, 40, 16), (16, 64, 64, 64, 64, 16)


def ttt_config(sizes: tuple[int, ...] = MLP, **changes: Any) -> TTTConfig:
    """Return the configuration of a model 64 wide, with TTT in layers 1 and 2 of 4."""
    values: dict[str, Any] = {
        "inner_model": "mlp" if len(sizes) > 2 else "linear",
        "inner_layer_sizes": sizes,
        "mini_batch_size": 4,
        "base_lr": 8.0,
        "model_dim": 64,
        "num_heads": 4,
        "head_dim": sizes[0],
        "num_layers": 4,
        "layer_indices": (1, 2),
        "ttt_layer_context": 24,
        "non_ttt_layer_context": 12,
        "dtype": "float32",
    }
    return TTTConfig(**{**values, **changes})


def stir(module: nn.Module, seed: int = 0, size: float = 0.3) -> nn.Module:
    """Move every parameter away from where it starts, so that zeros and ones hide nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(size * noise.to(parameter.dtype))
    return module


def layer(config: TTTConfig, seed: int = 0) -> TTTLayer:
    """Return a layer that is the same in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = TTTLayer(config)
    stir(made, seed)
    return made


def tokens(batch: int, length: int, width: int = 64, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(seed))


class Norm(nn.Module):
    """An RMS norm with moshi's parameter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-8) * self.alpha


class Attention(nn.Module):
    """The mean of the last `context` tokens, with the names of an attention."""

    def __init__(self, width: int, steps: int = 1) -> None:
        super().__init__()
        self.in_projs = nn.ModuleList(nn.Linear(width, 3 * width, bias=False) for _ in range(steps))
        self.out_projs = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(steps))
        self.context = 3000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = self.in_projs[0](x).chunk(3, dim=-1)[2]
        seen = torch.ones(x.shape[1], x.shape[1], dtype=x.dtype).tril().triu(1 - self.context)
        found: torch.Tensor = self.out_projs[0]((seen / seen.sum(dim=-1, keepdim=True)) @ values)
        return found


class Gating(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(width, 2 * hidden, bias=False)
        self.linear_out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.linear_in(x).chunk(2, dim=-1)
        found: torch.Tensor = self.linear_out(nn.functional.silu(gate) * value)
        return found


class Layer(nn.Module):
    def __init__(self, width: int, hidden: int, steps: int = 0) -> None:
        super().__init__()
        self.self_attn = Attention(width, steps or 1)
        self.norm1, self.norm2 = Norm(width), Norm(width)
        gates = [Gating(width, hidden) for _ in range(steps or 1)]
        self.gating: nn.Module = nn.ModuleList(gates) if steps else gates[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.feed_forward_block(self.attention_block(x))

    def attention_block(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.self_attn(self.norm1(x))

    def feed_forward_block(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = x + self.gating(self.norm2(x))
        return found


class Stack(nn.Module):
    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for one in self.layers:
            x = one(x)
        return x


class Skeleton(nn.Module):
    """All tensors of moshi 0.2.13's LMModel 64 wide, with 4 layers, n_q 4 and dep_q 2; forward takes token vectors."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.transformer = Stack(*(Layer(width, 21 * width // 8) for _ in range(4)))
        self.depformer = Stack(Layer(32, 42, steps=2))
        self.depformer_in = nn.ModuleList(nn.Linear(width, 32, bias=False) for _ in range(2))
        self.depformer_emb = nn.ModuleList([nn.Embedding(33, 32)])
        self.depformer_text_emb = nn.Embedding(51, 32)
        self.emb = nn.ModuleList(nn.Embedding(33, width) for _ in range(4))
        self.text_emb = nn.Embedding(51, width)
        self.text_linear = nn.Linear(width, 50, bias=False)
        self.linears = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(2))
        self.out_norm = Norm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.text_linear(self.out_norm(self.transformer(x)))
        return logits
