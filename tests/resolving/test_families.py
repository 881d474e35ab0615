"""Families by name: what this process has imported last is what a name means."""

from __future__ import annotations

from tttcfg.family.family import Family
from tttcfg.resolving.families import family_named
from tttcfg.schema.fields import Section


def test_a_family_that_is_declared_again_takes_the_place_of_the_first() -> None:
    """As when a notebook runs a cell again: the second declaration has a class of its own."""
    for _ in range(2):
        declared = Family("declared_again", type("Args", (Section,), {}), "none", "none")
        assert family_named("declared_again") is declared
