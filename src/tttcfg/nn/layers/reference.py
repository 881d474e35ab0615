"""What a TTT layer computes, stated plainly: the fast path is tested against it, and so are kernels.

One sequence and one head at a time, every operation in float64 and rounded to the type that the real code has there,
and the inner gradient by automatic differentiation of the inner loss as it is written. Nothing is shared with the fast
path but the names of parameters, and the types of what a scan is given. Written from what the Moshi TTT trainer's code
was seen to compute; that follows ttt-video-dit's `ttt_layer.py` and `ops/`, and the TTT paper (arXiv 2407.04620).
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from tttcfg.nn.layers.scan import ScanInputs, ScanOptions, State, inner_names
from tttcfg.ttt_moshi.ttt_config import TTTConfig


def reference_scan(state: State, inputs: ScanInputs, options: ScanOptions) -> tuple[torch.Tensor, State]:
    """Return the outputs and the last state of the inner scan, in float64; differentiable by everything.

    Outputs are rounded to the dtype of the queries, the state to its own after every mini-batch.
    """
    kept, shown, within = state[0].dtype, inputs.queries.dtype, options.dtype
    state, tensors = tuple(one.double() for one in state), tuple(one.double() for one in inputs)
    outputs, states = [], []
    for sequence, head in torch.cartesian_prod(*map(torch.arange, inputs.queries.shape[:2])).tolist():
        queries, keys, targets, eta = (tensor[sequence, head] for tensor in tensors[:4])
        norm = tensors[4][head], tensors[5][head], options.norm_eps
        weights = [one[sequence, head] for one in state]
        for batch in range(len(queries)):
            aims = _rounded(targets[batch] - keys[batch], within)
            misses = _inner(weights, keys[batch], norm, within) - aims
            loss = (eta[batch] * misses.square().sum(dim=-1) / 2).sum()
            steps = torch.autograd.grad(loss, weights, create_graph=True)
            stepped = [_rounded(one - step, within) for one, step in zip(weights, steps, strict=True)]
            read = stepped
            if options.read_twice:
                read = [_rounded(one - step, within) for one, step in zip(stepped, steps, strict=True)]
            output = _rounded(queries[batch] + _inner(read, queries[batch], norm, within), within)
            outputs.append(_rounded(output, shown))
            weights = [_rounded(one, kept) for one in stepped]
        states.append(weights)
    shape = inputs.queries.shape
    last = (torch.stack(one).reshape(*shape[:2], *one[0].shape) for one in zip(*states, strict=True))
    return torch.stack(outputs).reshape(shape), tuple(last)


def _rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return values.to(dtype).double()


def _inner(
    weights: list[torch.Tensor],
    tokens: torch.Tensor,
    norm: tuple[torch.Tensor, torch.Tensor, float],
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return LN(f(tokens)), with gelu in its tanh form between the layers of f."""
    values = _rounded(tokens @ weights[0] + weights[1], dtype)
    for weight, bias in zip(weights[2::2], weights[3::2], strict=True):
        values = _rounded(functional.gelu(values, approximate="tanh"), dtype)
        values = _rounded(values @ weight + bias, dtype)
    weight, bias, eps = norm
    centred = values - values.mean(dim=-1, keepdim=True)
    normal = _rounded(centred / (centred.square().mean(dim=-1, keepdim=True) + eps).sqrt(), dtype)
    return _rounded(weight * normal + bias, dtype)


def reference_layer(config: TTTConfig, parameters: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return the output of a whole TTT layer for tokens x [B, L, D], from the learned inner weights, in float64."""
    dtype: torch.dtype = getattr(torch, config.dtype)
    within = dtype if config.scan_dtype == "parameters" else torch.float32
    kept = dtype if config.state_dtype == "parameters" else within
    own = {name: tensor.to(dtype).double() for name, tensor in parameters.items()}
    (batch, length, _), size = x.shape, config.mini_batch_size
    filled = torch.cat([x.to(dtype).double(), x.new_zeros(batch, -length % size, config.model_dim).double()], dim=1)
    heads = [_head(config, dtype, own, filled, head) for head in range(config.num_heads)]
    inputs = [torch.stack(one, dim=1) for one in zip(*heads, strict=True)]
    tokens = [one.reshape(*one.shape[:2], -1, size, *one.shape[3:]).to(dtype) for one in inputs]
    norm = own["ttt_norm_weight"].to(dtype), own["ttt_norm_bias"].to(dtype)
    names = inner_names(config.inner_layer_sizes)
    with torch.enable_grad():
        learned = tuple(own[name].to(kept).repeat(batch, 1, 1, 1).requires_grad_() for name in names)
        options = ScanOptions(within, config.inner_norm_eps, config.read_out == "twice", 0)
        outputs, _ = reference_scan(learned, ScanInputs(tokens[0], tokens[1], tokens[2], tokens[3], *norm), options)
    return outputs.permute(0, 2, 3, 1, 4).reshape(filled.shape)[:, :length]


def _head(
    config: TTTConfig, dtype: torch.dtype, own: Mapping[str, torch.Tensor], x: torch.Tensor, head: int
) -> list[torch.Tensor]:
    """Return the queries, keys and targets [B, L, d] of one head, and its learning rates [B, L]."""

    def short(values: torch.Tensor) -> torch.Tensor:
        return _rounded(values, dtype)

    def projected(name: str) -> torch.Tensor:
        channels = slice(head * config.head_dim, (head + 1) * config.head_dim)
        return short(x @ own[f"{name}.weight"][channels].T + own[f"{name}.bias"][channels])

    def of_length_one(values: torch.Tensor) -> torch.Tensor:
        return short(values / short(values.square().sum(dim=-1, keepdim=True).sqrt()).clamp_min(1e-12))

    queries, keys = (_turned(config, dtype, of_length_one(projected(name))) for name in ("wq", "wk"))
    difference = short(projected("wv") - keys)
    centred = short(difference - short(difference.mean(dim=-1, keepdim=True)))
    spread = short(short(difference.std(dim=-1, keepdim=True)) + config.reconstruction_eps)
    targets = short(own["ttt_norm_weight"][head] * short(centred / spread))
    targets = short(short(targets + own["ttt_norm_bias"][head]) + keys)
    gate = short(x @ own["learnable_ttt_lr_weight"][head, 0])
    eta = short(config.base_lr * short(torch.sigmoid(short(gate + own["learnable_ttt_lr_bias"][head]))))
    return [queries, keys, targets, short(short(eta / config.head_dim) / config.mini_batch_size)]


def _turned(config: TTTConfig, dtype: torch.dtype, tokens: torch.Tensor) -> torch.Tensor:
    """Return the tokens with rotary positions: neighbouring channels are a complex number, turned token by token."""
    if config.rope_mode == "off":
        return tokens
    pairs = torch.view_as_complex(tokens.reshape(*tokens.shape[:-1], -1, 2))
    frequencies = [config.rope_theta ** (-2 * pair / config.head_dim) for pair in range(pairs.shape[-1])]
    if config.rope_scaling == "audio":
        frequencies = [one * (0.5 + 1.5 * math.exp(-pair / config.head_dim)) for pair, one in enumerate(frequencies)]
    positions = [position % config.mini_batch_size for position in range(pairs.shape[-2])]
    turns = torch.tensor([[cmath.exp(1j * position * one) for one in frequencies] for position in positions])
    return _rounded(_rounded(torch.view_as_real(pairs * turns.to(pairs.dtype)).flatten(-2), torch.float32), dtype)
