"""The frozen schemas of a family, and whether operations and model agree with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from tttcfg.errors import Problem
from tttcfg.family.family import schema_name
from tttcfg.family.json_schema import document_schema, model_schema
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Operation
from tttcfg.schema.fragments import Fragment, allowed, bare, fields_of, is_section, section
from tttcfg.schema.paths import MISSING
from tttcfg.schema_tools.changes import SchemaChange, changes, meaning_of, renames
from tttcfg.schema_tools.layout import RESTORE, History, class_name, problem_in, read_json

Frozen = dict[int, Fragment]


def read_frozen(history: History, head: int) -> tuple[Frozen, list[Problem]]:
    """Read the frozen schema of every version up to `head`, with what is missing, unreadable or of no version."""
    found: Frozen = {}
    problems: list[Problem] = []
    for version in range(head + 1):
        path, named = history.schema(version), history.family.schema_id_of(version)
        if not path.is_file():
            message, amend = f"is missing: version {version} has no frozen schema", history.command("new --amend")
            problems.append(problem_in(path, "schema", message, f"{RESTORE}, or write it: {amend}"))
            continue
        schema, unreadable = read_json(path, "schema")
        problems += unreadable
        if schema is None:
            continue
        try:
            fields_of(schema)
        except (LookupError, TypeError, AttributeError) as error:
            problems.append(problem_in(path, "schema", f"is not a frozen schema: {error}", RESTORE))
            continue
        found[version] = schema
        if schema.get("$id") != named:
            message = f"has the $id {schema.get('$id')} instead of {named}"
            problems.append(problem_in(path, "schema", message, f"{RESTORE}, or correct $id"))
    for path in sorted(history.schemas.glob("v*.json")):
        if path.name not in map(schema_name, range(head + 1)):
            message = "is the schema of a version that no step leads to"
            problems.append(problem_in(path, "schema", message, "bring the step back, or remove the file"))
    return found, problems


def unlike_steps(history: History, frozen: Mapping[int, Fragment], chain: Chain) -> dict[int, list[Problem]]:
    """Return where the operations of a step do not turn one frozen schema into the next, by the step's version."""
    found: dict[int, list[Problem]] = {}
    for step in chain.migrations:
        before = frozen.get(step.version - 1) if step.version else section()
        after = frozen.get(step.version)
        if before is None or after is None:
            continue
        path = history.step(step.version)
        try:
            made = made_by(step, before)
        except LookupError as error:
            found[step.version] = [problem_in(path, "step", str(error), "fix its operations")]
            continue
        for change in changes(made, fields_of(after)):
            if not only_annotations_differ(change):
                message = f"{difference(change, 'the frozen schema', 'its operations')} ({schema_name(step.version)})"
                one = problem_in(path, "step", message, "fix its operations, or bring the schema back from git")
                found.setdefault(step.version, []).append(one)
    return found


def unconverted(history: History, frozen: Mapping[int, Fragment], chain: Chain, after: int) -> Iterator[Problem]:
    """Yield numbers that have another unit from one version to the next, of those later than `after`, and no step says
    what becomes of them.
    """
    for step in chain.migrations[max(after, 0) + 1 :]:
        if step.version - 1 not in frozen or step.version not in frozen:
            continue
        old, new = fields_of(frozen[step.version - 1]), fields_of(frozen[step.version])
        for change in changes(old, new, renames([step], old)):
            unit, names = change.other_unit, {change.path, change.was}
            single = [one for operation in step.operations for one in operation.singly()]
            if unit and not any(one.path in names and _converts(one, unit) for one in single):
                was = meaning_of(change.old or {}, "unit")
                message = (
                    f"{change.path} is in {unit}, and was in {was}, but no operation says what becomes of its numbers"
                )
                advice = f'give it a Convert; or, if they stay, Redeclare("{change.path}", …, unit="{unit}")'
                yield problem_in(history.step(step.version), "unit", message, advice)


def _converts(operation: Operation, unit: str) -> bool:
    """Whether an operation converts old numbers, or states that they stay in a unit of that name."""
    return operation.kind in ("converted", "promoted") or getattr(operation, "unit", "") == unit


def made_by(step: Migration, before: Fragment) -> dict[str, Fragment]:
    """Return the fields that a step makes of the schema `before`.

    Raises:
        LookupError: Its operations do not fit that schema.
    """
    fragment = section(deepcopy(before["properties"]))
    try:
        step.apply_to_schema(fragment)
    except Exception as error:  # whatever the family's operations raise
        raise LookupError(f"cannot be applied to the schema before it: {error!r}") from None
    nowhere = ", ".join(_nowhere(fragment, ""))
    if nowhere:
        raise LookupError(f"cannot be applied to the schema before it, which has no field to become {nowhere}")
    return fields_of(fragment)


def _nowhere(fragment: Fragment, prefix: str) -> Iterator[str]:
    """Yield the fields that operations made of no older field."""
    for name, child in fragment["properties"].items():
        if child is MISSING:
            yield prefix + name
        elif is_section(child):
            yield from _nowhere(child, f"{prefix}{name}.")


def drift(history: History, frozen: Mapping[int, Fragment], released: bool) -> Iterator[Problem]:
    """Yield every field in which the model differs from the newest frozen schema.

    The wording of a released version's descriptions may be improved in the code; a changed meaning needs a version.
    """
    family = history.family
    if family.head not in frozen:
        return
    advice = history.command('new "message"' if released else "new --amend")
    model = model_schema(family)
    found = changes(fields_of(frozen[family.head]), fields_of(model))
    for change in found:
        reworded = only_annotations_differ(change) and set(change.semantic) <= {"description"}
        if not (released and reworded):
            message = difference(change, "the code", f"{schema_name(family.head)}")
            yield Problem("drift", message, place=class_name(family.model), advice=advice)
    if not found and not released and family.chain and document_schema(family, family.head) != frozen[family.head]:
        message = "has other titles or descriptions of sections than the code"
        yield problem_in(history.schema(family.head), "drift", message, advice)


def only_annotations_differ(change: SchemaChange) -> bool:
    """Whether a field differs in its description, unit or role alone."""
    return change.kind == "changed" and bare(change.old) == bare(change.new)


def difference(change: SchemaChange, new: str, old: str) -> str:
    """Return as text how a field differs between two schemas, which are called `new` and `old`."""
    if change.kind == "added":
        return f"{change.path} is in {new} and not in {old}"
    if change.kind == "removed":
        return f"{change.path} is in {old} and not in {new}"
    parts = [f"{name} {_quoted(change.old, name)} -> {_quoted(change.new, name)}" for name in change.semantic]
    if allowed(change.old or {}) != allowed(change.new or {}):
        parts.append("what it allows")
    return f"{change.path} differs between {old} and {new}: {', '.join(parts)}"


def _quoted(fragment: Any, name: str) -> str:
    return json.dumps(meaning_of(fragment or {}, name), ensure_ascii=False)
