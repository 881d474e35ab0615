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
from tttcfg.schema.fragments import Shape, allowed, bare, default_of, fields_of, is_section, section
from tttcfg.schema.paths import MISSING
from tttcfg.schema_tools.changes import Change, changes
from tttcfg.schema_tools.layout import Sources, shown
from tttcfg.schema_tools.leftovers import leftovers

Frozen = dict[int, Shape]


def read_frozen(sources: Sources, head: int) -> tuple[Frozen, list[Problem]]:
    """Read the frozen schema of every version up to `head`, and say what is missing, unreadable or of nobody."""
    found: Frozen = {}
    problems: list[Problem] = []
    for version in range(head + 1):
        path = sources.schema(version)
        if not path.is_file():
            message, mend = f"is missing: version {version} has no frozen schema", sources.command("new --amend")
            problems.append(
                Problem("schema", message, place=shown(path), advice=f"bring it back from git, or write it: {mend}")
            )
            continue
        text = path.read_text("utf-8", errors="replace")
        try:
            schema = json.loads(text)
            fields_of(schema)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = Problem(
                "schema", f"is no frozen schema: {error}", place=shown(path), advice="bring it back from git"
            )
            problems += leftovers("schema", shown(path), text, "") or [said]
            continue
        found[version] = schema
        named = sources.family.schema_id_of(version)
        if schema.get("$id") != named:
            message = f"calls itself {schema.get('$id')}, and is {named}"
            problems.append(
                Problem("schema", message, place=shown(path), advice="bring it back from git, or correct $id")
            )
    expected = {schema_name(version) for version in range(head + 1)}
    for path in sorted(sources.schemas.glob("v*.json")):
        if path.name not in expected:
            message = "is the schema of a version that no step leads to"
            problems.append(
                Problem("schema", message, place=shown(path), advice="bring the step back, or take the file out")
            )
    return found, problems


def unlike_steps(sources: Sources, frozen: Mapping[int, Shape], chain: Chain) -> Iterator[Problem]:
    """Yield where the operations of a step do not turn one frozen schema into the next."""
    for step in chain.migrations:
        before = frozen.get(step.version - 1) if step.version else section()
        after = frozen.get(step.version)
        if before is None or after is None:
            continue
        place = shown(sources.step(step.version))
        try:
            made = made_by(step, before)
        except Exception as error:  # operations of somebody's on a schema that they do not fit
            yield Problem(
                "step",
                f"cannot be applied to the schema before it: {error!r}",
                place=place,
                advice="mend its operations",
            )
            continue
        for change in changes(made, fields_of(after)):
            if not bare_alike(change):
                message = f"{told(change, 'the frozen schema', 'its operations')} ({schema_name(step.version)})"
                yield Problem(
                    "step", message, place=place, advice="mend its operations, or bring the schema back from git"
                )


def made_by(step: Migration, before: Shape) -> dict[str, Shape]:
    """Return the fields that a step makes of the schema `before`."""
    shape = section(deepcopy(before["properties"]))
    step.reshape(shape)
    nowhere = list(_nowhere(shape, ""))
    if nowhere:
        raise LookupError(f"what is to become {', '.join(nowhere)} was not there before")
    return fields_of(shape)


def _nowhere(shape: Shape, prefix: str) -> Iterator[str]:
    """Yield the fields that operations made of nothing."""
    for name, child in shape["properties"].items():
        if child is MISSING:
            yield prefix + name
        elif is_section(child):
            yield from _nowhere(child, f"{prefix}{name}.")


def drift(sources: Sources, frozen: Mapping[int, Shape], released: bool) -> Iterator[Problem]:
    """Yield every field in which the model is not what the newest frozen schema says.

    Of a released version the wording of descriptions may be improved in the code; a changed meaning needs a version.
    """
    family = sources.family
    if family.head not in frozen:
        return
    mend = sources.command('new "message"' if released else "new --amend")
    model = model_schema(family)
    found = changes(fields_of(frozen[family.head]), fields_of(model))
    for change in found:
        if not (
            released and change.kind == "changed" and set(change.semantic) <= {"description"} and bare_alike(change)
        ):
            message = told(change, "the code", f"{schema_name(family.head)}")
            yield Problem("drift", message, place=f"{family.model.__module__}.{family.model.__qualname__}", advice=mend)
    if not found and not released and family.chain and document_schema(family, family.head) != frozen[family.head]:
        message = "explains sections or itself otherwise than the code does"
        yield Problem("drift", message, place=shown(sources.schema(family.head)), advice=mend)


def bare_alike(change: Change) -> bool:
    return change.kind == "changed" and bare(change.old) == bare(change.new)


def told(change: Change, new: str, old: str) -> str:
    """Say how a field differs between what `new` and `old` name."""
    if change.kind == "added":
        return f"{change.path} is in {new} and not in {old}"
    if change.kind == "removed":
        return f"{change.path} is in {old} and not in {new}"
    parts = [f"{name} {_quoted(change.old, name)} -> {_quoted(change.new, name)}" for name in change.semantic]
    if allowed(change.old or {}) != allowed(change.new or {}):
        parts.append("what it allows")
    return f"{change.path} differs between {old} and {new}: {', '.join(parts)}"


_KEYS = {"unit": "x-unit", "role": "x-role"}


def _quoted(shape: Any, name: str) -> str:
    value = default_of(shape or {}) if name == "default" else (shape or {}).get(_KEYS.get(name, name))
    return json.dumps(value, ensure_ascii=False)
