"""Making the golden document of a new version."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tttcfg.documents.document import document_of
from tttcfg.documents.save import canonical_bytes, document_tree, stamped
from tttcfg.errors import InputError, Problem
from tttcfg.family.family import Family
from tttcfg.family.json_schema import model_schema
from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.migration.record import Record
from tttcfg.schema.containment import accepts
from tttcfg.schema.fragments import Fragment, body_of, fields_of, whole_default
from tttcfg.schema.paths import MISSING, Tree, get_path, set_path, split, value_paths
from tttcfg.schema_tools.layout import History, shown


def golden_document(history: History, documents: Mapping[Path, Tree]) -> tuple[bytes, list[str]]:
    """Return the golden document of the head, with notes on what of the existing one could not stay.

    Args:
        documents: The existing golden documents.

    Raises:
        InputError: None can be made automatically, or what is there is not a document of the family.
    """
    family, path = history.family, history.document(history.family.head)
    there = documents.get(path)
    if there is not None and "$schema" not in there and family.chain.identify(body_of(there)).version < 0:
        message = f"has no setting of {family.name}, and is not overwritten; move it away, or correct it"
        raise InputError(Problem("schema", message, place=shown(path)))
    try:
        if there is None:
            below = history.document(family.head - 1)
            before = documents.get(below, family.chain.template(family.head - 1)) if family.head else None
            return document_of_new(family, before, family.chain.migrations[family.head].date), []
        amended = document_amended(family, there)
    except InputError as error:
        message = f"cannot be made automatically; write a document of version {family.head} there, and run again"
        raise InputError(Problem("schema", f"{message}: {error}", place=shown(path))) from None
    tree = json.loads(amended)
    notes = [f"{shown(path)}: {note}" for note in _not_kept(there, tree, fields_of(model_schema(family)))]
    return path.read_bytes() if tree == there else amended, notes


def _not_kept(before: Tree, after: Tree, fields: Collection[str]) -> Iterator[str]:
    """Yield what of a document its amended form does not have any more."""
    body = body_of(before)
    had = {path: get_path(body, split(path), MISSING) for path in fields}
    refused = [path for path, value in had.items() if value is not MISSING and value != get_path(after, split(path))]
    if refused:
        yield f"the model refuses the values of {', '.join(refused)}; they are replaced"
    paths = [".".join(path) for path in value_paths(body)]
    unknown = [path for path in paths if not any(f"{path}.".startswith(f"{name}.") for name in fields)]
    if unknown:
        yield f"{', '.join(unknown)} left out: the model has no such setting"


def document_of_new(family: Family, before: Mapping[str, Any] | None, date: str) -> bytes:
    """Return a golden document of the head, made from the one of the version before it; new fields have their default.

    Args:
        before: The golden document of the version before the head; None for that of the first version.

    Raises:
        InputError: The model refuses what can be made without knowing it.
    """
    values: Tree = {}
    new: set[str] = set()
    if before is not None:
        values = family.chain.up(body_of(before), family.head - 1, Record())
        new = {one.path for one in family.chain.migrations[family.head].operations if isinstance(one, Add)}
    moment = datetime.fromisoformat(date).replace(tzinfo=timezone.utc)
    return canonical_bytes(stamped({**_accepted(family, values, new), "provenance": {}}, moment))


def document_of_inherited(family: Family, step: Migration, schema: Fragment, before: Mapping[str, Any] | None) -> bytes:
    """Return a golden document of a version below the head, made without the model, which is that of the head.

    Args:
        step: The step to that version.
        schema: The frozen schema after it.
        before: The golden document of the version before it; None for the first version, or where there is none.
    """
    version = step.version
    values = family.chain.up(body_of(before), version - 1, Record(), version) if before is not None else {}
    new = {one.path for one in step.operations if isinstance(one, Add)}
    tree: Tree = {"$schema": family.schema_id_of(version), "schema_version": version}
    for path, fragment in fields_of(schema).items():
        value = get_path(values, split(path), MISSING)
        usable = value is not MISSING and not (path in new and "default" in fragment)
        set_path(tree, split(path), value if usable and accepts(fragment, value) is not False else _usual(fragment))
    moment = datetime.fromisoformat(step.date).replace(tzinfo=timezone.utc)
    return canonical_bytes(stamped({**tree, "provenance": {}}, moment))


def document_amended(family: Family, document: Mapping[str, Any]) -> bytes:
    """Return a golden document of the head with the fields that the model has now; values that it allows stay."""
    tree = _accepted(family, body_of(document))
    tree.pop("provenance")
    kept = {"extensions": document["extensions"]} if "extensions" in document else {}
    return canonical_bytes({**tree, **kept, "provenance": document.get("provenance") or {}})


def _accepted(family: Family, values: Tree, new: Collection[str] = ()) -> Tree:
    """Return a document of the head with `values` where the model accepts them, and defaults elsewhere and if `new`."""
    fields = fields_of(model_schema(family))
    tree: Tree = {"$schema": family.schema_id, "schema_version": family.head}
    for path, fragment in fields.items():
        value = get_path(values, split(path), MISSING)
        usable = value is not MISSING and not (path in new and "default" in fragment)
        set_path(tree, split(path), value if usable and accepts(fragment, value) is not False else _usual(fragment))
    try:
        return document_tree(document_of(tree, family))
    except InputError as error:  # by rules that no schema has: the values that they refuse are replaced by defaults
        refused = {problem.key for problem in error.problems}
    for path, fragment in fields.items():
        if any(f"{path}.".startswith(f"{key}.") for key in refused):
            set_path(tree, split(path), _usual(fragment))
    return document_tree(document_of(tree, family))


def _usual(fragment: Fragment) -> Any:
    """Return the default of a field, or a value that its fragment allows."""
    return whole_default(fragment) if "default" in fragment else example(fragment)


def example(fragment: Fragment) -> Any:
    """Return a plain value that a fragment allows."""
    if alternatives := fragment.get("anyOf", fragment.get("oneOf")):
        return example(alternatives[0])
    if "enum" in fragment or "const" in fragment:
        return fragment.get("enum", [fragment.get("const")])[0]
    made = _EXAMPLES.get(str(fragment.get("type")))
    return made(fragment) if made else None


def _number(fragment: Fragment) -> float:
    least, most = fragment.get("exclusiveMinimum", 0), fragment.get("exclusiveMaximum", 0)
    tried = (0, 1, fragment.get("minimum", 0), fragment.get("maximum", 0), least + 1)
    return next((one for one in tried if accepts(fragment, one) is not False), float(least + most) / 2)


_EXAMPLES: dict[str, Callable[[Fragment], Any]] = {
    "integer": _number,
    "number": lambda fragment: float(_number(fragment)),
    "string": lambda fragment: "x" * fragment.get("minLength", 1),
    "boolean": lambda _: False,
    "array": lambda fragment: (
        [example(one) for one in fragment.get("prefixItems", [])]
        or [example(fragment.get("items", {}))] * fragment.get("minItems", 0)
    ),
    "object": lambda fragment: {name: example(one) for name, one in fragment.get("properties", {}).items()},
}
