"""What tensors prove of this family's fields, and which forms of a value are equivalent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tttcfg.evidence.evidence import Evidence, Proof
from tttcfg.evidence.knowledge import TensorKnowledge
from tttcfg.ttt_moshi import NAME
from tttcfg.ttt_moshi.derive import DIMENSIONS, inner_layer_sizes
from tttcfg.ttt_moshi.layer_spec import concrete_layers
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_settings import LARGEST_FACTOR, MLPArgs, TTTArgs
from tttcfg.ttt_moshi.verifier import STORED, MoshiVerifier, model_depth

IN_MODEL_CONFIG = {
    **{f"ttt.{ours}": theirs for ours, theirs in DIMENSIONS.items()},
    "lora.enable": "lora",
    "lora.rank": "lora_rank",
    "lora.scaling": "lora_scaling",
}
"""Fields that the trainer also writes into config.json, with their keys there."""


class MoshiTensors(TensorKnowledge):
    """What the Moshi TTT trainer's tensors prove of its settings."""

    verifier = MoshiVerifier

    def proved(self, evidence: Evidence) -> dict[str, Proof]:
        """Return what tensors prove, by the dotted path of the field; values are plain, as JSON has them.

        A value can have more than one form: see `equivalent`.
        """
        if evidence.dialect is None:
            return _stored(evidence)
        if evidence.dialect.other_ttt:
            return {name: proof for name, proof in _stored(evidence).items() if not name.startswith("ttt.")}
        found, layers, known = {}, evidence.layers, evidence.known_layers
        if layers is not None or known.value:
            found["ttt.enable"] = known._replace(value=bool(known.value))
        if layers is not None and layers.value:
            found["ttt.layers"] = found["ttt.layer_indices"] = layers._replace(value=list(layers.value))
        if evidence.widths is not None:
            found |= _inner_model(evidence.widths)
        found |= {f"ttt.{name}": proof for name, proof in evidence.dimensions.items()}
        if evidence.dialect.family == NAME:
            found |= _adapters(evidence)
        return found | _stored(evidence)

    def as_saved(self, recorded: Callable[[str], Any], evidence: Evidence) -> dict[str, Proof]:
        """Return that LoRA is off where saving has merged the adapters, though the trainer's files still have it on."""
        ours = evidence.dialect is not None and evidence.dialect.family == NAME
        without = evidence.whole and evidence.rank is None and not evidence.unread_adapter
        if not ours or not without or recorded("save_adapters"):
            return {}
        return {
            "lora.enable": Proof(False, "save_adapters is false, which merges adapters, and none is among the weights")
        }

    def undetermined_fields(self, evidence: Evidence, training: TrainingArgs) -> tuple[str, ...]:
        """Return the fields that have to be given, because unknown tensors could be of a layer's TTT."""
        if evidence.dialect is None or evidence.dialect.family != NAME or evidence.layers is not None:
            return ()
        return ("ttt.enable", "ttt.layers") if training.ttt.enable else ("ttt.enable",)

    def in_model_config(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of this family's fields in a model's config.json, by dotted path."""
        return {name: model[key] for name, key in IN_MODEL_CONFIG.items() if key in model}

    def equivalent(
        self, proved: Mapping[str, Proof], given: Mapping[str, Any], model: Mapping[str, Any] | None
    ) -> Iterator[str]:
        """Yield the fields that `given`, by dotted path, has in another form than `proved`, with the same meaning.

        Tensors show indices, and not whether they were given as `middle`; they show widths, and not whether a factor or
        a list was given.
        """
        depth = model_depth(proved.get("ttt.num_layers"), model)
        for name in ("ttt.layers", "ttt.unfrozen_attention_layers"):
            spec = given.get(name)
            if name in proved and isinstance(spec, str) and depth is not None:
                shown = () if proved[name].value == "none" else tuple(proved[name].value)
                if concrete_layers(spec, depth) == shown:  # type: ignore[arg-type]
                    yield name
        names = ("ttt.mlp.hidden_dims", "ttt.mlp.expansion_factor")
        if "ttt.mlp.layers" in proved and any(given.get(name) is not None for name in names):
            widths, layers = tuple(proved["ttt.inner_layer_sizes"].value), proved["ttt.mlp.layers"].value
            widths_given = {name.rpartition(".")[2]: given[name] for name in names if name in given}
            mlp = MLPArgs().model_copy(update={**widths_given, "layers": layers})
            if inner_layer_sizes(TTTArgs().model_copy(update={"mlp": mlp}), widths[0]) == widths:
                yield from (name for name in names if name in given)


def _inner_model(widths: Proof) -> dict[str, Proof]:
    sizes = widths.value
    found = {"ttt.inner_layer_sizes": widths._replace(value=list(sizes))}
    found["ttt.inner_model"] = widths._replace(value="linear" if len(sizes) == 2 else "mlp")
    if len(sizes) == 2:
        return found
    found["ttt.mlp.layers"] = widths._replace(value=len(sizes) - 1)
    hidden, factor = list(sizes[1:-1]), sizes[1] / sizes[0]
    plain = set(hidden) == {int(sizes[0] * factor)} and factor <= LARGEST_FACTOR  # as most configurations have it
    found["ttt.mlp.hidden_dims"] = widths._replace(value=None if plain else hidden)
    if plain:
        found["ttt.mlp.expansion_factor"] = widths._replace(value=factor)
    return found


def _adapters(evidence: Evidence) -> dict[str, Proof]:
    rank, unfrozen = evidence.rank, evidence.unfrozen
    without = rank is None and not evidence.unread_adapter
    found = {"lora.enable": Proof(False, "no adapter")} if without else {}
    if rank is not None:
        found |= {"lora.enable": rank._replace(value=True), "lora.rank": rank}
    if evidence.embeddings is not None and rank is not None:
        found["lora.ft_embed"] = evidence.embeddings
    if unfrozen is not None:
        found["full_finetuning"] = Proof(False, "no base model in the file")
        if unfrozen.value or without:  # beside adapters, no trained attention may mean that it was not saved
            found["ttt.unfrozen_attention_layers"] = unfrozen._replace(value=list(unfrozen.value) or "none")
    return found


def _stored(evidence: Evidence) -> dict[str, Proof]:
    dtype = evidence.dtype
    return {} if dtype is None or dtype.value not in STORED else {"param_dtype": dtype, "ttt.dtype": dtype}
