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
from tttcfg.migration.operations import Add
from tttcfg.migration.record import Record
from tttcfg.schema.containment import accepts
from tttcfg.schema.fragments import RESERVED, Shape, fields_of
from tttcfg.schema.paths import MISSING, Tree, get_path, set_path, split, value_paths
from tttcfg.schema_tools.layout import Sources, shown


def golden_document(sources: Sources, documents: Mapping[Path, Tree]) -> tuple[bytes, list[str]]:
    """Return the golden document of the head, and what of the one that is there could not stay.

    Args:
        documents: The golden documents that are there.

    Raises:
        InputError: None can be made by itself, or what is there is no document of the family.
    """
    family, path = sources.family, sources.document(sources.family.head)
    there = documents.get(path)
    if there is not None and "$schema" not in there and family.chain.identify(_body(there)).version < 0:
        message = f"holds no setting of {family.name}, and is not written over; take it away, or correct it"
        raise InputError(Problem("schema", message, place=shown(path)))
    try:
        if there is None:
            below = sources.document(family.head - 1)
            before = documents.get(below, family.chain.template(family.head - 1)) if family.head else None
            return document_of_new(family, before, family.chain.migrations[family.head].date), []
        amended = document_amended(family, there)
    except InputError as error:
        message = f"cannot be made by itself; write a document of version {family.head} there, and run again: {error}"
        raise InputError(Problem("schema", message, place=shown(path))) from None
    tree = json.loads(amended)
    notes = [f"{shown(path)}: {note}" for note in _not_kept(there, tree, fields_of(model_schema(family)))]
    return path.read_bytes() if tree == there else amended, notes


def _not_kept(before: Tree, after: Tree, fields: Collection[str]) -> Iterator[str]:
    """Yield what of a document its amended form does not hold any more."""
    body = _body(before)
    held = {path: get_path(body, split(path), MISSING) for path in fields}
    refused = [path for path, value in held.items() if value is not MISSING and value != get_path(after, split(path))]
    if refused:
        yield f"what {', '.join(refused)} held is refused by the model; what it takes stands there now"
    paths = [".".join(path) for path in value_paths(body)]
    unknown = [path for path in paths if not any(f"{path}.".startswith(f"{name}.") for name in fields)]
    if unknown:
        yield f"{', '.join(unknown)} left out, for the model has no such setting"


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
        values = family.chain.up(_body(before), family.head - 1, Record())
        new = {one.path for one in family.chain.migrations[family.head].operations if isinstance(one, Add)}
    tree = _settled(family, values, new)
    moment = datetime.fromisoformat(date).replace(tzinfo=timezone.utc)
    return canonical_bytes(stamped({**tree, "provenance": {}}, moment))


def document_amended(family: Family, document: Mapping[str, Any]) -> bytes:
    """Return a golden document of the head with the fields that the model has now; values that it allows stay."""
    tree = _settled(family, _body(document), set())
    tree.pop("provenance")
    kept = {"extensions": document["extensions"]} if "extensions" in document else {}
    return canonical_bytes({**tree, **kept, "provenance": document.get("provenance") or {}})


def _body(document: Mapping[str, Any]) -> Tree:
    return {key: value for key, value in document.items() if key not in RESERVED}


def _settled(family: Family, values: Tree, new: set[str]) -> Tree:
    """Return a document of the head that holds `values` where the model takes them, and defaults elsewhere."""
    fields = fields_of(model_schema(family))
    tree = _planted(family, {path: _value(values, path, shape, path in new) for path, shape in fields.items()})
    try:
        return document_tree(document_of(tree, family))
    except InputError as error:  # rules that no schema tells: what they refuse takes its default
        refused = {problem.key for problem in error.problems}
    usual = {
        path: _usual(shape) if any(f"{path}.".startswith(f"{key}.") for key in refused) else get_path(tree, split(path))
        for path, shape in fields.items()
    }
    return document_tree(document_of(_planted(family, usual), family))


def _planted(family: Family, values: Mapping[str, Any]) -> Tree:
    tree: Tree = {"$schema": family.schema_id, "schema_version": family.head}
    for path, value in values.items():
        set_path(tree, split(path), value)
    return tree


def _value(values: Tree, path: str, shape: Shape, new: bool) -> Any:
    value = get_path(values, split(path), MISSING)
    if value is MISSING or (new and "default" in shape) or accepts(shape, value) is False:
        return _usual(shape)
    return value


def _usual(shape: Shape) -> Any:
    """Return the default of a field, or a value that its shape allows."""
    return shape["default"] if "default" in shape else example(shape)


def example(shape: Shape) -> Any:
    """Return some value that a shape allows, as plain as they come."""
    if "anyOf" in shape:
        return example(shape["anyOf"][0])
    if "enum" in shape or "const" in shape:
        return shape.get("enum", [shape.get("const")])[0]
    made = _EXAMPLES.get(str(shape.get("type")))
    return made(shape) if made else None


def _number(shape: Shape) -> float:
    tried: tuple[float | None, ...] = (
        0,
        1,
        shape.get("minimum"),
        shape.get("maximum"),
        shape.get("exclusiveMinimum", 0) + 1,
    )
    for value in tried:
        if value is not None and accepts(shape, value) is not False:
            return value
    return float(shape.get("exclusiveMinimum", 0) + shape.get("exclusiveMaximum", 0)) / 2


_EXAMPLES: dict[str, Callable[[Shape], Any]] = {
    "integer": _number,
    "number": lambda shape: float(_number(shape)),
    "string": lambda shape: "x" * shape.get("minLength", 1),
    "boolean": lambda _: False,
    "array": lambda shape: (
        [example(one) for one in shape.get("prefixItems", [])]
        or [example(shape.get("items", {}))] * shape.get("minItems", 0)
    ),
    "object": lambda shape: {name: example(one) for name, one in shape.get("properties", {}).items()},
}
