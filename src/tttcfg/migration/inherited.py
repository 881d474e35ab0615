"""A step of a family's parent as a step of the family's own history."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from tttcfg.migration.chain import Migration
from tttcfg.schema.fragments import Fragment


def inherited(
    parent: Migration,
    *,
    version: int,
    without: Collection[str] = (),
    declared: Mapping[str, Fragment] = MappingProxyType({}),
) -> Migration:
    """Return a parent's step, with its operations and their reasons, as the step to `version` of a family below it.

    Args:
        parent: The parent's step.
        version: The version of the family that it leads to.
        without: Fields that the family declares itself and that stay as they are: the parent's operations on them are
            left out.
        declared: Fields that the family declares itself and whose values the parent's operation converts, with their
            JSON Schema afterwards, in place of the parent's.

    Raises:
        ValueError: The step has no operation on one of these fields.
    """
    unknown = {*without, *declared} - {one.path for one in parent.operations}
    if unknown:
        raise ValueError(f"version {parent.version} of the parent has no operation on {', '.join(sorted(unknown))}")
    kept = [one for one in parent.operations if one.path not in without]
    operations = [replace(one, fragment=declared[one.path]) if one.path in declared else one for one in kept]  # type: ignore[call-arg]
    return replace(parent, version=version, operations=tuple(operations), parent=parent.version)
