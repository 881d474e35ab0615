"""From a training configuration and the model's dimensions to what the TTT layers read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.family.family import Derived
from tttcfg.schema.validation import validate
from tttcfg.ttt_moshi.checks import sequence_tokens
from tttcfg.ttt_moshi.kernels import TILE, choose, unmet_limits
from tttcfg.ttt_moshi.layer_spec import concrete_layers
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.ttt_moshi.ttt_settings import LayerSettings, TTTArgs

if TYPE_CHECKING:  # what only a checkpoint with weights needs
    from tttcfg.evidence.evidence import Proof

NOTHING: Mapping[str, Proof] = MappingProxyType({})
DIMENSIONS = {"model_dim": "dim", "num_heads": "num_heads", "num_layers": "num_layers"}
KERNEL_DIMENSIONS = ("num_heads", "head_dim")
CONTEXTS = ("ttt_layer_context", "non_ttt_layer_context")
LARGEST = {"dim": 2**20, "num_heads": 2**20, "num_layers": 10_000, "context": 2**31}
"""Far beyond every model; a larger value is a mistake, and would cost memory before it is noticed."""


def derive(
    training: TrainingArgs, model: Mapping[str, Any] | None, name: str, proved: Mapping[str, Proof] = NOTHING
) -> Derived:
    """Return what the TTT layers of a model read, or why that is not known; and whether the kernel can run it.

    Args:
        model: The model's config.json: `dim`, `num_heads`, `num_layers`, and `context` where no context
            is set; None where there is none.
        name: Its path, for origins and problems.
        proved: What tensors prove, by dotted path: dimensions for the kernel where `model` has none.
    """
    if not training.ttt.enable or training.ttt.layers == "none":
        return Derived(None, {}, ())
    found = _layers(training, model, name)
    config = found.config if isinstance(found.config, TTTConfig) else _known(training, model or {}, proved)
    return found._replace(problems=(*found.problems, *_of_kernel(config, sequence_tokens(training))))


def _layers(training: TrainingArgs, model: Mapping[str, Any] | None, name: str) -> Derived:
    if model is None:
        message = "the model's dimensions are unknown, so the layers' configuration is not derived"
        advice = "give --model-config FILE"
        return Derived(None, {}, (Problem("model_config", message, "ttt", advice=advice, severity="warning"),))
    needed = dict(DIMENSIONS)
    if any(getattr(training.ttt, field) is None for field in CONTEXTS):
        needed["context"] = "context"
    problems = [problem for key in needed.values() if (problem := unusable(model, key, name))]
    if problems:
        return Derived(None, {}, tuple(problems))
    return _build(training, {ours: model[theirs] for ours, theirs in needed.items()}, name)


def unusable(model: Mapping[str, Any], key: str, name: str) -> Problem | None:
    """Return what is wrong with a dimension in a model's config.json, or that it is missing."""
    value = model.get(key)
    if key not in model:
        message = "is missing"
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        message = f"{quote(value)} is not a positive whole number"
    elif value > LARGEST[key]:
        message = f"{quote(value)} is more than {LARGEST[key]}, the most that is read"
    else:
        return None
    return Problem(
        *("model_config", f"{message}; the layers' configuration cannot be derived without it", key, Place(name)),
        severity="warning",
    )


def _build(training: TrainingArgs, dimensions: dict[str, int], name: str) -> Derived:
    ttt, heads, layers = training.ttt, dimensions["num_heads"], dimensions["num_layers"]
    indices = concrete_layers(ttt.layers, layers)
    problems = []
    if beyond := [index for index in indices if index >= layers]:
        more = f" and {len(beyond) - 8} more" if len(beyond) > 8 else ""
        message = f"layers {beyond[:8]}{more} do not exist: the model has {layers} layers, 0 to {layers - 1}"
        problems.append(Problem("contradiction", message, "ttt.layers", Place(name)))
    if dimensions["model_dim"] % heads:
        message = f"the model's width {dimensions['model_dim']} cannot be split into {heads} heads"
        problems.append(Problem("contradiction", message, "num_heads", Place(name)))
    if not indices:
        message = f"{ttt.layers} is no layer at all where num_layers is {layers}, so no layer has TTT"
        problems.append(Problem("model_config", message, "ttt.layers", Place(name), severity="warning"))
    if problems:
        return Derived(None, {}, tuple(problems))
    head_dim = dimensions["model_dim"] // heads
    sizes = inner_layer_sizes(ttt, head_dim)
    if 0 in sizes:
        message = f"{ttt.mlp.expansion_factor} times head_dim {head_dim} leaves no width for the hidden layers"
        return Derived(None, {}, (Problem("contradiction", message, "ttt.mlp.expansion_factor", Place(name)),))
    values: dict[str, Any] = {field: getattr(ttt, field) for field in LayerSettings.model_fields}
    values |= {field: dimensions[field] for field in DIMENSIONS}
    values |= {field: getattr(ttt, field) or dimensions["context"] for field in CONTEXTS}
    values |= {"head_dim": head_dim, "layer_indices": indices, "inner_layer_sizes": sizes}
    values["dtype"] = training.param_dtype
    try:
        config = validate(TTTConfig, values, lambda _: Place(name))
    except InputError as error:
        named = {"code": "model_config", "severity": "warning"}
        return Derived(None, {}, tuple(one._replace(key=f"ttt.{one.key}", **named) for one in error.problems))
    return Derived(config, _origins(ttt, name), ())


def _known(training: TrainingArgs, model: Mapping[str, Any], proved: Mapping[str, Proof]) -> TTTConfig:
    """Return what is known of the layers where not all is; what is not known is no attribute of it.

    Widths without a known head_dim are those of the one head_dim that the kernel which limits them takes.
    """
    ttt = training.ttt
    given = {ours: model[theirs] for ours, theirs in DIMENSIONS.items() if unusable(model, theirs, "") is None}
    if {"model_dim", "num_heads"} <= given.keys() and not given["model_dim"] % given["num_heads"]:
        given["head_dim"] = given["model_dim"] // given["num_heads"]
    shown = {field: proved[f"ttt.{field}"].value for field in KERNEL_DIMENSIONS if f"ttt.{field}" in proved}
    values = {field: getattr(ttt, field) for field in LayerSettings.model_fields} | shown | given
    sizes = inner_layer_sizes(ttt, values.get("head_dim", TILE))
    return TTTConfig.model_construct(None, **values, dtype=training.param_dtype, inner_layer_sizes=sizes)


def _of_kernel(config: TTTConfig, tokens: int) -> list[Problem]:
    """Return the limits of the kernel that are not met, and what `auto` chose where that is certain."""
    if config.kernel != "auto":
        return unmet_limits(config.kernel, config, tokens)
    choice = choose(config, tokens)
    if choice.unmet or all(hasattr(config, field) for field in KERNEL_DIMENSIONS):
        return [*choice.unmet, Problem("kernel", str(choice), "ttt.kernel", severity="info")]
    return []


def inner_layer_sizes(ttt: TTTArgs, head_dim: int) -> tuple[int, ...]:
    """Return the widths through the inner model, as TTTMLPMultiLayer computes them."""
    if ttt.inner_model == "linear":
        return (head_dim, head_dim)
    hidden = ttt.mlp.hidden_dims or (int(head_dim * ttt.mlp.expansion_factor),) * (ttt.mlp.layers - 1)
    return (head_dim, *hidden, head_dim)


def _origins(ttt: TTTArgs, name: str) -> dict[str, str]:
    found = {f"ttt.{ours}": f"{name} ({theirs})" for ours, theirs in DIMENSIONS.items()}
    found |= {f"ttt.{field}": f"{name} (context)" for field in CONTEXTS if getattr(ttt, field) is None}
    found["ttt.head_dim"] = f"{name} (dim / num_heads)"
    found["ttt.layer_indices"] = f"ttt.layers in a model of num_layers layers, {name}"
    found["ttt.inner_layer_sizes"] = "ttt.inner_model, ttt.mlp and head_dim"
    found["ttt.dtype"] = "param_dtype"
    return found
