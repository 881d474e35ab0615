"""What the fork writes into config.json as well: its `ttt` and `yarn` sections, under other names.

A loader that built the model from config.json and left `yarn_config` out of it is what made checkpoints compute with
other positions than they were trained with (the fork fixed it in 965d167).
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from moshi_in_place_config.in_place import TTTArgs, YaRNArgs
from moshi_in_place_config.training_args import TrainArgs
from tttcfg import Derived, Place, Problem, Section, quote

NOTHING: Mapping[str, Any] = MappingProxyType({})
EMBEDDED: Mapping[str, tuple[str, type[Section]]] = {
    "ttt": ("ttt_config", TTTArgs),
    "yarn": ("yarn_config", YaRNArgs),
}
"""The sections that config.json repeats: its name for each, and the section's model."""


def in_model_config(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what config.json has of this family's fields, by dotted path."""
    found: dict[str, Any] = {}
    for name, (embedded, kind) in EMBEDDED.items():
        section = model.get(embedded)
        if isinstance(section, Mapping):
            found |= {f"{name}.{key}": section[key] for key in kind.model_fields if key in section}
    return found


def derive(
    training: TrainArgs, model: Mapping[str, Any] | None, name: str, _proved: Mapping[str, Any] = NOTHING, /
) -> Derived:
    """Derive nothing; report where config.json, which the fork's loader reads, departs from the configuration."""
    embedded = ((key, stated, attrgetter(key)(training)) for key, stated in in_model_config(model or {}).items())
    problems = (
        Problem("model_config", _difference(key, stated, ours), key, Place(name), severity="warning")
        for key, stated, ours in embedded
        if stated != ours
    )
    return Derived(None, {}, tuple(problems))


def _difference(key: str, stated: Any, ours: Any) -> str:
    section, _, field = key.partition(".")
    return f"is {quote(ours)}, and {EMBEDDED[section][0]}.{field}, which a loader takes, is {quote(stated)}"
