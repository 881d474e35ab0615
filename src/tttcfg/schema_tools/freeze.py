"""Marking the newest version as released: from then on its files stay as they are."""

from __future__ import annotations

from typing import NamedTuple

from tttcfg.errors import Problem
from tttcfg.schema_tools.check import check
from tttcfg.schema_tools.layout import Sources
from tttcfg.schema_tools.released import frozen_now, read_released
from tttcfg.schema_tools.write import write_together


class Frozen(NamedTuple):
    """The newest version, the newest that was released before, and what stands in the way of releasing all."""

    version: int
    before: int
    problems: tuple[Problem, ...]


def freeze(sources: Sources) -> Frozen:
    """Release every version up to the newest, unless `check` finds anything.

    Raises:
        WriteError: The list of what is released could not be written.
    """
    problems = check(sources.family, sources.golden, sources.options)
    if problems:
        return Frozen(-1, -1, tuple(problems))
    head, released = sources.family.head, read_released(sources)
    if released.newest < head:
        write_together({sources.released: frozen_now(sources, released, head).text().encode()})
    return Frozen(head, released.newest, ())
