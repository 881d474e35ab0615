"""What each version of the trainer's configuration means, in plain Python: the model that migration is compared with.

Written from `docs/history.md`, with the names and defaults of the frozen schemas; it shares no code with the program.
Values are by dotted name; a document's `paper_metrics`, which is free in form, is one value.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).parents[2] / "schemas" / "ttt_moshi"
NEWEST = 7
ADDED: dict[int, dict[str, Any]] = {
    1: {
        "ttt.enable": False,
        "ttt.layers": "none",
        "ttt.base_lr": 1.0,
        "ttt.mini_batch_size": 16,
        "ttt.persistent_states": True,
        "paper_metrics": {},
    },
    2: {
        "ttt.initial_gating_alpha": 0.05,
        "ttt.optimize_chunk_size": True,
        "ttt.chunk_size": None,
        "ttt.max_chunk_size": 50,
        "ttt.prefer_efficiency": True,
        "ttt.ttt_mlp_layers": 2,
        "ttt.ttt_mlp_hidden_dims": None,
        "ttt.ttt_mlp_expansion_factor": 4.0,
    },
    3: {
        "ttt.override_gating_alpha_on_resume": False,
        "ttt.normalize_ttt_output": False,
        "ttt.target_output_norm": 25.0,
        "ttt.log_inner_loop_losses": False,
        "ttt.inner_loop_log_interval": 1,
        "ttt.save_inner_loop_plots": False,
        "ttt.inner_loop_plot_dir": "./evaluation_plots/inner_loop",
        "resume_from": None,
        "reset_optimizer": False,
        "reset_step": False,
    },
    4: {"ttt.weight_lr_multiplier": 1.0, "ttt.alpha_lr_multiplier": 1.0},
    5: {
        "ttt.use_rope": "legacy",
        "ttt.rope_theta": 10000.0,
        "rope_continuous": False,
        "rope_reset_on_new_file": False,
    },
    6: {
        "ttt.ttt_layer_context": 3000,
        "ttt.non_ttt_layer_context": 3000,
        "ttt.unfrozen_attention_layers": "none",
        "ttt.enable_training_diagnostics": False,
        "ttt.training_diagnostic_frequency": 100,
    },
}
"""What the program did before a setting existed, by the version that added the setting."""
CONSTANTS: dict[str, Any] = {
    "optim.betas": [0.9, 0.95],
    "optim.eps": 1e-8,
    "ttt.inner_norm_eps": 1e-8,
    "ttt.state_dtype": "parameters",
    "ttt.rope_scaling": "audio",
    "ttt.inner_model": "mlp",
    "ttt.reconstruction_eps": 1e-5,
    "ttt.scan_checkpoint_group_size": 16,
    "ttt.scan_checkpoint_group_size_eval": 0,
    "ttt.kernel": "torch",
    "ttt.tensor_parallel_size": 1,
}
"""What version 7 made settings of, but for the two that the depth decided."""
DOUBTFUL = {"ttt.inner_norm_eps", "ttt.state_dtype", "ttt.rope_scaling", "ttt.read_out", "ttt.scan_dtype"}
MOVED = {
    "ttt.ttt_mlp_layers": "ttt.mlp.layers",
    "ttt.ttt_mlp_hidden_dims": "ttt.mlp.hidden_dims",
    "ttt.ttt_mlp_expansion_factor": "ttt.mlp.expansion_factor",
    "ttt.use_rope": "ttt.rope_mode",
    "rope_reset_on_new_file": "ttt.reset_on_new_file",
}
UNUSED = {
    "rope_continuous",
    *(f"ttt.{name}" for name in ("normalize_ttt_output", "target_output_norm", "log_inner_loop_losses")),
    *(f"ttt.{name}" for name in ("inner_loop_log_interval", "save_inner_loop_plots", "inner_loop_plot_dir")),
    *(f"ttt.{name}" for name in ("optimize_chunk_size", "chunk_size", "max_chunk_size", "prefer_efficiency")),
}
METRICS: dict[str, tuple[str, Any]] = {
    "paper_metrics_eval": ("enable", False),
    "paper_metrics_freq": ("freq", 0),
    "paper_metrics_use_silence": ("use_silence", False),
    "paper_metrics_use_user_stream": ("use_user_stream", False),
    **{f"{one}_audio_dir": (f"{one}.audio_dir", None) for one in ("sblimp", "swuggy", "tstory", "sstory")},
    **{f"{one}_gold_csv": (f"{one}.gold_csv", None) for one in ("sblimp", "swuggy")},
    **{f"{one}_max_pairs": (f"{one}.max_pairs", 2000) for one in ("sblimp", "swuggy", "tstory", "sstory")},
    "librilight_audio_dir": ("librilight.audio_dir", None),
    "librilight_evaluation_mode": ("librilight.evaluation_mode", "single_book"),
    "librilight_max_chapters": ("librilight.max_chapters", 3),
    "librilight_num_sequences": ("librilight.num_sequences", 1),
    "librilight_speaker_id": ("librilight.speaker_id", "100"),
    "librilight_book_name": ("librilight.book_name", "emerald_city_librivox_64kb_mp3"),
    "librilight_streaming.enabled": ("librilight.streaming.enabled", True),
    "librilight_streaming.memory_check": ("librilight.streaming.memory_check", True),
    "librilight_streaming.cache_clear_interval": ("librilight.streaming.cache_clear_interval", 3000),
    "librilight_streaming.max_sequence_length": ("librilight.streaming.max_sequence_length", 50_000),
    "librilight_streaming.memory_log_interval": ("librilight.streaming.memory_log_interval", 1000),
    "librilight_streaming.ttt_verification": ("librilight.streaming.ttt_verification", True),
    "librilight_streaming.use_fixed_method": ("librilight.streaming.use_fixed_method", True),
    "librilight_streaming.verify_loss_computation": ("librilight.streaming.verify_loss_computation", True),
    "long_context_audio_dir": ("long_context.audio_dir", None),
    "long_context_max_files": ("long_context.max_files", 10),
}
"""By the key of `paper_metrics`, its name below `evaluation`, and what its absence meant."""
NEVER_READ = (
    *("save_results_json", "results_dir", "librilight_max_files", "librilight_concatenated_dir"),
    *("librilight_max_tokens", "ttt_fig5_enable", "ttt_fig5_max_T", "ttt_fig5_layers", "ttt_fig5_smooth"),
    *(f"{one}_stream_config" for one in ("sblimp", "swuggy", "tstory", "sstory")),
    *("ttt.optimize_chunk_size", "ttt.chunk_size", "ttt.max_chunk_size", "ttt.prefer_efficiency"),
    "ttt.mini_batch_size",
)
LAYERS = ("ttt.layers", "ttt.unfrozen_attention_layers")
GONE = {*UNUSED, "paper_metrics", "wandb.key"}
ABSENT: Any = object()
Values = dict[str, Any]


@dataclass
class Trail:
    """What is known of a document from an older version.

    Attributes:
        origin: The version that it was written in.
        removed: What no version 7 holds, under its old name; of `paper_metrics`, what no one read.
        before: What the sections `ttt` and `evaluation` held when it was upgraded.
    """

    origin: int = NEWEST
    filled: set[str] = field(default_factory=set)
    converted: Values = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    removed: Values = field(default_factory=dict)
    given_metrics: set[str] = field(default_factory=set)
    assumed: Values = field(default_factory=dict)
    before: dict[str, Values] = field(default_factory=dict)


@dataclass
class Current:
    """A configuration as version 7 has it, and where it comes from."""

    values: Values
    trail: Trail = field(default_factory=Trail)

    @property
    def assumed(self) -> Values:
        return {name: value for name, value in self.trail.assumed.items() if self.values[name] == value}

    @property
    def is_valid(self) -> bool:
        return is_valid(self.values)


def is_valid(values: Values) -> bool:
    """Whether the one rule across fields is kept: each hidden layer has a width."""
    widths = values["ttt.mlp.hidden_dims"]
    return widths is None or len(widths) == values["ttt.mlp.layers"] - 1


def flat(document: Any, prefix: str = "") -> Values:
    """Return a document's settings by dotted name."""
    found: Values = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name != "paper_metrics":
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def nested(values: Values) -> Any:
    """Return settings by dotted name as a document has them."""
    found: Any = {}
    for name, value in values.items():
        put(found, name, deepcopy(value))
    return found


def put(mapping: Any, name: str, value: Any) -> None:
    *above, last = name.split(".")
    for part in above:
        mapping = mapping.setdefault(part, {})
    mapping[last] = value


def take(mapping: Any, name: str) -> Any:
    """Remove and return what is at a dotted name; `ABSENT` where nothing is."""
    *above, last = name.split(".")
    for part in above:
        mapping = mapping.get(part)
        if not isinstance(mapping, dict):
            return ABSENT
    return mapping.pop(last, ABSENT)


@cache
def schema(version: int) -> dict[str, Any]:
    """Return the schema of every field of a version, by dotted name, as it is frozen."""
    whole = json.loads((SCHEMAS / f"v{version:04d}.schema.json").read_bytes())
    reserved = ("$schema", "schema_version", "provenance", "extensions")

    def fields(properties: Any, prefix: str) -> dict[str, Any]:
        found = {}
        for key, one in properties.items():
            if "properties" in one:
                found |= fields(one["properties"], f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = one
        return found

    return fields({key: one for key, one in whole["properties"].items() if key not in reserved}, "")


def default(name: str, version: int, values: Values | None = None) -> Any:
    """Return a setting's default in a version; in the newest one some follow from the depth of the inner model."""
    declared = schema(version)[name]
    if "default" in declared:
        return deepcopy(declared["default"])
    assert values is not None
    depth = 1 if values["ttt.inner_model"] == "linear" else values["ttt.mlp.layers"]
    if name == "ttt.read_out":
        return "twice" if depth > 2 else "once"
    if name == "ttt.scan_dtype":
        return "float32" if depth == 2 else "parameters"
    assert name == "ttt.persistent_states"
    return "first_sequence" if depth > 2 else "never"


def identified(values: Values) -> int:
    """Return the version of the newest setting."""
    return max(next(version for version in range(NEWEST + 1) if name in schema(version)) for name in values)


def is_deep(values: Values) -> bool:
    return bool(values["ttt.mlp.layers"] > 2)


def new_form(name: str, value: Any, deep: bool) -> Any:
    """Return a value, under the name that it was written under before version 7, as version 7 writes it."""
    if name in ("ckpt_freq", "eval_freq"):
        return max(value, 0)
    if name == "world_size" and value is not None:
        return value if value >= 1 else None
    if name in LAYERS and isinstance(value, str) and value not in ("all", "middle", "none"):
        return sorted({int(index) for index in value.split(",")})
    if name == "ttt.use_rope" and isinstance(value, bool):
        return "mini_batch" if value else "off"
    if name == "ttt.persistent_states" and isinstance(value, bool):
        return "first_sequence" if deep else "never"
    if name == "ttt.ttt_mlp_hidden_dims":
        return value if deep else None
    if name == "ttt.ttt_mlp_expansion_factor":
        return value if deep else 4.0
    return value


def old_form(name: str, value: Any) -> Any:
    """Return a value of version 7 as the older versions write it."""
    if name in LAYERS and isinstance(value, list):
        return ",".join(map(str, value))
    if name == "ttt.use_rope" and value != "legacy":
        return value == "mini_batch"
    if name == "ttt.persistent_states":
        return value != "never"  # `each_sequence` has no old form, and the old default is true
    return value


def new_metric(key: str, value: Any) -> Any:
    if key == "paper_metrics_freq":
        return max(value, 0)
    if key in ("sblimp_max_pairs", "swuggy_max_pairs"):
        return None if value == 0 else value
    if key == "librilight_evaluation_mode":
        return value if value in ("single_book", "multi_book") else "random"
    if key in ("librilight_speaker_id", "librilight_book_name"):
        return str(value) if isinstance(value, int) else value
    return value


def later(values: Values, version: int, to: int) -> Values:
    """Return a document as a later version before 7 has it: what was added is what the program did without it."""
    found = deepcopy(values)
    for step in range(version + 1, to + 1):
        found |= {name: deepcopy(fill) for name, fill in ADDED[step].items() if name not in found}
    return found


def upgraded(written: Values) -> Current:
    """Return a document of a version before 7 as version 7 has it."""
    version = identified(written)
    missing = [name for name in schema(version) if name not in written and name not in GONE]
    old = later({**{name: default(name, version) for name in missing}, **written}, version, NEWEST - 1)
    trail = Trail(version)
    deep = old["ttt.ttt_mlp_layers"] > 2
    values: Values = {**deepcopy(CONSTANTS)}
    values["ttt.read_out"], values["ttt.scan_dtype"] = ("twice", "parameters") if deep else ("once", "float32")
    trail.filled, trail.doubted = set(values), set(DOUBTFUL)
    for name, value in old.items():
        if name in GONE:
            continue
        now = MOVED.get(name, name)
        values[now] = new_form(name, value, deep)
        if name in missing:
            trail.assumed[now] = values[now]
            continue
        if name not in written:
            trail.filled.add(now)
        if values[now] != value and (
            name not in (*LAYERS, "ttt.use_rope", "ttt.persistent_states") or (old_form(name, values[now]) != value)
        ):
            trail.converted[now] = value
    context = written.get("ttt.ttt_layer_context")
    if context not in (None, 3000):
        trail.doubted.add("ttt.ttt_layer_context")
    _evaluation(old.get("paper_metrics", {}), values, trail)
    _removed(written, trail)
    trail.before = {name: section(values, name) for name in ("ttt", "evaluation")}
    return Current(values, trail)


def _evaluation(metrics: Any, values: Values, trail: Trail) -> None:
    metrics = deepcopy(metrics)
    for key, (name, absent) in METRICS.items():
        now, value = f"evaluation.{name}", take(metrics, key)
        if value is ABSENT:
            values[now] = absent
            trail.filled.add(now)
            continue
        values[now] = new_metric(key, value)
        trail.given_metrics.add(key)
        if values[now] != value:
            trail.converted[now] = value


def _removed(written: Values, trail: Trail) -> None:
    trail.removed = {name: written[name] for name in UNUSED if name in written}
    if "wandb.key" in written:
        trail.removed["wandb.key"] = None if written["wandb.key"] is None else "(withheld)"
    if "paper_metrics" not in written:
        return
    rest = deepcopy(written["paper_metrics"])
    for key in METRICS:
        take(rest, key)
    for key in NEVER_READ:
        if (value := take(rest, key)) is not ABSENT:
            trail.removed[f"paper_metrics.{key}"] = value
    trail.removed["paper_metrics"] = rest


def section(values: Values, name: str) -> Values:
    return {key: value for key, value in values.items() if key.startswith(f"{name}.")}


def section_of(removed: str) -> str:
    """Return the section that a removed value is kept for; empty at the top level."""
    return {"paper_metrics": "evaluation", "ttt": "ttt"}.get(removed.split(".")[0], "")


def is_hollow(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_hollow, value.values()))


def downgraded(current: Current, to: int) -> tuple[Values, set[str]]:
    """Return what the program of a version before 7 would have written, and the names of what is lost on the way."""
    values, trail = current.values, current.trail
    edited = {name for name, before in trail.before.items() if section(values, name) != before}
    kept = {name: one for name, one in trail.removed.items() if section_of(name) not in edited}
    losses = _lost(current, to, kept)
    found = {name: _older(name, current) for name in schema(to) if name not in GONE}
    found |= {name: one for name, one in kept.items() if name in UNUSED and name in schema(to)}
    if "wandb.key" in kept:
        found["wandb.key"] = None
    if to >= 1:
        metrics = _metrics(current, kept)
        if metrics is not ABSENT:
            found["paper_metrics"] = metrics
    for step in range(trail.origin + 1, to + 1):
        for name, fill in ADDED[step].items():
            if name in GONE and name not in found:
                found[name] = deepcopy(fill)
    found = _as_complete(found, current, to)
    again = upgraded(found).values if identified(found) == to else {}
    return found, losses | {name for name, value in values.items() if again.get(name, ABSENT) != value}


def _older(name: str, current: Current) -> Any:
    now = MOVED.get(name, name)
    value, recorded = current.values[now], current.trail.converted.get(now, ABSENT)
    if recorded is not ABSENT and new_form(name, recorded, is_deep(current.values)) == value:
        return deepcopy(recorded)
    return deepcopy(old_form(name, value))


def _metrics(current: Current, kept: Values) -> Any:
    """Return `paper_metrics`: what is kept of it, and what is not as it was without it."""
    found: Any = deepcopy(kept["paper_metrics"]) if "paper_metrics" in kept else {}
    for name, value in kept.items():
        if name.startswith("paper_metrics."):
            put(found, name.removeprefix("paper_metrics."), deepcopy(value))
    for key, (name, absent) in METRICS.items():
        value = current.values[f"evaluation.{name}"]
        if value == absent and key not in current.trail.given_metrics:
            continue
        recorded = current.trail.converted.get(f"evaluation.{name}", ABSENT)
        is_recorded = recorded is not ABSENT and new_metric(key, recorded) == value
        put(found, key, recorded if is_recorded else value)
    return found if found or "paper_metrics" in kept else ABSENT


def _lost(current: Current, to: int, kept: Values) -> set[str]:
    """Return the names of removed values that do not come back: stale ones, and those that the version cannot hold."""
    losses = set()
    for name, value in current.trail.removed.items():
        if name == "wandb.key":
            losses |= {name} if value is not None else set()
        elif name not in kept:
            is_default = name in schema(to) and value == default(name, to)
            losses |= {name} if not is_default and not (is_hollow(value) and name not in schema(to)) else set()
        elif name in UNUSED and name not in schema(to):
            fill = next(added[name] for added in ADDED.values() if name in added)
            losses |= {name} if value != fill else set()
        elif name.startswith("paper_metrics") and to == 0 and not is_hollow(value):
            losses.add("paper_metrics")
    return losses


def _as_complete(found: Values, current: Current, to: int) -> Values:
    """Return the document without what the original, of the same version, did not have either."""
    if current.trail.origin != to:
        return found
    assumed = current.assumed
    less = {
        name: value
        for name, value in found.items()
        if not (MOVED.get(name, name) in assumed and value == default(name, to))
    }
    return less if less and identified(less) == to else found
