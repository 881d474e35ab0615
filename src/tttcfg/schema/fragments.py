"""JSON Schema fragments, with which migrations declare fields, in the form that pydantic writes."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tttcfg.schema.paths import MISSING, Path, Tree, get_path

Shape = dict[str, Any]
"""A JSON Schema of a field or a section."""

RESERVED = ("$schema", "schema_version", "provenance", "extensions")
"""Keys of a saved document that are not settings of the family."""
_ANNOTATIONS = ("title", "description", "x-role", "x-unit", "$schema", "$id")


def boolean(default: bool) -> Shape:
    """Return the schema of a `bool` field."""
    return {"default": default, "type": "boolean"}


def integer(default: int | None, **bounds: Any) -> Shape:
    """Return the schema of a `Whole` field; bounds are keywords of JSON Schema (`minimum`, `exclusiveMaximum`, …)."""
    return {"default": default, "type": "integer", "maximum": 2**53, **bounds}


def number(default: float, **bounds: Any) -> Shape:
    """Return the schema of a `float` field; bounds are keywords of JSON Schema."""
    return {"default": default, "type": "number", **bounds}


def text(default: str | None, **bounds: Any) -> Shape:
    """Return the schema of a `Text` field; bounds are keywords of JSON Schema (`pattern`, `minLength`, …)."""
    return {"default": default, "type": "string", "maxLength": 4096, **bounds}


def choice(default: str, *words: str) -> Shape:
    """Return the schema of a `Literal` field with these values."""
    return {"default": default, "enum": list(words), "type": "string"}


def nullable(shape: Shape) -> Shape:
    """Return the schema of a field that may also be null; the default stays."""
    return either(shape["default"], shape, {"type": "null"})


def either(default: Any, *shapes: Shape) -> Shape:
    """Return the schema of a field with one of several types; defaults of `shapes` are ignored."""
    return {"default": default, "anyOf": [_without_default(shape) for shape in shapes]}


def follows(default: str, shape: Shape) -> Shape:
    """Return the schema of a field whose default depends on other fields of its section; `default` describes how."""
    return {"x-default": default, **_without_default(shape)}


def _without_default(shape: Shape) -> Shape:
    return {key: value for key, value in shape.items() if key not in ("default", "x-default")}


def free_form() -> Shape:
    """Return the schema of a mapping with any keys and values, empty by default."""
    return {"default": {}, "type": "object", "additionalProperties": True}


def section(properties: dict[str, Shape] | None = None) -> Shape:
    """Return the schema of a section that has these fields and no others."""
    return {"additionalProperties": False, "properties": properties or {}, "type": "object"}


def is_section(shape: Shape) -> bool:
    return "properties" in shape


def bare(shape: Any) -> Any:
    """Return `shape` without annotations, so that two shapes can be compared."""
    if isinstance(shape, list):
        return [bare(item) for item in shape]
    if not isinstance(shape, dict):
        return shape
    if is_section(shape):
        kept = {key: bare(value) for key, value in shape.items() if key not in (*_ANNOTATIONS, "properties", "default")}
        return kept | {"properties": {name: bare(value) for name, value in sorted(shape["properties"].items())}}
    return {key: bare(value) for key, value in sorted(shape.items()) if key not in _ANNOTATIONS}


def allowed(shape: Shape) -> Any:
    """Return what a field allows: its bare shape without its default."""
    return bare(_without_default(shape))


def default_of(shape: Shape) -> Any:
    """Return a field's default, or the description of one that follows from other fields; None without either."""
    return shape.get("default", shape.get("x-default"))


def has_default(shape: Shape) -> bool:
    """Whether a field has a default, also one that follows from other fields."""
    return "default" in shape or "x-default" in shape


def fields_of(schema: Shape) -> dict[str, Shape]:
    """Return the shape of every field that a schema of documents describes, by dotted path, without reserved keys."""
    return dict(_fields(schema, ""))


def _fields(shape: Shape, prefix: str) -> Iterator[tuple[str, Shape]]:
    for name, child in shape["properties"].items():
        if not prefix and name in RESERVED:
            continue
        if is_section(child):
            yield from _fields(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def defaults(shape: Shape) -> dict[str, Any]:
    """Return the document in which every field of a section has its default.

    A field whose default follows from others is left out.
    """
    return {
        name: defaults(child) if is_section(child) else deepcopy(child.get("default"))
        for name, child in shape["properties"].items()
        if "x-default" not in child
    }


def alternatives(shape: Shape) -> list[Shape]:
    """Return the alternatives of a shape; of a shape without any, itself."""
    found: list[Shape] = shape.get("anyOf", [shape])
    return found


def with_own_sections(schema: Shape) -> Shape:
    """Return a copy whose sections can be changed; the shapes of fields, which nothing changes, are shared."""
    properties = {
        name: with_own_sections(shape) if is_section(shape) else shape for name, shape in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def shape_parent(schema: Shape, path: Path) -> Tree:
    """Return the `properties` that `path` ends in, making the sections on the way."""
    for part in path[:-1]:
        schema = schema["properties"].setdefault(part, section())
    properties: Tree = schema["properties"]
    return properties


def take_shape(schema: Shape, path: Path) -> Any:
    """Remove and return the shape at `path`, with the sections that it leaves empty."""
    properties = shape_parent(schema, path)
    shape = properties.pop(path[-1], MISSING)
    if not properties and len(path) > 1:
        take_shape(schema, path[:-1])
    return shape


def shape_at(schema: Shape, path: Path) -> Shape | None:
    """Return the shape at `path`, or None."""
    found: Shape | None = get_path(schema, tuple(key for part in path for key in ("properties", part)))
    return found
