"""What everything of this family shares that holds a configuration against what tensors prove."""

from __future__ import annotations

import json
from typing import Any

from tttcfg.errors import quote
from tttcfg.ttt_moshi.layer_spec import Word, concrete_layers
from tttcfg.ttt_moshi.proving import model_depth
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.weights.holding import Holding
from tttcfg.weights.judgement import Judgement


class MoshiHolding(Holding[TrainingArgs, TTTConfig | None]):
    """One configuration of this family, and what tensors prove."""

    def meant(self, spec: Word | tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the layers that `spec` means; None where that depends on an unknown depth."""
        depth = model_depth(self.evidence.dimensions.get("num_layers"), self.model)
        if depth is None and spec in ("all", "middle"):
            return None
        return concrete_layers(spec, depth or 0)

    def said(self, name: str) -> bool:
        """Whether somebody said what the weights were trained with; an override says what to train now."""
        return self.source(name) not in ("override", "default")

    def mistyped(self, key: str, value: Any, wanted: str, right: Any) -> Judgement:
        """Say that `key` of config.json is no value of its kind, so that nobody knows how a loader reads it."""
        shown = f"{key} must be {wanted}{', not text' if isinstance(value, str) else ''}"
        advice = f"set it to {json.dumps(right)} there"
        said = quote(value) if isinstance(value, (str, list, dict)) else json.dumps(value)
        return Judgement("contradicted", said, shown, advice, f"{self.model_name}, {key}")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
