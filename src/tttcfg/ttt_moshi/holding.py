"""What everything shares that holds a configuration of this family against what tensors prove."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tttcfg.errors import quote
from tttcfg.fields import plain
from tttcfg.ttt_moshi.layer_spec import Word, concrete_layers
from tttcfg.ttt_moshi.proving import model_depth
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.weights.evidence import Evidence
from tttcfg.weights.judgement import VERIFIED, Judgement
from tttcfg.weights.readings import Proof


@dataclass(frozen=True)
class Holding:
    """One configuration, and what tensors prove.

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

    def meant(self, spec: Word | tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the layers that `spec` means; None where that depends on an unknown depth."""
        depth = model_depth(self.evidence.dimensions.get("num_layers"), self.model)
        if depth is None and spec in ("all", "middle"):
            return None
        return concrete_layers(spec, depth or 0)

    def said(self, name: str) -> bool:
        """Whether somebody said what the weights were trained with; an override says what to train now."""
        return self.source(name) not in ("override", "default")

    def equal(self, key: str, value: Any, proof: Proof) -> tuple[str, Judgement]:
        if value == proof.value:
            return key, VERIFIED
        return key, self.contradicted(value, proof, f"override {key}={typed(proof.value)}")

    def contradicted(self, said: Any, proof: Proof, advice: str = "", where: str = "") -> Judgement:
        shown = f"the weights have {quote(plain(proof.value))} ({proof.tensor})"
        return Judgement("contradicted", quote(said), shown, advice, where)

    def mistyped(self, key: str, value: Any, wanted: str, right: Any) -> Judgement:
        """Say that `key` of config.json is no value of its kind, so that nobody knows how a loader reads it."""
        shown = f"{key} must be {wanted}{', not text' if isinstance(value, str) else ''}"
        advice = f"set it to {json.dumps(right)} there"
        said = quote(value) if isinstance(value, (str, list, dict)) else json.dumps(value)
        return Judgement("contradicted", said, shown, advice, f"{self.model_name}, {key}")


def typed(value: Any) -> str:
    """Return a value as it is typed in an override."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
