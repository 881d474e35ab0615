"""Checks of LoRA, and of what else was trained, against what tensors prove."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tttcfg.errors import quote
from tttcfg.evidence.readings import Proof
from tttcfg.evidence.verdicts import NO_TENSOR, VERIFIED, Verdict, not_determined
from tttcfg.evidence.verifier import Verifier, typed
from tttcfg.schema.fields import plain
from tttcfg.ttt_moshi.derive import unusable
from tttcfg.ttt_moshi.layer_spec import Word, concrete_layers
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig


class MoshiVerifier(Verifier[TrainingArgs, TTTConfig | None]):
    """One configuration of this family, and what tensors prove."""

    def indices_of(self, spec: Word | tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the layers that `spec` means; None where that depends on an unknown depth."""
        depth = model_depth(self.evidence.dimensions.get("num_layers"), self.model)
        if depth is None and spec in ("all", "middle"):
            return None
        return concrete_layers(spec, depth or 0)

    def is_recorded(self, name: str) -> bool:
        """Whether a value is recorded, not a default; an override does not say what the weights were trained with."""
        return self.source(name) not in ("override", "default")

    def compared(self, agrees: bool, value: Any, proof: Proof, advice: str = "", where: str = "") -> Verdict:
        return VERIFIED if agrees else self.contradicted(value, proof, advice, where)

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


class AdapterVerifier(MoshiVerifier):
    """Checks the adapters of a configuration and of config.json against the tensors."""

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
            yield "lora.rank", self.stated_rank(model["lora_rank"], rank)
        if stated is True and "lora_scaling" in model:
            yield "lora.scaling", self.scaling(model["lora_scaling"])

    def enabled(self, on: bool, advice: str, where: str = "") -> Verdict:
        """Return whether LoRA is on in the weights too; `advice` has a placeholder for the right value."""
        rank = self.evidence.rank
        if on == (rank is not None):
            return VERIFIED
        if rank is None:
            absent = "no adapter is among the weights"
            absent += " (LoRA was merged into the model, or never on)" if self.evidence.whole else ""
            why = "; a loader adds random adapters otherwise"
            return Verdict("contradicted", "true", absent, advice.format("false") + why, where)
        shown = f"the weights have adapters ({rank.tensor})"
        why = "; without, the adapters are left out"
        return Verdict("contradicted", "false", shown, advice.format("true") + why, where)

    def stated_rank(self, stated: Any, rank: Proof) -> Verdict:
        if not is_number(stated):
            return self.mistyped("lora_rank", stated, "a number", rank.value)
        advice = f"set it to {rank.value} there"
        return self.compared(stated == rank.value, stated, rank, advice, f"{self.model_name}, lora_rank")

    def scaling(self, stated: Any) -> Verdict:
        """Check the adapters' scaling, which no tensor shows, against config.json."""
        ours, source = self.training.lora.scaling, self.source("lora.scaling")
        if not is_number(stated):
            return self.mistyped("lora_scaling", stated, "a number", ours)
        if stated == ours:
            return NO_TENSOR
        shown, advice = f"{self.model_name} has lora_scaling {stated}", f"override lora.scaling={stated}"
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
            yield key, self.contradicted(plain(wanted), proof, f"override {key}={typed(proof.value)}")

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
