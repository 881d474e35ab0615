"""How far off results are from what the trainer's own code computed, model by model."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from examples.ttt_moshi.transformer import Transformer, streaming
from tests.computed import Computed, error
from tttcfg.nn import add_lora, add_ttt, carrying_states, load_checkpoint


def lengths(computed: Computed, prefix: str) -> list[str]:
    return [name.rpartition(".")[2] for name in computed.expected if name.startswith(prefix)]


def output_errors(computed: Computed, **changes: Any) -> list[float]:
    """Return how far the outputs of every layer are off, with settings changed where asked for."""
    found = []
    for index in computed.layers:
        layer = computed.layer(index, **changes).eval()
        for length in lengths(computed, f"ttt_layer.{index}.in."):
            x = computed.expected[f"ttt_layer.{index}.in.{length}"].to(computed.dtype)
            with torch.no_grad():
                found.append(error(layer(x)[0], computed.expected[f"ttt_layer.{index}.out.{length}"]))
    return found


RATES = "learnable_ttt_lr_bias"
"""In bfloat16 its gradient is a sum of both signs of which little is left: measured by that of its weight."""


def gradient_errors(computed: Computed, index: int) -> dict[str, float]:
    """Return how far the gradients of a layer are off, by the tensor that they are of; empty where none are at hand."""
    prefix = f"ttt_layer.{index}.grad."
    due = {name.removeprefix(prefix): one for name, one in computed.expected.items() if name.startswith(prefix)}
    if not due:
        return {}
    given, probe = due.pop("in").to(computed.dtype).requires_grad_(), due.pop("probe").to(computed.dtype)
    layer = computed.layer(index).train()
    (layer(given)[0] * probe).sum().backward()
    found = {name: one.grad for name, one in layer.named_parameters() if one.grad is not None} | {"x": given.grad}
    assert found.keys() == due.keys()
    lengths = {RATES: due["learnable_ttt_lr_weight"]} if computed.dtype == torch.bfloat16 else {}
    return {name: error(found[name], one, lengths.get(name)) for name, one in due.items()}


def transformer(computed: Computed, **changes: Any) -> Transformer:
    """Return the stack of layers that was evaluated, with settings changed where asked for."""
    given, training = computed.model_config, computed.effective.training
    made = Transformer(*(given[name] for name in ("dim", "num_heads", "num_layers", "context", "max_period")), 4)
    made = made.to(computed.dtype)
    if training.lora.enable:
        add_lora(made, training.lora.rank, training.lora.scaling)
    add_ttt(made.layers, computed.config.model_copy(update=changes))
    saved = {name.removeprefix("transformer."): one for name, one in computed.weights.items()}
    state = made.state_dict()
    for name in state:  # the base has its own names, without TTT and without adapters
        inner = name.replace("seq_modeling_block.original_layer.", "original_layer.")
        parts = (inner, inner.replace("original_layer.", "").replace(".frozen_W", ""))
        state[name] = next(saved[one] for one in parts if one in saved)
    made.load_state_dict(state)
    return made.eval()


def stack_error(computed: Computed, model: Any, length: str = "24") -> float:
    """Return how far a transformer's output is off, for a whole sequence."""
    x = computed.expected[f"transformer_in.{length}"].to(computed.dtype)
    with torch.no_grad():
        return error(model(x), computed.expected[f"transformer_out.{length}"])


def stream_error(computed: Computed, model: Any, streamed: Any = streaming) -> float:
    """Return how far a transformer's output is off, token by token; `streamed` puts it into streaming."""
    tokens = computed.expected["stream_in"].to(computed.dtype).unbind(dim=1)
    with torch.no_grad(), carrying_states(model), streamed(model):
        found = torch.stack([model(one.unsqueeze(1)).squeeze(1) for one in tokens], dim=1)
    return error(found, computed.expected["stream_out"])


def language_model(computed: Computed) -> Any:
    """Return the whole model of the `moshi` package, restored as a checkpoint is."""
    from examples.ttt_moshi.model import build

    base = computed.folder / "base_model.safetensors"
    model = build(computed.model_config, computed.effective, base if base.exists() else None)
    load_checkpoint(model, computed.folder, computed.effective)
    return model.eval()


def language_model_errors(computed: Computed) -> dict[str, float]:
    """Return how far the whole model is off: the transformer, the logits, and the transformer token by token."""
    model, found = language_model(computed), {}
    for length in lengths(computed, "codes."):
        found[f"transformer.{length}"] = stack_error(computed, model.transformer, length)
        with torch.no_grad():
            output = model(computed.expected[f"codes.{length}"].long())
        for name, logits in (("text", output.text_logits), ("audio", output.logits)):
            valid = computed.expected[f"{name}_mask.{length}"].bool()
            found[f"{name}.{length}"] = error(logits[valid], computed.expected[f"{name}_logits.{length}"][valid])
    found["stream"] = stream_error(computed, model.transformer, lambda one: one.streaming(1))
    return found


def after_the_layers(computed: Computed) -> Transformer:
    """Return the stack with TTT after whole layers, which is the wrong place."""
    model = transformer(computed)
    for index in computed.config.layer_indices:
        layer: Any = model.layers[index].original_layer
        layer.attention_block = partial(_both, layer.attention_block, layer.feed_forward_block)
        layer.feed_forward_block = torch.nn.Identity()
    return model


def _both(first: Any, second: Any, x: torch.Tensor) -> Any:
    return second(first(x))
