"""Checks of a configuration of this family against what tensors prove."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from tttcfg.errors import quote
from tttcfg.evidence.readings import Proof
from tttcfg.evidence.verdicts import NO_TENSOR, NOT_SHOWN, UNDISPUTED, UNKNOWN_NAMES, VERIFIED, Verdict, not_determined
from tttcfg.evidence.verifier import typed
from tttcfg.schema.fields import Role, config_fields, plain
from tttcfg.ttt_moshi import NAME
from tttcfg.ttt_moshi.adapters import AdapterVerifier, is_number
from tttcfg.ttt_moshi.derive import DIMENSIONS, inner_layer_sizes
from tttcfg.ttt_moshi.training_args import Dtype
from tttcfg.ttt_moshi.ttt_config import TTTConfig

STORED = frozenset(get_args(Dtype))
MOST_SHOWN = 12
_WIDTHS = ("mlp.layers", "mlp.hidden_dims", "mlp.expansion_factor")
_OF_TTT_LAYERS = ("layers", "layer_indices", "inner_model", "inner_layer_sizes", *_WIDTHS)
_MODEL_DEFINING = (Role.ARCHITECTURE, Role.COMPUTATION)
_READ = tuple(field.name for field in config_fields(TTTConfig).values() if field.role in _MODEL_DEFINING)
UNREAD_LAYERS = not_determined("TTT may be among the unknown tensors")


class TensorVerifier(AdapterVerifier):
    """Checks one configuration against what tensors prove."""

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield the verdict on every field that tensors may determine, all of those of the layers.

        Of several verdicts on one field, a contradiction comes before all others.
        """
        dialect, verdict = self.evidence.dialect, NO_TENSOR
        if dialect is None:
            verdict = UNKNOWN_NAMES
        elif dialect.other_ttt:
            verdict = not_determined(f"the TTT of {dialect.title} is another one")
        yield from ((f"ttt.{name}", verdict) for name in _READ)
        yield from self.stored()
        if dialect is None or dialect.other_ttt:
            yield from ((f"ttt.{name}", verdict) for name in ("enable", *_OF_TTT_LAYERS))
            return
        yield from self.dimensions()
        yield from self.layers()
        if dialect.family == NAME:
            yield from self.adapters()
            yield from self.other_trained()
            yield from self.base()

    def stored(self) -> Iterator[tuple[str, Verdict]]:
        dtype, name, source = self.evidence.dtype, self.training.param_dtype, self.source("param_dtype")
        stored = f"the weights are stored in {dtype.value}" if dtype is not None else ""
        if dtype is None:
            verdict = not_determined("the tensors are not all stored in one floating-point type")
        elif dtype.value == name:
            verdict = VERIFIED
        elif source == "override" or (source == "default" and dtype.value not in STORED):
            advice = "" if source == "override" else f"override param_dtype={name} to run them in it on purpose"
            verdict = not_determined(f"{stored}, and the {source} is {name}")._replace(advice=advice)
        else:
            advice = f"override param_dtype={dtype.value if dtype.value in STORED else name}"
            advice += ", or give the file that was saved with it"
            verdict = Verdict("contradicted", quote(name), f"{stored} ({dtype.tensor})", advice)
        yield from (("param_dtype", verdict), ("ttt.dtype", verdict._replace(advice="")))

    def dimensions(self) -> Iterator[tuple[str, Verdict]]:
        """Check config.json, from which head_dim follows, against the tensors."""
        shown, model = self.evidence.dimensions, self.model or {}
        for ours, theirs in DIMENSIONS.items():
            if ours not in shown:
                yield f"ttt.{ours}", NOT_SHOWN
            elif model.get(theirs) is None:
                yield f"ttt.{ours}", UNDISPUTED
            else:
                yield f"ttt.{ours}", self.dimension(theirs, model[theirs], shown[ours])
        if "head_dim" not in shown:
            yield "ttt.head_dim", NOT_SHOWN
        elif self.config is None:
            yield "ttt.head_dim", UNDISPUTED
        else:
            width, proof = self.config.head_dim, shown["head_dim"]
            yield "ttt.head_dim", self.compared(width == proof.value, width, proof)

    def dimension(self, key: str, given: Any, shown: Proof) -> Verdict:
        if not is_number(given):
            return self.mistyped(key, given, "a number", shown.value)
        advice = "give the config.json of the model that was trained"
        return self.compared(given == shown.value, given, shown, advice, f"{self.model_name}, {key}")

    def layers(self) -> Iterator[tuple[str, Verdict]]:
        ttt, found, wanted = self.training.ttt, self.evidence.known_layers, self.wanted_layers()
        on = ttt.enable and wanted != ()
        if on != bool(found.value):
            yield from self.enable_contradicted(on, found)
            return
        if not on:
            yield "ttt.enable", VERIFIED if self.complete else UNREAD_LAYERS
            yield from self.undetermined("TTT is off")
            return
        yield "ttt.enable", VERIFIED
        if wanted is None:
            verdict = not_determined("how many layers the model has is not known")
            yield from (("ttt.layers", verdict), ("ttt.layer_indices", verdict))
        elif wanted == found.value:
            verdict = VERIFIED if self.complete else UNREAD_LAYERS
            yield from (("ttt.layers", verdict), ("ttt.layer_indices", verdict))
        else:
            yield from self.layers_contradicted(wanted, found)
        if "mini_batch_size" in self.evidence.dimensions:
            yield self.equal("ttt.mini_batch_size", ttt.mini_batch_size, self.evidence.dimensions["mini_batch_size"])
        yield from self.inner_model()

    @property
    def complete(self) -> bool:
        """Whether all layers with TTT are known."""
        return self.evidence.layers is not None

    def layers_contradicted(self, wanted: tuple[int, ...], found: Proof) -> Iterator[tuple[str, Verdict]]:
        """Yield that the configuration means other layers than those that are known to have TTT."""
        spec = self.training.ttt.layers
        given = quote(plain(spec)) + ("" if plain(spec) == list(wanted) else f", which means {_layers_text(wanted)}")
        yield "ttt.layers", Verdict("contradicted", given, self.layers_in_weights(found), self.layers_advice(found))
        yield "ttt.layer_indices", Verdict("contradicted", given, self.layers_in_weights(found))

    def layers_in_weights(self, found: Proof) -> str:
        known = "" if self.complete else ", as far as they are known"
        return f"the weights have TTT in layers {_layers_text(found.value)}{known} ({found.tensor})"

    def layers_advice(self, found: Proof) -> str:
        more = "" if self.complete else " and what else has TTT, or give weights whose names are all known"
        return f"override ttt.layers={typed(found.value)}{more}"

    def wanted_layers(self) -> tuple[int, ...] | None:
        """Return the layers that the configuration means; None where that depends on an unknown depth."""
        ttt = self.training.ttt
        if not ttt.enable or ttt.layers == "none":
            return ()
        if self.config is not None:
            return self.config.layer_indices
        return self.indices_of(ttt.layers)

    def enable_contradicted(self, on: bool, found: Proof) -> Iterator[tuple[str, Verdict]]:
        """Yield that TTT is on in the configuration and not in the weights, or the reverse."""
        ttt = self.training.ttt
        if on:
            shown, given = "no tensor of a TTT layer is in the weights", "the weights that were trained with TTT"
            if not self.complete:
                shown, given = "none of the tensors is known to be of a TTT layer", "weights whose names are known"
            advice = f"override ttt.enable=false, or give {given}"
            yield "ttt.enable", Verdict("contradicted", "true", shown, advice)
            yield from self.undetermined("the weights have no TTT layer" if self.complete else UNREAD_LAYERS.shown)
            return
        key, given, better = "ttt.enable", "false", "override ttt.enable=true"
        if ttt.enable:
            yield key, VERIFIED
            key, given, better = "ttt.layers", quote(ttt.layers), self.layers_advice(found)
        advice = f"{better}; as it is, their tensors would be left out"
        yield key, Verdict("contradicted", given, self.layers_in_weights(found), advice)
        yield from self.undetermined("TTT is off")

    def undetermined(self, reason: str) -> Iterator[tuple[str, Verdict]]:
        for name in _OF_TTT_LAYERS:
            yield f"ttt.{name}", not_determined(reason)

    def inner_model(self) -> Iterator[tuple[str, Verdict]]:
        ttt, widths = self.training.ttt, self.evidence.widths
        if widths is None:
            yield from self.undetermined("the tensors of the inner model cannot be read as one")
            return
        kind = "linear" if len(widths.value) == 2 else "mlp"
        yield self.equal("ttt.inner_model", ttt.inner_model, widths._replace(value=kind))
        sizes = inner_layer_sizes(ttt, widths.value[0]) if self.config is None else self.config.inner_layer_sizes
        yield "ttt.inner_layer_sizes", self.compared(sizes == widths.value, list(sizes), widths)
        names = [f"ttt.{name}" for name in _WIDTHS]
        if kind == "linear" or kind != ttt.inner_model:
            reason = "the inner model is linear" if kind == ttt.inner_model else "ttt.inner_model is contradicted"
            yield from ((name, not_determined(reason)) for name in names)
            return
        layers = len(widths.value) - 1
        yield self.equal("ttt.mlp.layers", ttt.mlp.layers, widths._replace(value=layers))
        if ttt.mlp.layers != layers:
            yield from ((name, not_determined("ttt.mlp.layers is contradicted")) for name in names[1:])
            return
        yield from self.hidden_widths(widths)

    def hidden_widths(self, widths: Proof) -> Iterator[tuple[str, Verdict]]:
        mlp = self.training.ttt.mlp
        hidden = list(widths.value[1:-1])
        proof = widths._replace(value=hidden)
        agrees = inner_layer_sizes(self.training.ttt, widths.value[0]) == widths.value
        advice = f"override ttt.mlp.hidden_dims={hidden}"
        if mlp.hidden_dims is not None:
            yield "ttt.mlp.hidden_dims", self.compared(agrees, list(mlp.hidden_dims), proof, advice)
            yield "ttt.mlp.expansion_factor", not_determined("ttt.mlp.hidden_dims decides the widths")
            return
        yield "ttt.mlp.expansion_factor", self.compared(agrees, mlp.expansion_factor, proof, advice)
        yield "ttt.mlp.hidden_dims", VERIFIED if agrees else not_determined("ttt.mlp.expansion_factor is contradicted")


def _layers_text(layers: tuple[int, ...]) -> str:
    """Return layers for a message, clipped; values in an override are never clipped."""
    return typed(layers) if len(layers) <= MOST_SHOWN else f"{layers[0]} to {layers[-1]} ({len(layers)} of them)"
