"""The laws that hold for every family's history, for the history of the Moshi TTT trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tttcfg.testing
from tests.conftest import GOLDEN
from tests.strategies import overrides, settled
from tttcfg.ttt_moshi.family import TTT_MOSHI

Effects = Callable[[dict[str, Any]], dict[str, Any]]


def effects_of(version: int) -> Effects:
    """Return what the trainer of a version did with a configuration, as far as it is known."""

    def effects(document: dict[str, Any]) -> dict[str, Any]:
        """Settings that did not exist were constants; two inner layers were built alike, whatever was written."""
        ttt = document.get("ttt", {"enable": False, "layers": "none"})
        found = {"ttt.enable": ttt["enable"], "ttt.inner_model": "mlp", "ttt.kernel": "torch", "optim.eps": 1e-8}
        if version < 2:
            found["ttt.initial_gating_alpha"] = 0.05
        if version < 4:
            found |= {"ttt.weight_lr_multiplier": 1.0, "ttt.alpha_lr_multiplier": 1.0}
        if version < 5:
            found |= {"ttt.rope_mode": "legacy", "ttt.reset_on_new_file": False}
        else:
            found["ttt.rope_mode"] = {True: "mini_batch", False: "off", "legacy": "legacy"}[ttt["use_rope"]]
        if version < 6:
            found |= {"ttt.ttt_layer_context": 3000, "ttt.non_ttt_layer_context": 3000}
        if ttt.get("ttt_mlp_layers", 2) == 2:
            found |= {"ttt.mlp.layers": 2, "ttt.mlp.hidden_dims": None, "ttt.mlp.expansion_factor": 4.0}
        else:
            found |= {"ttt.mlp.layers": ttt["ttt_mlp_layers"], "ttt.mlp.hidden_dims": ttt["ttt_mlp_hidden_dims"]}
        metrics = document.get("paper_metrics", {})
        found["evaluation.enable"] = metrics.get("paper_metrics_eval", False)
        mode = metrics.get("librilight_evaluation_mode")
        found["evaluation.librilight.evaluation_mode"] = mode if mode in ("single_book", "multi_book") else "random"
        return found

    return effects


TestSchema = tttcfg.testing.laws(
    "ttt_moshi",
    golden=GOLDEN,
    overrides=overrides,
    settled=settled,
    effects={version: effects_of(version) for version in range(TTT_MOSHI.head)},
)
