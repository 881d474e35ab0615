"""What the fork writes into config.json as well: its `ttt` and `yarn` sections, under other names.

A loader that built the model from config.json and left `yarn_config` out of it is what made checkpoints compute with
other positions than they were trained with (the fork mended it in 965d167).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from moshi_in_place_config.training_args import TrainArgs
from tttcfg.errors import Place, Problem, quote
from tttcfg.family.family import Derived
from tttcfg.schema.fields import config_fields

NOTHING: Mapping[str, Any] = MappingProxyType({})
EMBEDDED = {"ttt": "ttt_config", "yarn": "yarn_config"}
"""The sections that config.json repeats, and what it calls them."""


def in_model_config(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what config.json says of this family's fields, by dotted path."""
    found = {}
    for name, one in config_fields(TrainArgs).items():
        section = model.get(EMBEDDED.get(one.path[0], ""))
        if isinstance(section, Mapping) and one.path[-1] in section:
            found[name] = section[one.path[-1]]
    return found


def derive(
    training: TrainArgs, model: Mapping[str, Any] | None, name: str, _proved: Mapping[str, Any] = NOTHING, /
) -> Derived:
    """Derive nothing, and say where config.json, which the fork's loader reads, departs from the configuration."""
    fields = config_fields(TrainArgs)
    differing = {
        key: stated for key, stated in in_model_config(model or {}).items() if stated != fields[key].get(training)
    }
    problems = (
        Problem(
            "model_config", _difference(key, stated, fields[key].get(training)), key, Place(name), severity="warning"
        )
        for key, stated in differing.items()
    )
    return Derived(None, {}, tuple(problems))


def _difference(key: str, stated: Any, ours: Any) -> str:
    section, _, field = key.partition(".")
    return f"is {quote(ours)}, and {EMBEDDED[section]}.{field}, which a loader takes, is {quote(stated)}"
