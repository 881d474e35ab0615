"""Hours of saving, editing, binding, migrating and resolving in fast forward, with kills, beside plain models."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest

from tests.builders import ROOT
from tests.launcher import python
from tests.trust.bound_life import BoundLife
from tests.trust.life import Life, documents
from tests.trust.soak import live
from tttcfg.migration import operations
from tttcfg.resolving import resolver
from tttcfg.schema.fields import Role
from tttcfg.verification import bind

SEEN = {
    Life: ("resolved", "saved", "edited", "upgraded, nothing lost", "downgraded, nothing lost", "killed before"),
    BoundLife: ("bound", "bound to another", "saving refused", "binding refused", "killed", "resolved", "contradicted"),
}
"""What has to happen in a few lives, or they show nothing."""
MORE = ("downgraded, with losses", "migration refused for its losses", "edited back", "killed after", "saved anew")
"""And in many."""
ROUNDS = 20
GROWN_MIB = 16
"""The most memory that a process may take more after many thousand steps than after the first."""


@pytest.mark.parametrize(("machine", "lives"), [(Life, 6), (BoundLife, 4)])
def test_a_checkpoint_is_what_the_models_expect_after_every_step(
    machine: Any, lives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents()
    monkeypatch.setattr(machine, "seen", Counter())
    live(machine, 0, lives, 40)
    assert not [what for what in SEEN[machine] if not machine.seen[what]], machine.seen


WRONG = {
    "files before the checkpoint": (Life, resolver, "Role", type("Roles", (), {"RUN": Role.TRAINING})),
    "a fill that is not taken back": (Life, operations.Add, "down", lambda *_: iter(())),
    "a conversion that is not undone": (Life, operations.Convert, "down", lambda *_: iter(())),
    "weights that are bound without a look": (BoundLife, bind, "refused", lambda *_: []),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_program_is_caught(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    documents()
    machine, place, name, other = WRONG[wrong]
    monkeypatch.setattr(place, name, other)
    with pytest.raises(AssertionError, match=r"differ|lost|although"):
        live(machine, 0, 20, 40)


@pytest.mark.slow
def test_thousands_of_steps_differ_in_nothing_and_take_no_memory() -> None:
    """The figures are those of `python -m tests.trust.soak 20`."""
    figures = python("-m", "tests.trust.soak", str(ROUNDS), cwd=ROOT, limit=7200).json
    sys.stdout.write(f"{figures}\n")
    assert not [what for kinds in (*SEEN.values(), MORE) for what in kinds if not figures["seen"].get(what)]
    assert figures["steps"] > 500 * ROUNDS
    assert figures["memory_grown_kib"] < GROWN_MIB << 10, figures["memory_kib"]
