"""Which implementations of the inner scan can run a configuration, and which one `auto` takes.

Only what a configuration decides is here. The hardware is not known when one is resolved, so each kernel
names what it runs on; `tttcfg.nn.layers.kernels` checks what is there. `scan_checkpoint_group_size` is no limit:
Video-DiT clamps it to what the kernels take, 0 included. Neither is causality: none of them masks a mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tttcfg.errors import Problem
from tttcfg.ttt_moshi.ttt_config import TTTConfig

SHARED = "ttt.tensor_parallel_size"
TILE = 64
"""Channels of a head, and tokens of a mini-batch, that ThunderKittens is compiled for."""


class Limit(NamedTuple):
    """One thing a kernel needs of a configuration.

    `found` returns what is there instead, from the configuration and the tokens of a sequence; "" where it is met.
    """

    needs: str
    found: Callable[[TTTConfig, int], str]
    key: str = "ttt.kernel"


class Implementation(NamedTuple):
    """A kernel: what it runs on, and its limits."""

    runs_on: str
    limits: tuple[Limit, ...]


class Choice(NamedTuple):
    """The kernel that `auto` takes, and what rules out each one that was tried.

    Where all are ruled out, it is the last, torch, which has the fewest limits, and `unmet` holds those.
    """

    name: str
    ruled_out: Mapping[str, list[Problem]]

    @property
    def unmet(self) -> list[Problem]:
        return self.ruled_out.get(self.name, [])

    def __str__(self) -> str:
        taken = f"auto takes {self.name}, which runs on {KERNELS[self.name].runs_on}"
        reasons = [
            f"{name} needs " + ", ".join(one.message.removeprefix(f"{name} needs ") for one in unmet)
            for name, unmet in self.ruled_out.items()
        ]
        return "; ".join(["auto finds no kernel" if self.unmet else taken, *reasons])


def needs(kernel: str, what: str, key: str = "ttt.kernel") -> Problem:
    """Return the problem that a kernel needs something that is not so."""
    return Problem("contradiction", f"{kernel} needs {what}", key)


def unmet_limits(kernel: str, config: TTTConfig, tokens: int) -> list[Problem]:
    """Return every limit of `kernel` that `config` does not meet, with sequences of `tokens` tokens.

    `config` may lack dimensions that are not known; a limit on one of those is met.
    """
    return [
        needs(kernel, f"{limit.needs} (not {found})", limit.key)
        for limit in KERNELS[kernel].limits
        if (found := _found(limit, config, tokens))
    ]


def _found(limit: Limit, config: TTTConfig, tokens: int) -> str:
    try:
        return limit.found(config, tokens)
    except AttributeError:
        return ""


def choose(config: TTTConfig, tokens: int, unusable: Callable[[str], list[Problem]] = lambda _: []) -> Choice:
    """Return the first of `KERNELS` whose limits `config` meets, and that `unusable` does not rule out by its name."""
    ruled_out: dict[str, list[Problem]] = {}
    for name in KERNELS:
        if not (unmet := unmet_limits(name, config, tokens) or unusable(name)):
            break
        ruled_out[name] = unmet
    return Choice(name, ruled_out)


def declare(name: str, implementation: Implementation) -> None:
    """Add what the kernel of another package can run; `auto` tries it before those that are known already."""
    known = dict(KERNELS)
    KERNELS.clear()
    KERNELS.update({name: implementation, **known})


def _exactly(field: str, value: float | str) -> Limit:
    def found(config: TTTConfig, _tokens: int) -> str:
        actual = getattr(config, field)
        return "" if actual == value else str(actual)

    return Limit(f"{field} {value}", found)


def _power_of_two(field: str) -> Limit:
    def found(config: TTTConfig, _tokens: int) -> str:
        actual: int = getattr(config, field)
        return "" if actual >= 16 and actual & (actual - 1) == 0 else str(actual)

    return Limit(f"{field} a power of two of at least 16", found)


def _short_scan(config: TTTConfig, _tokens: int) -> str:
    return config.dtype if "float32" not in (config.scan_dtype, config.dtype) else ""


def _rounded_state(config: TTTConfig, _tokens: int) -> str:
    return "" if config.state_dtype == "scan" or config.dtype == "float32" else f"rounded to {config.dtype}"


def _is_multi_layer(config: TTTConfig) -> bool:
    return len(config.inner_layer_sizes) > 3


def _not_two_layers(config: TTTConfig, _tokens: int) -> str:
    if config.inner_model == "linear":
        return "TTT-Linear"
    return str(len(config.inner_layer_sizes) - 1) if _is_multi_layer(config) else ""


def _other_width(config: TTTConfig, _tokens: int) -> str:
    if len(config.inner_layer_sizes) != 3:  # which `_not_two_layers` reports
        return ""
    head_dim, width, _ = config.inner_layer_sizes
    return "" if width == 4 * head_dim else f"{width} for head_dim {head_dim}"


def _rest(config: TTTConfig, tokens: int) -> str:
    return f"{tokens} tokens by {config.mini_batch_size}" if tokens % config.mini_batch_size else ""


def _heads_left_over(config: TTTConfig, _tokens: int) -> str:
    left_over = config.num_heads % config.tensor_parallel_size
    return f"{config.num_heads} heads on {config.tensor_parallel_size} ranks" if left_over else ""


def _multi_layer_shared(config: TTTConfig, _tokens: int) -> str:
    if config.tensor_parallel_size == 1 or not _is_multi_layer(config):
        return ""
    return f"{len(config.inner_layer_sizes) - 1} layers on {config.tensor_parallel_size} ranks"


def _shared(config: TTTConfig, _tokens: int) -> str:
    return "" if config.tensor_parallel_size == 1 else f"on {config.tensor_parallel_size}"


EVERY = (
    Limit("the same number of heads on every rank", _heads_left_over, SHARED),
    Limit("a multi-layer inner MLP whole on one rank", _multi_layer_shared, SHARED),
)
"""Video-DiT shards by head and its `shard_inputs` asserts the number; Moshi's TTTMLPMultiLayer refuses to shard."""
WHOLE = Limit("a sequence of whole mini-batches", _rest)
"""`TTTBase.forward` asserts it; only Moshi's block fills the last one with zeros, and it runs torch alone."""

COMPUTES = (
    _exactly("inner_norm_eps", 1e-6),
    _exactly("read_out", "once"),
    Limit("a scan in float32", _short_scan),
    Limit("a state that stays float32", _rounded_state),
)
"""What is compiled into the fused kernels: `linear_forward.py` of Video-DiT, and `ttt.cu` of ttt-tk, whose backward
pass has 1e-8 in place of 1e-6. Their wrappers cast the state to float32, and it goes on so."""

KERNELS: dict[str, Implementation] = {
    "thunderkittens": Implementation(
        "an H100 (sm_90a) with CUDA 12.3 or later",
        (
            Limit("an inner MLP of 2 layers", _not_two_layers),
            Limit("a hidden width of 4 times head_dim", _other_width),
            _exactly("head_dim", TILE),
            _exactly("mini_batch_size", TILE),
            _exactly("dtype", "bfloat16"),
            *COMPUTES,
            WHOLE,
            *EVERY,
        ),
    ),
    "triton": Implementation(
        "any GPU that Triton supports",
        (
            _exactly("inner_model", "linear"),
            _power_of_two("head_dim"),
            _power_of_two("mini_batch_size"),
            *COMPUTES,
            WHOLE,
            *EVERY,
        ),
    ),
    "torch": Implementation("any device", (Limit("all heads on one rank", _shared, SHARED), *EVERY)),
}
"""In the order in which `auto` tries them.

thunderkittens: ttt-tk's TkMLP. Head width and mini-batch are compile-time tiles; the mini-batch is never checked there,
so another one would be misread. Its caller asserts bfloat16 activations.
triton: TTT-Linear in Triton, whose `tl.arange` takes powers of two and `tl.dot` 16 and more; both dtypes will do.
torch: the scan that Moshi runs; Video-DiT asserts a fused kernel for tensor parallelism.
"""
