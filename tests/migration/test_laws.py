"""The laws that hold for every family's history, for the history of the Moshi TTT trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tttcfg.testing
from tests.builders import NUMBERED
from tests.conftest import GOLDEN
from tests.strategies import overrides, settled

Effects = Callable[[dict[str, Any]], dict[str, Any]]
ABSENT: dict[str, tuple[str, Any]] = {
    "paper_metrics_use_user_stream": ("use_user_stream", False),
    "paper_metrics_use_silence": ("use_silence", False),
    "librilight_max_chapters": ("librilight.max_chapters", 3),
    "librilight_num_sequences": ("librilight.num_sequences", 1),
    "librilight_speaker_id": ("librilight.speaker_id", "100"),
    "librilight_book_name": ("librilight.book_name", "emerald_city_librivox_64kb_mp3"),
    "librilight_streaming.enabled": ("librilight.streaming.enabled", True),
    "librilight_streaming.memory_check": ("librilight.streaming.memory_check", True),
    "librilight_streaming.ttt_verification": ("librilight.streaming.ttt_verification", True),
    "librilight_streaming.use_fixed_method": ("librilight.streaming.use_fixed_method", True),
    "librilight_streaming.verify_loss_computation": ("librilight.streaming.verify_loss_computation", True),
    "librilight_streaming.cache_clear_interval": ("librilight.streaming.cache_clear_interval", 3000),
    "librilight_streaming.max_sequence_length": ("librilight.streaming.max_sequence_length", 50_000),
    "librilight_streaming.memory_log_interval": ("librilight.streaming.memory_log_interval", 1000),
    "long_context_max_files": ("long_context.max_files", 10),
}
"""What the old program took for keys of `paper_metrics` that were absent (finetune/paper_metrics.py), by key."""


def effects_of(version: int) -> Effects:
    """Return what the trainer of a version before 7 did with a configuration, as far as it is known."""

    def effects(document: dict[str, Any]) -> dict[str, Any]:
        """Settings that did not exist were constants; two inner layers had the same width, whatever was written."""
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
        mode = metrics.get("librilight_evaluation_mode", "single_book")
        found["evaluation.librilight.evaluation_mode"] = mode if mode in ("single_book", "multi_book") else "random"
        streaming = {
            f"librilight_streaming.{key}": value for key, value in metrics.get("librilight_streaming", {}).items()
        }
        for key, (name, absent) in ABSENT.items():
            written = {**metrics, **streaming}.get(key, absent)
            found[f"evaluation.{name}"] = str(written) if key == "librilight_speaker_id" else written
        for name in ("sblimp", "swuggy", "tstory", "sstory"):
            most = metrics.get(f"{name}_max_pairs", 2000)
            found[f"evaluation.{name}.max_pairs"] = None if most == 0 and name in ("sblimp", "swuggy") else most
        found |= {
            name: max(document[name], 0) for name in ("ckpt_freq", "eval_freq")
        }  # below 1 is the last only, never
        return found

    return effects


TestSchema = tttcfg.testing.laws(
    "ttt_moshi",
    golden=GOLDEN,
    overrides=overrides,
    settled=settled,
    effects={version: effects_of(version) for version in range(NUMBERED)},
)
