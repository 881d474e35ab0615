"""Checks of a configuration of this family against what tensors prove."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from tttcfg.errors import quote
from tttcfg.evidence.evidence import Proof
from tttcfg.evidence.verifier import (
    NO_TENSOR,
    NOT_SHOWN,
    UNDISPUTED,
    UNKNOWN_NAMES,
    VERIFIED,
    Verdict,
    Verifier,
    not_determined,
    override,
    typed,
)
from tttcfg.schema.defining import MODEL_DEFINING
from tttcfg.schema.fields import config_fields, plain
from tttcfg.ttt_moshi import NAME
from tttcfg.ttt_moshi.derive import DIMENSIONS, inner_layer_sizes, unusable
from tttcfg.ttt_moshi.layer_spec import Word, concrete_layers
from tttcfg.ttt_moshi.training_args import Dtype, TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig

STORED = frozenset(get_args(Dtype))
MOST_SHOWN = 12
_WIDTHS = ("mlp.layers", "mlp.hidden_dims", "mlp.expansion_factor")
_OF_TTT_LAYERS = ("layers", "layer_indices", "inner_model", "inner_layer_sizes", *_WIDTHS)
_READ = tuple(field.name for field in config_fields(TTTConfig).values() if field.role in MODEL_DEFINING)
UNREAD_LAYERS = not_determined("TTT may be among the unknown tensors")


class MoshiVerifier(Verifier[TrainingArgs, TTTConfig | None]):
    """Checks one configuration of this family against what tensors prove."""

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
            advice = "" if source == "override" else f"{override('param_dtype', name)} to run them in it on purpose"
            verdict = not_determined(f"{stored}, and the {source} is {name}")._replace(advice=advice)
        else:
            advice = override("param_dtype", dtype.value if dtype.value in STORED else name)
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
                yield (
                    f"ttt.{ours}",
                    self.stated(theirs, shown[ours], "give the config.json of the model that was trained"),
                )
        if "head_dim" not in shown:
            yield "ttt.head_dim", NOT_SHOWN
        elif self.config is None:
            yield "ttt.head_dim", UNDISPUTED
        else:
            width, proof = self.config.head_dim, shown["head_dim"]
            yield "ttt.head_dim", self.compared(width == proof.value, width, proof)

    def stated(self, key: str, shown: Proof, advice: str) -> Verdict:
        """Check a number that config.json has."""
        given = (self.model or {})[key]
        if not is_number(given):
            return self.mistyped(key, given, "a number", shown.value)
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
        if wanted in (None, found.value):
            verdict = VERIFIED if self.complete else UNREAD_LAYERS
            if wanted is None:
                verdict = not_determined("how many layers the model has is not known")
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
        return override("ttt.layers", found.value) + more

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
        return ((f"ttt.{name}", not_determined(reason)) for name in _OF_TTT_LAYERS)

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
        advice = override("ttt.mlp.hidden_dims", hidden)
        if mlp.hidden_dims is not None:
            yield "ttt.mlp.hidden_dims", self.compared(agrees, list(mlp.hidden_dims), proof, advice)
            yield "ttt.mlp.expansion_factor", not_determined("ttt.mlp.hidden_dims decides the widths")
            return
        yield "ttt.mlp.expansion_factor", self.compared(agrees, mlp.expansion_factor, proof, advice)
        yield "ttt.mlp.hidden_dims", VERIFIED if agrees else not_determined("ttt.mlp.expansion_factor is contradicted")

    def adapters(self) -> Iterator[tuple[str, Verdict]]:
        """Check LoRA in the configuration and in config.json against the adapters in the file."""
        rank, lora, model = self.evidence.rank, self.training.lora, self.model or {}
        stated, unread = model.get("lora"), self.evidence.unread_adapter
        if stated is not None and not isinstance(stated, bool):
            yield "lora.enable", self.mistyped("lora", stated, "true or false", rank is not None)
        if rank is None and unread:
            advice = "give weights that name every adapter as the trainer does"
            verdict = not_determined(f"{unread} has a name of LoRA, and is not read")
            yield from (("lora.enable", verdict._replace(advice=advice)), ("lora.rank", verdict))
            return
        yield "lora.enable", self.enabled(lora.enable, "override lora.enable={}")
        taken = self.source("lora.enable") == "weights" or not self.training.save_adapters
        merged = self.evidence.whole and rank is None and not lora.enable and taken
        if isinstance(stated, bool) and not (stated and merged):  # of the model before its adapters were merged
            yield "lora.enable", self.enabled(stated, "set it to {} there", f"{self.model_name}, lora")
        if rank is None or not lora.enable:
            yield "lora.rank", not_determined("LoRA is off" if not lora.enable else "the weights have no adapter")
            return
        yield self.equal("lora.rank", lora.rank, rank)
        if stated is True and "lora_rank" in model:
            yield "lora.rank", self.stated("lora_rank", rank, f"set it to {rank.value} there")
        if stated is True and "lora_scaling" in model:
            yield "lora.scaling", self.scaling(model["lora_scaling"])

    def enabled(self, on: bool, advice: str, place: str = "") -> Verdict:
        """Return whether LoRA is on in the weights too; `advice` has a placeholder for the right value."""
        rank = self.evidence.rank
        if on == (rank is not None):
            return VERIFIED
        if rank is None:
            absent = "no adapter is among the weights"
            absent += " (LoRA was merged into the model, or never on)" if self.evidence.whole else ""
            why = "; a loader adds random adapters otherwise"
            return Verdict("contradicted", "true", absent, advice.format("false") + why, place)
        shown = f"the weights have adapters ({rank.tensor})"
        why = "; without, the adapters are left out"
        return Verdict("contradicted", "false", shown, advice.format("true") + why, place)

    def scaling(self, stated: Any) -> Verdict:
        """Check the adapters' scaling, which no tensor shows, against config.json."""
        ours, source = self.training.lora.scaling, self.source("lora.scaling")
        if not is_number(stated):
            return self.mistyped("lora_scaling", stated, "a number", ours)
        if stated == ours:
            return NO_TENSOR
        shown, advice = f"{self.model_name} has lora_scaling {stated}", override("lora.scaling", stated)
        if source == "override":
            return not_determined(f"{shown}, and the override is {ours}")
        if source == "default":
            return not_determined(f"{shown}, and the default is {ours}")._replace(advice=advice)
        shown += ", which a loader takes"
        return Verdict("contradicted", str(ours), shown, f"{advice}, or set it to {ours} there")

    def other_trained(self) -> Iterator[tuple[str, Verdict]]:
        """Check what else was trained against the tensors beside the adapters; a later run may train something else."""
        training, evidence, key = self.training, self.evidence, "ttt.unfrozen_attention_layers"
        if training.full_finetuning:
            return
        embeddings, unfrozen, wanted = evidence.embeddings, evidence.unfrozen, training.ttt.unfrozen_attention_layers
        if (
            embeddings is not None
            and evidence.rank is not None
            and training.lora.enable
            and self.is_recorded("lora.ft_embed")
        ):
            yield self.equal("lora.ft_embed", training.lora.ft_embed, embeddings)
        if unfrozen is None or not training.ttt.enable or not self.is_recorded(key):
            return
        beside_adapters = evidence.rank is not None or evidence.unread_adapter
        unsaved = beside_adapters and not unfrozen.value  # it may be there, and not have been saved
        if not unsaved and self.indices_of(wanted) not in (None, unfrozen.value):
            proof = unfrozen._replace(value=list(unfrozen.value) or "none")
            yield key, self.contradicted(plain(wanted), proof, override(key, proof.value))

    def base(self) -> Iterator[tuple[str, Verdict]]:
        """Yield a contradiction where the adapters have no base model."""
        if self.evidence.whole:
            return
        shown = "the file holds adapters only, and no base model"
        if self.training.full_finetuning:
            advice = "give the file with the whole model, or override full_finetuning=false"
            yield "full_finetuning", Verdict("contradicted", "true", shown, advice)
        repository, path = self.training.moshi_paths.hf_repo_id, self.training.moshi_paths.moshi_path
        if not (repository or "").strip() and not (path or "").strip():
            given = f"{json.dumps(repository)}, and moshi_path is {json.dumps(path)}"
            advice = "name the base model by moshi_paths.hf_repo_id or moshi_paths.moshi_path"
            yield "moshi_paths.hf_repo_id", Verdict("contradicted", given, shown, advice)

    def indices_of(self, spec: Word | tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the layers that `spec` means; None where that depends on an unknown depth."""
        depth = model_depth(self.evidence.dimensions.get("num_layers"), self.model)
        if depth is None and spec in ("all", "middle"):
            return None
        return concrete_layers(spec, depth or 0)

    def is_recorded(self, name: str) -> bool:
        """Whether a value is recorded, not a default; an override is not what the weights were trained with."""
        return self.source(name) not in ("override", "default")

    def compared(self, agrees: bool, value: Any, proof: Proof, advice: str = "", place: str = "") -> Verdict:
        return VERIFIED if agrees else self.contradicted(value, proof, advice, place)

    def mistyped(self, key: str, value: Any, wanted: str, right: Any) -> Verdict:
        """Return that `key` of config.json has a value of a wrong type, which loaders may read differently."""
        shown = f"{key} must be {wanted}{', not text' if isinstance(value, str) else ''}"
        advice = f"set it to {json.dumps(right)} there"
        given = quote(value) if isinstance(value, (str, list, dict)) else json.dumps(value)
        return Verdict("contradicted", given, shown, advice, f"{self.model_name}, {key}")


def model_depth(shown: Proof | None, model: Mapping[str, Any] | None) -> int | None:
    """Return how many layers the model has, by its tensors or else by its config.json; None where neither shows it."""
    if shown is not None:
        return int(shown.value)
    if model is None or unusable(model, "num_layers", "") is not None:
        return None
    return int(model["num_layers"])


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _layers_text(layers: tuple[int, ...]) -> str:
    """Return layers for a message, clipped; values in an override are never clipped."""
    return typed(layers) if len(layers) <= MOST_SHOWN else f"{layers[0]} to {layers[-1]} ({len(layers)} of them)"
