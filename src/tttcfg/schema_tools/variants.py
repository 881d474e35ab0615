"""Variants of which only one of two schemas has one: renamed, gone or new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tttcfg.errors import Problem
from tttcfg.migration.held import RenameVariant
from tttcfg.migration.operations import Operation
from tttcfg.schema.fragments import Inside, fields_inside, fields_of, inside, properties_at, section
from tttcfg.schema.paths import split
from tttcfg.schema_tools.answers import Answers
from tttcfg.schema_tools.changes import Fields
from tttcfg.schema_tools.missing import REASON
from tttcfg.schema_tools.within import held_sections, within


class VariantChanges(NamedTuple):
    """What becomes of variants: the fields before the change under the new names of these, and what renames them.

    Attributes:
        about: The variants that answers are about.
        missing: What is to be stated of those that are gone.
    """

    old: Fields
    renames: Sequence[Operation]
    about: frozenset[str]
    missing: Sequence[Problem]


def variant_changes(old: Fields, new: Fields, answers: Answers, message: str) -> VariantChanges:
    """Return what becomes of the variants that fields hold, as far as `answers` go."""
    renames: list[RenameVariant] = []
    gone, added = _one_sided(old, new), _one_sided(new, old)
    about = {name for name in gone if name in answers.renamed or name in answers.reasons}
    for name, (path, one) in gone.items():
        to = added.get(answers.renamed.get(name, ""))
        if to is None or to[0] != path or one.variant is None or to[1].variant is None:
            continue
        reason = answers.reasons.get(name, message)
        renames.append(RenameVariant(path, *one.variant, to[1].variant[1], reason, one.each))
    whole = list(within(renames, held_sections(old, old)))
    schema = section()
    for path, fragment in old.items():
        properties_at(schema, split(path))[split(path)[-1]] = fragment
    for operation in whole:
        operation.apply_to_schema(schema)
    missing = [
        _of_gone_variant(name, [other for other, (holder, _) in added.items() if holder == path])
        for name, (path, _) in gone.items()
        if name not in about or (name in answers.renamed and not any(name in one.spellings() for one in renames))
    ]
    return VariantChanges(fields_of(schema) if renames else old, whole, frozenset(about), missing)


def _one_sided(fields: Fields, others: Fields) -> dict[str, tuple[str, Inside]]:
    """Return the variants that only one of two schemas has, of fields that hold variants in both, by name."""
    found: dict[str, tuple[str, Inside]] = {}
    for path, fragment in fields.items():
        there = {one.name(path): one for one in inside(others[path])} if path in others else {}
        if not there or any(one.variant is None for one in there.values()):
            continue
        for one in inside(fragment):
            if one.variant is not None and one.name(path) not in there:
                found[one.name(path)] = (path, one)
            elif one.variant is not None:
                found |= _one_sided(fields_inside(path, one), fields_inside(path, there[one.name(path)]))
    return found


def _of_gone_variant(name: str, new: Sequence[str]) -> Problem:
    option = f"--reason '{name}: {REASON}'"
    then = "and write in the step what becomes of documents with it"
    if not new:
        return Problem("reason", f"is no variant any more; state why, {then}", name, advice=option)
    renaming = " or ".join(f"--rename '{name}:{one}'" for one in new)
    message = f"is no variant any more, and {' and '.join(new)} {'is' if len(new) == 1 else 'are'} new: {renaming}"
    message = f"{message} if it has another name; otherwise {option}, {then}"
    return Problem("reason", message, name, advice=renaming if len(new) == 1 else option)
