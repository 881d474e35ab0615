"""Whether a configuration of this family agrees with what tensors prove."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tttcfg.errors import quote
from tttcfg.fields import plain
from tttcfg.ttt_moshi.derive import DIMENSIONS, inner_layer_sizes
from tttcfg.ttt_moshi.layer_spec import Word, concrete_layers
from tttcfg.ttt_moshi.proving import STORED, alike, in_model_config, model_depth, proved
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.weights.evidence import Evidence
from tttcfg.weights.judgement import VERIFIED, Judgement, unverifiable
from tttcfg.weights.readings import Proof

__all__ = ["Judge", "alike", "in_model_config", "proved"]

MOST_SHOWN = 12
_WIDTHS = ("mlp.layers", "mlp.hidden_dims", "mlp.expansion_factor")
_OF_TTT_LAYERS = ("layers", "layer_indices", "inner_model", "inner_layer_sizes", *_WIDTHS)


@dataclass(frozen=True)
class Judge:
    """Holds one configuration against what tensors prove.

    Attributes:
        config: What the layers read; None where it is not derived.
        model: The model's config.json, and its name; None where there is none.
        source: Tells what decided a field; `override` where somebody chose it on purpose, for this run.
    """

    training: TrainingArgs
    config: TTTConfig | None
    evidence: Evidence
    model: Mapping[str, Any] | None
    model_name: str
    source: Callable[[str], str]

    def judgements(self) -> Iterator[tuple[str, Judgement]]:
        """Yield what is to be said of a field; a field of which nothing is said depends on no tensor."""
        yield from self.stored()
        if self.evidence.dialect is None:
            return
        if self.evidence.dialect.other_ttt:
            yield "ttt.enable", unverifiable(f"the TTT of {self.evidence.dialect.title} is another one")
            return
        yield from self.dimensions()
        yield from self.layers()
        if self.evidence.dialect.trained_here:
            yield from self.adapters()
            yield from self.trained_too()
            yield from self.base()

    def stored(self) -> Iterator[tuple[str, Judgement]]:
        dtype, name, source = self.evidence.dtype, self.training.param_dtype, self.source("param_dtype")
        stored = f"the weights are stored in {dtype.value}" if dtype is not None else ""
        if dtype is None:
            verdict = unverifiable("the tensors are not all stored in one floating-point type")
        elif dtype.value == name:
            verdict = VERIFIED
        elif source == "override" or (source == "default" and dtype.value not in STORED):
            advice = "" if source == "override" else f"override param_dtype={name} to run them in it on purpose"
            verdict = unverifiable(f"{stored}, and the {source} is {name}")._replace(advice=advice)
        else:
            advice = f"override param_dtype={dtype.value if dtype.value in STORED else name}"
            advice += ", or give the file that was saved with it"
            verdict = Judgement("contradicted", quote(name), f"{stored} ({dtype.tensor})", advice)
        yield "param_dtype", verdict
        if self.config is not None:
            yield "ttt.dtype", verdict._replace(advice="")

    def dimensions(self) -> Iterator[tuple[str, Judgement]]:
        """Hold config.json against the tensors; head_dim follows from it."""
        shown = self.evidence.dimensions
        for ours, theirs in DIMENSIONS.items():
            given = (self.model or {}).get(theirs)
            if ours not in shown:
                yield f"ttt.{ours}", unverifiable("no tensor of this file shows it")
            elif given is None:
                continue
            elif given == shown[ours].value:
                yield f"ttt.{ours}", VERIFIED
            else:
                advice = "give the config.json of the model that was trained"
                yield f"ttt.{ours}", self.contradicted(given, shown[ours], advice, f"{self.model_name}, {theirs}")
        if self.config is not None and "head_dim" in shown:
            agrees = self.config.head_dim == shown["head_dim"].value
            yield "ttt.head_dim", VERIFIED if agrees else self.contradicted(self.config.head_dim, shown["head_dim"])

    def layers(self) -> Iterator[tuple[str, Judgement]]:
        ttt, found = self.training.ttt, self.evidence.layers
        wanted = self.wanted_layers()
        on = ttt.enable and wanted != ()
        if found is None:
            for name in ("enable", "layers", "layer_indices"):
                yield f"ttt.{name}", unverifiable("layers have tensors that nobody knows")
            if on and self.evidence.widths is None:
                shown = "none of the tensors is known to be of a TTT layer"
                advice = "override ttt.enable=false, or give weights whose names are known"
                yield "ttt.enable", Judgement("contradicted", "true", shown, advice)
            if on:
                yield from self.inner_model()
            return
        if on != bool(found.value):
            yield from self.switched(on, found)
            return
        yield "ttt.enable", VERIFIED
        if not on:
            yield from self.silent("TTT is off")
            return
        if wanted is None:
            yield "ttt.layers", unverifiable("how many layers the model has is not known")
        elif wanted == found.value:
            yield from ((key, VERIFIED) for key in ("ttt.layers", "ttt.layer_indices"))
        else:
            given = "" if plain(ttt.layers) == list(wanted) else f", which means {_shown(wanted)}"
            said = f"{quote(plain(ttt.layers))}{given}"
            shown = f"the weights have TTT in layers {_shown(found.value)} ({found.tensor})"
            advice = f"override ttt.layers={_typed(found.value)}"
            yield "ttt.layers", Judgement("contradicted", said, shown, advice)
            yield "ttt.layer_indices", Judgement("contradicted", said, shown)
        if "mini_batch_size" in self.evidence.dimensions:
            yield self.equal("ttt.mini_batch_size", ttt.mini_batch_size, self.evidence.dimensions["mini_batch_size"])
        yield from self.inner_model()

    def wanted_layers(self) -> tuple[int, ...] | None:
        """Return the layers that the configuration means; None where that depends on an unknown depth."""
        ttt = self.training.ttt
        if not ttt.enable or ttt.layers == "none":
            return ()
        if self.config is not None:
            return self.config.layer_indices
        return self.meant(ttt.layers)

    def meant(self, spec: Word | tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the layers that `spec` means; None where that depends on an unknown depth."""
        depth = model_depth(self.evidence.dimensions.get("num_layers"), self.model)
        if depth is None and spec in ("all", "middle"):
            return None
        return concrete_layers(spec, depth or 0)

    def switched(self, on: bool, found: Proof) -> Iterator[tuple[str, Judgement]]:
        """Say that TTT is on in the configuration and not in the weights, or the reverse."""
        ttt = self.training.ttt
        if on:
            shown = "no tensor of a TTT layer is in the weights"
            advice = "override ttt.enable=false, or give the weights that were trained with TTT"
            yield "ttt.enable", Judgement("contradicted", "true", shown, advice)
            yield from self.silent("the weights have no TTT layer")
            return
        key, said = ("ttt.layers", quote(ttt.layers)) if ttt.enable else ("ttt.enable", "false")
        shown = f"the weights have TTT in layers {_shown(found.value)} ({found.tensor})"
        better = f"ttt.layers={_typed(found.value)}" if ttt.enable else "ttt.enable=true"
        advice = f"override {better}; as it is, their tensors would be left out"
        yield key, Judgement("contradicted", said, shown, advice)
        yield from self.silent("TTT is off")

    def silent(self, reason: str) -> Iterator[tuple[str, Judgement]]:
        for name in _OF_TTT_LAYERS:
            yield f"ttt.{name}", unverifiable(reason)

    def inner_model(self) -> Iterator[tuple[str, Judgement]]:
        ttt, widths = self.training.ttt, self.evidence.widths
        if widths is None:
            yield from self.silent("the tensors of the inner model cannot be read as one")
            return
        kind = "linear" if len(widths.value) == 2 else "mlp"
        yield self.equal("ttt.inner_model", ttt.inner_model, widths._replace(value=kind))
        if self.config is not None:
            agrees = self.config.inner_layer_sizes == widths.value
            sizes = self.contradicted(list(self.config.inner_layer_sizes), widths)
            yield "ttt.inner_layer_sizes", VERIFIED if agrees else sizes
        names = [f"ttt.{name}" for name in _WIDTHS]
        if kind == "linear" or kind != ttt.inner_model:
            reason = "the inner model is linear" if kind == ttt.inner_model else "ttt.inner_model is contradicted"
            yield from ((name, unverifiable(reason)) for name in names)
            return
        layers = len(widths.value) - 1
        yield self.equal("ttt.mlp.layers", ttt.mlp.layers, widths._replace(value=layers))
        if ttt.mlp.layers != layers:
            yield from ((name, unverifiable("ttt.mlp.layers is contradicted")) for name in names[1:])
            return
        yield from self.hidden_widths(widths)

    def hidden_widths(self, widths: Proof) -> Iterator[tuple[str, Judgement]]:
        mlp = self.training.ttt.mlp
        hidden = list(widths.value[1:-1])
        agrees = inner_layer_sizes(self.training.ttt, widths.value[0]) == widths.value
        advice = f"override ttt.mlp.hidden_dims={hidden}"
        if mlp.hidden_dims is not None:
            said = self.contradicted(list(mlp.hidden_dims), widths._replace(value=hidden), advice)
            yield "ttt.mlp.hidden_dims", VERIFIED if agrees else said
            yield "ttt.mlp.expansion_factor", unverifiable("ttt.mlp.hidden_dims decides the widths")
            return
        said = self.contradicted(mlp.expansion_factor, widths._replace(value=hidden), advice)
        yield "ttt.mlp.expansion_factor", VERIFIED if agrees else said
        yield "ttt.mlp.hidden_dims", VERIFIED if agrees else unverifiable("ttt.mlp.expansion_factor is contradicted")

    def adapters(self) -> Iterator[tuple[str, Judgement]]:
        """Hold LoRA in the configuration and in config.json against the adapters in the file."""
        rank, lora, model = self.evidence.rank, self.training.lora, self.model or {}
        places = [("", lora.enable, "override lora.enable={}")]
        if isinstance(model.get("lora"), bool):
            places.append((f"{self.model_name}, lora", model["lora"], "set it to {} there"))
        absent = "no adapter is among the weights"
        absent += " (LoRA was merged into the model, or never on)" if self.evidence.whole else ""
        for where, enabled, advice in places:
            if enabled == (rank is not None):
                yield "lora.enable", VERIFIED
            elif rank is None:
                why = "; a loader that believes it adds random adapters"
                yield "lora.enable", Judgement("contradicted", "true", absent, advice.format("false") + why, where)
            else:
                why = "; without, the adapters are left out"
                shown = f"the weights have adapters ({rank.tensor})"
                yield "lora.enable", Judgement("contradicted", "false", shown, advice.format("true") + why, where)
        if rank is None or not lora.enable:
            yield "lora.rank", unverifiable("LoRA is off" if not lora.enable else "the weights have no adapter")
            return
        yield self.equal("lora.rank", lora.rank, rank)
        if model.get("lora") is True and "lora_rank" in model and model["lora_rank"] != rank.value:
            where = f"{self.model_name}, lora_rank"
            yield "lora.rank", self.contradicted(model["lora_rank"], rank, f"set it to {rank.value} there", where)
        yield from self.scaling()

    def scaling(self) -> Iterator[tuple[str, Judgement]]:
        """Hold the adapters' scaling, which no tensor shows, against config.json."""
        ours, model, source = self.training.lora.scaling, self.model or {}, self.source("lora.scaling")
        if model.get("lora") is not True or model.get("lora_scaling", ours) == ours:
            return
        theirs = quote(model["lora_scaling"])
        shown = f"{self.model_name} has lora_scaling {theirs}"
        advice = f"override lora.scaling={theirs}"
        if source == "override":
            yield "lora.scaling", unverifiable(f"{shown}, and the override is {ours}")
        elif source == "default":
            yield "lora.scaling", unverifiable(f"{shown}, and the default is {ours}")._replace(advice=advice)
        else:
            shown += ", which a loader takes"
            yield "lora.scaling", Judgement("contradicted", str(ours), shown, f"{advice}, or set it to {ours} there")

    def trained_too(self) -> Iterator[tuple[str, Judgement]]:
        """Hold what else was trained against what lies beside the adapters; a run may train something else."""
        training, evidence, key = self.training, self.evidence, "ttt.unfrozen_attention_layers"
        if training.full_finetuning:
            return
        embeddings, unfrozen, wanted = evidence.embeddings, evidence.unfrozen, training.ttt.unfrozen_attention_layers
        if embeddings is not None and evidence.rank is not None and training.lora.enable and self.said("lora.ft_embed"):
            yield self.equal("lora.ft_embed", training.lora.ft_embed, embeddings)
        if unfrozen is None or not training.ttt.enable or not self.said(key):
            return
        unsaved = evidence.rank is not None and not unfrozen.value  # beside adapters it may not have been saved
        if not unsaved and self.meant(wanted) not in (None, unfrozen.value):
            proof = unfrozen._replace(value=list(unfrozen.value) or "none")
            yield key, self.contradicted(plain(wanted), proof, f"override {key}={_typed(proof.value)}")

    def said(self, name: str) -> bool:
        """Whether somebody said what the weights were trained with; an override says what to train now."""
        return self.source(name) not in ("override", "default")

    def base(self) -> Iterator[tuple[str, Judgement]]:
        """Say where adapters would have no base model to go onto."""
        if self.evidence.whole:
            return
        paths = self.training.moshi_paths
        shown = "the file holds adapters only, and no base model"
        if self.training.full_finetuning:
            advice = "give the file with the whole model, or override full_finetuning=false"
            yield "full_finetuning", Judgement("contradicted", "true", shown, advice)
        if paths.hf_repo_id is None and paths.moshi_path is None:
            advice = "name the base model by moshi_paths.hf_repo_id or moshi_paths.moshi_path"
            yield "moshi_paths.hf_repo_id", Judgement("contradicted", "null, as is moshi_path,", shown, advice)

    def equal(self, key: str, value: Any, proof: Proof) -> tuple[str, Judgement]:
        if value == proof.value:
            return key, VERIFIED
        return key, self.contradicted(value, proof, f"override {key}={_typed(proof.value)}")

    def contradicted(self, said: Any, proof: Proof, advice: str = "", where: str = "") -> Judgement:
        shown = f"the weights have {quote(plain(proof.value))} ({proof.tensor})"
        return Judgement("contradicted", quote(said), shown, advice, where)


def _typed(value: Any) -> str:
    """Return a value as it is typed in an override."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _shown(layers: tuple[int, ...]) -> str:
    """Return layers for a sentence, clipped; what is to be typed is never clipped."""
    return _typed(layers) if len(layers) <= MOST_SHOWN else f"{layers[0]} to {layers[-1]} ({len(layers)} of them)"
