"""What tensors prove of this family's fields, and whether a configuration agrees with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tttcfg.errors import quote
from tttcfg.fields import plain
from tttcfg.ttt_moshi.derive import DIMENSIONS, inner_layer_sizes
from tttcfg.ttt_moshi.layer_spec import concrete_layers
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.weights.evidence import Evidence, Proof
from tttcfg.weights.judgement import VERIFIED, Judgement, unverifiable

MOST_SHOWN = 12
STORED = {"bfloat16", "float32"}
IN_MODEL_CONFIG = {
    **{f"ttt.{ours}": theirs for ours, theirs in DIMENSIONS.items()},
    "lora.enable": "lora",
    "lora.rank": "lora_rank",
    "lora.scaling": "lora_scaling",
}
"""Fields that the trainer also writes into config.json, and the keys that it gives them there."""


def proved(evidence: Evidence) -> dict[str, Proof]:
    """Return what tensors prove, by the dotted path of the field; values are plain, as JSON has them."""
    if evidence.dialect is None:
        return _stored(evidence)
    if evidence.dialect.other_ttt:
        return {name: proof for name, proof in _stored(evidence).items() if not name.startswith("ttt.")}
    layers = evidence.layers
    found = {"ttt.enable": layers._replace(value=bool(layers.value))}
    if layers.value:
        found["ttt.layers"] = found["ttt.layer_indices"] = layers._replace(value=list(layers.value))
    if evidence.widths is not None:
        found |= _inner_model(evidence.widths)
    found |= {f"ttt.{name}": proof for name, proof in evidence.dimensions.items()}
    if evidence.dialect.trained_here:
        found |= _adapters(evidence)
    return found | _stored(evidence)


def in_model_config(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model's config.json says of this family's fields, by dotted path."""
    return {name: model[key] for name, key in IN_MODEL_CONFIG.items() if key in model}


def _inner_model(widths: Proof) -> dict[str, Proof]:
    sizes = widths.value
    found = {"ttt.inner_layer_sizes": widths._replace(value=list(sizes))}
    found["ttt.inner_model"] = widths._replace(value="linear" if len(sizes) == 2 else "mlp")
    if len(sizes) == 2:
        return found
    found["ttt.mlp.layers"] = widths._replace(value=len(sizes) - 1)
    hidden, factor = list(sizes[1:-1]), sizes[1] / sizes[0]
    alike = set(hidden) == {int(sizes[0] * factor)}  # a factor says it as well, and says it for any number of layers
    found["ttt.mlp.hidden_dims"] = widths._replace(value=None if alike else hidden)
    if alike:
        found["ttt.mlp.expansion_factor"] = widths._replace(value=factor)
    return found


def _adapters(evidence: Evidence) -> dict[str, Proof]:
    rank, layers = evidence.rank, evidence.layers
    found = {"lora.enable": layers._replace(value=rank is not None, tensor=rank.tensor if rank else "no adapter")}
    if rank is not None:
        found["lora.rank"] = rank
    if evidence.embeddings is not None and rank is not None:
        found["lora.ft_embed"] = evidence.embeddings
    if evidence.unfrozen is not None:
        found["full_finetuning"] = evidence.unfrozen._replace(value=False, tensor="no base model in the file")
        unfrozen = list(evidence.unfrozen.value) or "none"
        found["ttt.unfrozen_attention_layers"] = evidence.unfrozen._replace(value=unfrozen)
    return found


def _stored(evidence: Evidence) -> dict[str, Proof]:
    dtype = evidence.dtype
    return {} if dtype is None or dtype.value not in STORED else {"param_dtype": dtype, "ttt.dtype": dtype}


@dataclass(frozen=True)
class Judge:
    """Holds one configuration against what tensors prove.

    Attributes:
        config: What the layers read; None where it is not derived.
        model: The model's config.json, and its name; None where there is none.
        overridden: Tells whether somebody chose a field on purpose, for this run.
    """

    training: TrainingArgs
    config: TTTConfig | None
    evidence: Evidence
    model: Mapping[str, Any] | None
    model_name: str
    overridden: Callable[[str], bool]

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
            yield from self.base()

    def stored(self) -> Iterator[tuple[str, Judgement]]:
        dtype, name = self.evidence.dtype, self.training.param_dtype
        if dtype is None:
            verdict = unverifiable("floating-point tensors are stored in several types, or there are none")
        elif dtype.value == name:
            verdict = VERIFIED
        elif self.overridden("param_dtype"):
            verdict = unverifiable(f"an override chose it; the weights are stored in {dtype.value}")
        else:
            shown = f"the weights are stored in {dtype.value} ({dtype.tensor})"
            advice = f"override param_dtype={dtype.value}, or give the file that was saved with it"
            verdict = Judgement("contradicted", quote(name), shown, advice)
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
        if on != bool(found.value):
            yield from self.switched(on)
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
            advice = f"override ttt.layers={_listed(found.value)}"
            yield "ttt.layers", Judgement("contradicted", said, shown, advice)
            yield "ttt.layer_indices", Judgement("contradicted", said, shown)
        if "mini_batch_size" in self.evidence.dimensions:
            yield self.equal("ttt.mini_batch_size", ttt.mini_batch_size, self.evidence.dimensions["mini_batch_size"])
        yield from self.inner_model()

    def wanted_layers(self) -> tuple[int, ...] | None:
        """Return the layers that the configuration means; None where that depends on an unknown depth."""
        ttt, depth = self.training.ttt, self.evidence.dimensions.get("num_layers")
        if not ttt.enable or ttt.layers == "none":
            return ()
        if self.config is not None:
            return self.config.layer_indices
        if isinstance(ttt.layers, str) and depth is None:
            return None
        return concrete_layers(ttt.layers, depth.value if depth else 0)

    def switched(self, on: bool) -> Iterator[tuple[str, Judgement]]:
        """Say that TTT is on in the configuration and not in the weights, or the reverse."""
        ttt, found = self.training.ttt, self.evidence.layers
        if on:
            shown = "no tensor of a TTT layer is in the weights"
            advice = "override ttt.enable=false, or give the weights that were trained with TTT"
            yield "ttt.enable", Judgement("contradicted", "true", shown, advice)
            yield from self.silent("the weights have no TTT layer")
            return
        key, said = ("ttt.layers", quote(ttt.layers)) if ttt.enable else ("ttt.enable", "false")
        shown = f"the weights have TTT in layers {_shown(found.value)} ({found.tensor})"
        better = f"ttt.layers={_listed(found.value)}" if ttt.enable else "ttt.enable=true"
        advice = f"override {better}; as it is, their tensors would be left out"
        yield key, Judgement("contradicted", said, shown, advice)
        yield from self.silent("TTT is off")

    def silent(self, reason: str) -> Iterator[tuple[str, Judgement]]:
        for name in ("layers", "inner_model", "mlp.layers", "mlp.hidden_dims", "mlp.expansion_factor"):
            yield f"ttt.{name}", unverifiable(reason)

    def inner_model(self) -> Iterator[tuple[str, Judgement]]:
        ttt, widths = self.training.ttt, self.evidence.widths
        if widths is None:
            return
        kind = "linear" if len(widths.value) == 2 else "mlp"
        yield self.equal("ttt.inner_model", ttt.inner_model, widths._replace(value=kind))
        if self.config is not None:
            agrees = self.config.inner_layer_sizes == widths.value
            sizes = self.contradicted(list(self.config.inner_layer_sizes), widths)
            yield "ttt.inner_layer_sizes", VERIFIED if agrees else sizes
        names = ("ttt.mlp.layers", "ttt.mlp.hidden_dims", "ttt.mlp.expansion_factor")
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
        return key, self.contradicted(value, proof, f"override {key}={proof.value}")

    def contradicted(self, said: Any, proof: Proof, advice: str = "", where: str = "") -> Judgement:
        shown = f"the weights have {quote(plain(proof.value))} ({proof.tensor})"
        return Judgement("contradicted", quote(said), shown, advice, where)


def _listed(layers: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, layers))}]"


def _shown(layers: tuple[int, ...]) -> str:
    """Return layers for a sentence, clipped; what is to be typed is never clipped."""
    return _listed(layers) if len(layers) <= MOST_SHOWN else f"{layers[0]} to {layers[-1]} ({len(layers)} of them)"
