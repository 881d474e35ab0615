"""What type checkers know of a result: `make types` runs mypy and pyright on this file, and nothing runs it."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

import tttcfg
from tttcfg import Document, Effective, Family, Role, Section, TrainingArgs, TTTConfig, setting


class Layers(Section):
    """What the layers of another trainer read."""

    width: int = setting(8, role=Role.COMPUTATION, unit="dimensionless", description="Width.")


class Args(Section):
    """The configuration of another trainer."""

    context: int = setting(64, role=Role.COMPUTATION, unit="tokens", description="Context.")


BARE: Family[Args, None] = Family("bare", Args, "bare.migrations", "bare.schemas")
LAYERED = Family("layered", Args, "layered.migrations", "layered.schemas", layers=Layers)


def built_in() -> None:
    effective = tttcfg.resolve("run")
    assert_type(effective, Effective[TrainingArgs, TTTConfig])
    assert_type(effective.training.ttt.mini_batch_size, int)
    assert effective.ttt is not None
    assert_type(effective.ttt.head_dim, int)
    assert_type(tttcfg.load_document("run"), Document[TrainingArgs])
    assert_type(tttcfg.load_document("run").training.seed, int)


def other_families(chosen: Family[Any, Any]) -> None:
    assert_type(tttcfg.resolve(family=BARE).training.context, int)
    assert_type(tttcfg.resolve(family=LAYERED), Effective[Args, Layers])
    layers = tttcfg.resolve(family=LAYERED).ttt
    assert layers is not None
    assert_type(layers.width, int)
    assert_type(tttcfg.load_document("run", family=BARE), Document[Args])
    assert_type(tttcfg.resolve(family=chosen), Effective[Any, Any])


def misspelled() -> None:
    _ = tttcfg.resolve(family=BARE).training.contxt  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    _ = tttcfg.resolve().training.ttt.mini_batchsize  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    _ = tttcfg.reslove  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
