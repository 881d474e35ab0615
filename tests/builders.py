"""What tests are made of: checkpoints on disk, documents of every version, and a second valid value of every field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tttcfg
from tttcfg.schema.fields import ConfigField
from tttcfg.schema.paths import set_path
from tttcfg.ttt_moshi.family import TTT_MOSHI

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tttcfg"
HEAD = TTT_MOSHI.head
"""The newest version of the built-in family."""
NEWEST = f"v{HEAD:04d}"
"""The name of that version's golden document."""
NUMBERED = 7
"""The first version of the built-in family that documents state: the trainer wrote the earlier ones without tttcfg."""
MODEL = {"dim": 64, "num_heads": 4, "num_layers": 8, "context": 3000}
SECRET = "hunter2-do-not-print"

SEED_EXCERPT: dict[str, Any] = {
    "ttt": {
        "enable": True,
        "mini_batch_size": 8,
        "layers": "28,29,30",
        "base_lr": 0.0001,
        "persistent_states": True,
        "initial_gating_alpha": 0.1,
    },
    "batch_size": 1,
    "duration_sec": 100.0,
    "full_finetuning": False,
}
"""The document that the seed shows, with its comments removed."""


def tree(values: dict[str, Any]) -> dict[str, Any]:
    """Return values by dotted path as nested mappings."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        set_path(found, tuple(name.split(".")), value)
    return found


def old_document(version: int, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a complete document of an old version, with some values changed."""
    document = TTT_MOSHI.chain.template(version)
    if version >= NUMBERED:
        document["schema_version"] = version
    for name, value in (values or {}).items():
        set_path(document, tuple(name.split(".")), value)
    return document


def write_json(path: Path, values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def checkpoint(
    run: Path, document: dict[str, Any] | None = None, model: dict[str, Any] | None = MODEL, step: int = 1000
) -> Path:
    """Make a checkpoint without weights in the run folder `run` and return its folder.

    Args:
        document: Its training_config.json as plain values; None leaves the file out.
        model: Its config.json; None leaves the file out.
    """
    folder = run / "checkpoints" / f"checkpoint_{step:06d}"
    inside = folder / "consolidated"
    inside.mkdir(parents=True, exist_ok=True)
    if model is not None:
        write_json(inside / "config.json", model)
    if document is not None:
        write_json(inside / "training_config.json", document)
    return folder


def document_file(folder: Path) -> Path:
    return folder / "consolidated" / "training_config.json"


def trained(run: Path, values: dict[str, Any] | None = None, model: dict[str, Any] | None = MODEL) -> Path:
    """Make a checkpoint with a document of the current version, `values` by dotted path over the defaults."""
    folder = checkpoint(run, None, model)
    training = tttcfg.resolve(overrides=values or {}).training
    tttcfg.save_document(document_file(folder), training)
    return folder


def alternatives(field: ConfigField) -> list[Any]:
    """Return valid plain values of a field that are not its default, and never break a rule across fields."""
    special: dict[str, list[Any]] = {
        "ttt.layers": ["all", "none", [1, 2]],
        "ttt.unfrozen_attention_layers": ["all", "middle", [1, 2]],
        "ttt.mlp.layers": [3, 4],
        "ttt.mlp.hidden_dims": [[8], [16]],
        "optim.betas": [[0.5, 0.25], [0.8, 0.9]],
    }
    if field.name in special:
        return special[field.name]
    kinds = _kinds(field.info.annotation)
    for kind in kinds:
        if get_origin(kind) is Literal:
            return [word for word in get_args(kind) if word != field.default]
    if bool in kinds:
        return [not field.default]
    if int in kinds:
        return [value for value in (2, 5) if value != field.default]
    if float in kinds:
        return [value for value in (0.25, 0.75) if value != field.default]
    return ["one", "two"]


def _kinds(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return (annotation,)
    args = get_args(annotation)
    return tuple(kind for arg in args for kind in _kinds(arg)) if args else (annotation,)
