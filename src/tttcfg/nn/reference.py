"""What a TTT layer computes, stated plainly in float64: the fast path is tested against it, and so are kernels.

One sequence and one head at a time, and the inner gradient by automatic differentiation of the inner loss as it is
written, so nothing is shared with the fast path but the names of the parameters. Sources: the TTT paper (arXiv
2407.04620); ttt-video-dit's `ttt_layer.py` and `ops/`; where the Moshi TTT trainer differs, the trainer.
"""

from __future__ import annotations

import cmath
from collections.abc import Mapping

import torch
from torch.nn import functional

from tttcfg.nn.inner import NORM_EPS, State, inner_names
from tttcfg.nn.scan import ScanInputs
from tttcfg.ttt_moshi.ttt_config import TTTConfig


def reference_scan(state: State, inputs: ScanInputs) -> tuple[torch.Tensor, State]:
    """Return the outputs and the last state of the inner scan, in float64; differentiable by everything."""
    state, inputs = tuple(one.double() for one in state), ScanInputs(*(one.double() for one in inputs))
    outputs, states = [], []
    for sequence, head in torch.cartesian_prod(*map(torch.arange, inputs.queries.shape[:2])).tolist():
        queries, keys, targets, eta = (tensor[sequence, head] for tensor in inputs[:4])
        norm = inputs.norm_weight[head], inputs.norm_bias[head]
        weights = [one[sequence, head] for one in state]
        for batch in range(len(queries)):
            misses = _read(weights, keys[batch], norm) - (targets[batch] - keys[batch])
            loss = (eta[batch] * misses.square().sum(dim=-1) / 2).sum()
            slopes = torch.autograd.grad(loss, weights, create_graph=True)
            weights = [one - slope for one, slope in zip(weights, slopes, strict=True)]
            outputs.append(queries[batch] + _read(weights, queries[batch], norm))
        states.append(weights)
    shape = inputs.queries.shape
    last = (torch.stack(one).reshape(*shape[:2], *one[0].shape) for one in zip(*states, strict=True))
    return torch.stack(outputs).reshape(shape), tuple(last)


def _read(weights: list[torch.Tensor], tokens: torch.Tensor, norm: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return LN(f(tokens)), with gelu in its tanh form between the layers of f."""
    values = tokens @ weights[0] + weights[1]
    for weight, bias in zip(weights[2::2], weights[3::2], strict=True):
        values = functional.gelu(values, approximate="tanh") @ weight + bias
    return functional.layer_norm(values, values.shape[-1:], *norm, eps=NORM_EPS)


def reference_layer(config: TTTConfig, parameters: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return the output of a whole TTT layer for tokens x [B, L, D], from the learned inner weights, in float64."""
    own = {name: tensor.double() for name, tensor in parameters.items()}
    (batch, length, _), size = x.shape, config.mini_batch_size
    filled = torch.cat([x.double(), x.new_zeros(batch, -length % size, config.model_dim).double()], dim=1)
    heads = [_head(config, own, filled, head) for head in range(config.num_heads)]
    inputs = [torch.stack(one, dim=1) for one in zip(*heads, strict=True)]
    queries, keys, targets, eta = (one.reshape(*one.shape[:2], -1, size, *one.shape[3:]) for one in inputs)
    state = [own[name] for name in inner_names(config.inner_layer_sizes)]
    with torch.enable_grad():
        scanned = ScanInputs(queries, keys, targets, eta, own["ttt_norm_weight"], own["ttt_norm_bias"])
        learned = tuple(one.repeat(batch, 1, 1, 1).requires_grad_() for one in state)
        outputs, _ = reference_scan(learned, scanned)
    return outputs.permute(0, 2, 3, 1, 4).reshape(filled.shape)[:, :length]


def _head(config: TTTConfig, own: Mapping[str, torch.Tensor], x: torch.Tensor, head: int) -> list[torch.Tensor]:
    """Return the queries, keys and targets [B, L, d] of one head, and its learning rates [B, L]."""
    channels = slice(head * config.head_dim, (head + 1) * config.head_dim)
    queries, keys, values = (x @ own[f"{name}.weight"][channels].T + own[f"{name}.bias"][channels] for name in _QKV)
    queries, keys = (_turned(config, functional.normalize(one, dim=-1)) for one in (queries, keys))
    difference = values - keys
    spread = difference.std(dim=-1, keepdim=True) + config.reconstruction_eps
    normal = (difference - difference.mean(dim=-1, keepdim=True)) / spread
    targets = own["ttt_norm_weight"][head] * normal + own["ttt_norm_bias"][head] + keys
    gate = torch.sigmoid(x @ own["learnable_ttt_lr_weight"][head, 0] + own["learnable_ttt_lr_bias"][head])
    return [queries, keys, targets, config.base_lr * gate / config.head_dim / config.mini_batch_size]


_QKV = ("wq", "wk", "wv")


def _turned(config: TTTConfig, tokens: torch.Tensor) -> torch.Tensor:
    """Return the tokens with rotary positions: neighbouring channels are a complex number, turned token by token."""
    if config.rope_mode == "off":
        return tokens
    pairs = torch.view_as_complex(tokens.reshape(*tokens.shape[:-1], -1, 2))
    turns = [
        [
            cmath.exp(1j * (position % config.mini_batch_size) * config.rope_theta ** (-2 * pair / config.head_dim))
            for pair in range(pairs.shape[-1])
        ]
        for position in range(pairs.shape[-2])
    ]
    return torch.view_as_real(pairs * torch.tensor(turns, dtype=pairs.dtype)).flatten(-2)
