"""Numbers that show what a model computes: log-probabilities of a fixed input, and how far arithmetic moves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from tttcfg.nn.layers.hybrid import carrying_states
from tttcfg.nn.ranks.gather import at_rest, is_sharded
from tttcfg.ttt_moshi.ttt_config import TTTConfig

PIECES = 2
"""The input is also given in so many pieces; where there is TTT as the second sequence of a batch, which shows whose
states go on."""
NUMBERS = 48
"""Log-probabilities that are kept of each way of giving the input."""
SHORTEST, LONGEST = 40, 256
SHORT_EPS = 2.0**-12
"""A type is short where the next number after 1 is further away than this: bfloat16, float16 and shorter ones."""
WIDENED_BYTES = 2**30
"""Parameters of short types are made float32 for a reading up to so many bytes; it takes twice as many meanwhile."""
GATE = "forward_ssm_gating"
_MULTIPLIER, _INCREMENT, _MODULUS = 1103515245, 12345, 1 << 31


class ProbeInput(NamedTuple):
    """The input of a probe: streams of `tokens` tokens each, text first, with so many different ones."""

    tokens: int
    text_card: int
    card: int
    audio_streams: int


def probe_input(model_config: Mapping[str, Any], ttt: TTTConfig | None) -> ProbeInput | None:
    """Return the input for a model; None where its config.json has no n_q, card and text_card.

    It is long enough to see two and a half mini-batches and past every attention context, up to a bound.
    """
    counts = [model_config.get(name) for name in ("text_card", "card", "n_q")]
    if not all(type(count) is int and count > 0 for count in counts):
        return None
    wanted = [SHORTEST]
    if ttt is not None:
        wanted = [SHORTEST, 5 * ttt.mini_batch_size // 2, ttt.ttt_layer_context + 8, ttt.non_ttt_layer_context + 8]
        wanted = [one for one in wanted if one <= LONGEST] + [LONGEST] * any(one > LONGEST for one in wanted[1:2])
    return ProbeInput(max(wanted), *counts)  # type: ignore[arg-type]  # whole numbers, as was just seen


def unseen(probe: ProbeInput, ttt: TTTConfig | None, computed_in: torch.dtype) -> list[str]:
    """Return what a probe of this length, computed in a type, cannot see of a model."""
    if ttt is None:
        return []
    types = ("scan_dtype", "state_dtype") if computed_in == torch.float32 and ttt.dtype != "float32" else ()
    found = [f"ttt.{name}: the probe computes in float32, where every choice is the same" for name in types]
    found += [
        f"ttt.{name}: any of {probe.tokens} tokens and more, the length of the probe, computes the same"
        for name in ("ttt_layer_context", "non_ttt_layer_context")
        if getattr(ttt, name) >= probe.tokens
    ]
    if ttt.mini_batch_size >= probe.tokens:
        passed = f"what an inner mini-batch of {ttt.mini_batch_size} tokens passes to the next"
        found.append(f"{passed}: the probe is shorter")
    return found


def codes(probe: ProbeInput, device: torch.device) -> torch.Tensor:
    """Return the input [1, 1 + audio streams, tokens]: the upper half of x -> (1103515245 x + 12345) mod 2^31.

    x starts at 1 and goes on token by token, stream by stream; each is taken modulo the tokens of its stream.
    """
    x, rows = 1, []
    for stream in range(1 + probe.audio_streams):
        row = []
        for _ in range(probe.tokens):
            x = (_MULTIPLIER * x + _INCREMENT) % _MODULUS
            row.append((x >> 16) % (probe.card if stream else probe.text_card))
        rows.append(row)
    return torch.tensor([rows], device=device)


class Reading(NamedTuple):
    """What a model returned: log-probabilities, of the whole input and then of it in pieces, and the coarsest dtype."""

    numbers: list[float]
    dtype: torch.dtype


def read(model: nn.Module, probe: ProbeInput) -> Reading:
    """Run a model on the input, whole and in pieces, as it is when it is evaluated; nothing of it changes."""
    parameters = list(model.parameters())
    device = parameters[0].device
    given = codes(probe, device)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # else every hook would compile it again
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(_evaluating(model))
        kinds = stack.enter_context(_dtypes_met(model))
        outputs = [model(given)]
        with carrying_states(model) as blocks:
            pair = torch.cat([given.flip(2), given]) if blocks else given
            outputs += [model(piece.contiguous()) for piece in pair.chunk(PIECES, dim=2)]
    kinds |= {one.dtype for one in parameters if one.is_floating_point()} | {outputs[0].text_logits.dtype}
    at_rest(model)
    numbers = [*_picked(outputs[:1]), *_picked(outputs[1:])]
    return Reading(numbers, max(kinds, key=lambda kind: torch.finfo(kind).eps))


def _picked(outputs: list[Any]) -> list[float]:
    """Return log-probabilities of the last sequence, spread evenly over streams and valid positions.

    The place decides of which token.
    """
    found: list[torch.Tensor] = []
    for output in outputs:
        for logits, mask in ((output.text_logits, "text_mask"), (output.logits, "mask")):
            valid = getattr(output, mask, None)
            for stream in range(logits.shape[1]):
                line = logits[-1, stream].double()
                found.append(line if valid is None else line[valid[-1, stream]])
    places = [(stream, place) for stream, line in enumerate(found) for place in range(len(line))]
    step = max(1, len(places) // NUMBERS)
    picked = []
    for number, (stream, place) in enumerate(places[step - 1 :: step][:NUMBERS]):
        line = torch.log_softmax(found[stream][place], dim=0)
        picked.append(float(line[(7 * number + place) % len(line)]))
    return picked


@contextmanager
def _dtypes_met(model: nn.Module) -> Iterator[set[torch.dtype]]:
    """Yield the types that modules have returned, which a cast inside the model may make shorter."""
    met: set[torch.dtype] = set()

    def seen(_module: nn.Module, _given: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            met.add(output.dtype)

    with _hooked(model.modules(), seen):
        yield met


@contextmanager
def jittered(model: nn.Module, eps: float) -> Iterator[None]:
    """Inside it, the output of every innermost module is off by one unit in the last place, up or down by turns.

    That is the error that another machine's order of additions makes, as far as the model is made of modules.
    """

    def off(_module: nn.Module, _given: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return output
        signs = torch.arange(output.shape[-1], device=output.device) * 2654435761 % 4294967296 >> 31
        return output * (1 + eps * (2 * signs - 1)).to(output.dtype)

    with _hooked((one for one in model.modules() if not list(one.children())), off):
        yield


@contextmanager
def closed(model: nn.Module) -> Iterator[int]:
    """Inside it, every gate of TTT is closed, as with alpha 0: yield how many there are."""
    gates = [module for name, module in model.named_modules() if name.rpartition(".")[2] == GATE]
    with _hooked(gates, lambda _module, _given, output: torch.zeros_like(output)):
        yield len(gates)


@contextmanager
def _hooked(modules: Iterable[nn.Module], hook: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    with ExitStack() as handles:
        for module in modules:
            handles.enter_context(module.register_forward_hook(hook))
        yield


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a type in configurations."""
    return str(dtype).removeprefix("torch.")


def is_short(dtype: torch.dtype) -> bool:
    """Return whether sums are rounded so coarsely in a type that settings hide behind it."""
    return dtype.is_floating_point and torch.finfo(dtype).eps > SHORT_EPS


def can_be_widened(model: nn.Module) -> bool:
    """Return whether a model has parameters of short types, not sharded and not more than `WIDENED_BYTES` of them."""
    parameters = list(at_rest(model).parameters())
    size = sum(one.numel() * one.element_size() for one in parameters if is_short(one.dtype))
    return 0 < size <= WIDENED_BYTES and not any(map(is_sharded, parameters))


@contextmanager
def widened(model: nn.Module) -> Iterator[None]:
    """Inside it, a model has float32 copies of its tensors of short types, and computes in float32.

    Other objects are in their places: what optimizers and wrappers hold of the parameters stays as it is.
    """
    wide: dict[torch.Tensor, torch.Tensor] = {}
    before: list[tuple[nn.Module, str, torch.Tensor]] = []
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            for module in model.modules():
                own = [*module.named_parameters(recurse=False, remove_duplicate=False)]
                for name, tensor in [*own, *module.named_buffers(recurse=False, remove_duplicate=False)]:
                    if not is_short(tensor.dtype):
                        continue
                    if tensor not in wide:
                        copied = tensor.detach().float()
                        wide[tensor] = nn.Parameter(copied, False) if isinstance(tensor, nn.Parameter) else copied
                    before.append((module, name, tensor))
                    setattr(module, name, wide[tensor])
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for module, name, tensor in before:
            setattr(module, name, tensor)


@contextmanager
def rounded(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Inside it, the parameters have the values that they come back with from a file of `dtype`."""
    before = []
    try:
        with torch.no_grad():
            for parameter in at_rest(model).parameters():
                if parameter.is_floating_point() and torch.finfo(parameter.dtype).eps < torch.finfo(dtype).eps:
                    before.append((parameter, parameter.detach().to("cpu", copy=True)))
                    parameter.copy_(parameter.to(dtype))
        yield
    finally:
        with torch.no_grad():
            for parameter, value in before:
                parameter.copy_(value)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
