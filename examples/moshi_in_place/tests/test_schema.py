"""The laws of tttcfg, for this family's history."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tttcfg.testing

GOLDEN = Path(__file__).with_name("golden")


def before_yarn(_document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"yarn.enabled": False, "yarn.scale": 1.0}


def before_clipping(_document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"ttt.delta_clip_fro_norm": None, "optim.betas": [0.9, 0.95]}


TestSchema = tttcfg.testing.laws(
    "moshi_in_place_config.family:FAMILY",
    golden=GOLDEN,
    effects={0: before_yarn, 1: before_yarn, 2: before_clipping},
)
