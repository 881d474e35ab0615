"""JSON Schema fragments, with which migrations declare fields, in the form that pydantic writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from tttcfg.schema.paths import MISSING, Path, Tree, get_path, set_path, split

Fragment = dict[str, Any]
"""A JSON Schema of a field or a section."""

RESERVED: dict[str, Fragment] = {
    "$schema": {"type": "string", "description": "The schema of this document."},
    "schema_version": {"type": "integer", "description": "The version of the schema that this document is in."},
    "provenance": {"type": "object", "description": "Who wrote this document, and what migrating did to it."},
    "extensions": {
        "type": "object",
        "description": "Settings of extensions: a section each, by name, with a version of its own.",
        "additionalProperties": {"type": "object"},
    },
}
"""The keys of a saved document that are not settings of the family, with their schemas."""
_ANNOTATIONS = ("title", "description", "x-role", "x-unit", "$schema", "$id")


def boolean(default: bool) -> Fragment:
    """Return the schema of a `bool` field."""
    return {"default": default, "type": "boolean"}


def integer(default: int | None, **bounds: Any) -> Fragment:
    """Return the schema of a `Whole` field; bounds are keywords of JSON Schema (`minimum`, `exclusiveMaximum`, …)."""
    return {"default": default, "type": "integer", "maximum": 2**53, **bounds}


def number(default: float, **bounds: Any) -> Fragment:
    """Return the schema of a `float` field; bounds are keywords of JSON Schema."""
    return {"default": default, "type": "number", **bounds}


def text(default: str | None, **bounds: Any) -> Fragment:
    """Return the schema of a `Text` field; bounds are keywords of JSON Schema (`pattern`, `minLength`, …)."""
    return {"default": default, "type": "string", "maxLength": 4096, **bounds}


def choice(default: str, *words: str) -> Fragment:
    """Return the schema of a `Literal` field with these values."""
    return {"default": default, "enum": list(words), "type": "string"}


def nullable(fragment: Fragment) -> Fragment:
    """Return the schema of a field that may also be null; the default stays."""
    return either(fragment["default"], fragment, {"type": "null"})


def either(default: Any, *fragments: Fragment) -> Fragment:
    """Return the schema of a field with one of several types; defaults of `fragments` are ignored."""
    return {"default": default, "anyOf": [_without_default(fragment) for fragment in fragments]}


def follows(default: str, fragment: Fragment) -> Fragment:
    """Return the schema of a field whose default depends on other fields of its section; `default` describes how."""
    return {"x-default": default, **_without_default(fragment)}


def _without_default(fragment: Fragment) -> Fragment:
    return {key: value for key, value in fragment.items() if key not in ("default", "x-default")}


def free_form() -> Fragment:
    """Return the schema of a mapping with any keys and values, empty by default."""
    return {"default": {}, "type": "object", "additionalProperties": True}


def body_of(document: Mapping[str, Any]) -> Tree:
    """Return the fields of a document, which are its keys that are not reserved; the values are not copied."""
    return {key: value for key, value in document.items() if key not in RESERVED}


def section(properties: dict[str, Fragment] | None = None) -> Fragment:
    """Return the schema of a section that has these fields and no others."""
    return {"additionalProperties": False, "properties": properties or {}, "type": "object"}


def is_section(fragment: Fragment) -> bool:
    return "properties" in fragment


class Inside(NamedTuple):
    """The section that a field holds: that its items are, or that it is itself where it is not null.

    Attributes:
        section: Its schema.
        keys: Where that is in the schema of the field.
        each: Whether there are several, as items of a list or values of a mapping.
    """

    section: Fragment
    keys: tuple[str | int, ...]
    each: bool

    def prefix(self, path: str) -> str:
        """Return what precedes the names of fields inside the field at `path`."""
        return f"{path}.{EACH}." if self.each else f"{path}."


def sections_held(path: str, value: Any, *, each: bool) -> list[tuple[str, Tree]]:
    """Return the sections in the value of a field at `path`, each with its dotted name; `each` is that of `Inside`."""
    if not each:
        return [(path, value)] if isinstance(value, dict) else []
    found = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return [(f"{path}.{key}", item) for key, item in found if isinstance(item, dict)]


EACH = "*"
"""Stands for every item of a list and every key of a mapping, in the names of fields inside."""


def inside(fragment: Fragment) -> Inside | None:
    """Return the section that a field holds, of which there may be several or none; None where it holds no section.

    So of `list[Section]`, `dict[str, Section]`, `Section | None`, and of a list or mapping that may be null.
    """
    keys: tuple[str | int, ...] = ()
    each = False
    while not is_section(fragment):
        if "anyOf" in fragment:
            others = [(at, one) for at, one in enumerate(fragment["anyOf"]) if one != {"type": "null"}]
            if len(others) != 1:
                return None
            keys, fragment = (*keys, "anyOf", others[0][0]), others[0][1]
            continue
        below = next((key for key in ("items", "additionalProperties") if isinstance(fragment.get(key), dict)), None)
        if below is None or each or "prefixItems" in fragment:
            return None
        keys, fragment, each = (*keys, below), fragment[below], True
    return Inside(fragment, keys, each) if keys else None


def with_inside(fragment: Fragment, section: Fragment) -> Fragment:
    """Return the schema of a field that holds another section, where it holds one."""
    found = inside(fragment)
    return _with(fragment, found.keys, section) if found is not None else fragment


def _with(fragment: Any, keys: tuple[str | int, ...], value: Any) -> Any:
    if not keys:
        return value
    first, *rest = keys
    below = _with(fragment[first], tuple(rest), value)
    if isinstance(fragment, list):
        return [below if at == first else one for at, one in enumerate(fragment)]
    return {**fragment, first: below}


def fields_inside(path: str, found: Inside) -> dict[str, Fragment]:
    """Return the fragment of every field in the section that a field holds, by dotted path; see `Inside.prefix`."""
    return dict(_fields(found.section, found.prefix(path)))


def complete_inside(values: Tree, schema: Fragment, prefix: str = "") -> dict[str, Any]:
    """Give every section that a field of a document holds the defaults that it lacks, in place.

    Returns:
        What was given, by dotted name with the index or key of each section.
    """
    given: dict[str, Any] = {}
    for path, fragment in _fields(schema, ""):
        if (held := inside(fragment)) is None:
            continue
        own = {name.removeprefix(held.prefix("")): one for name, one in fields_inside("", held).items()}
        for name, item in sections_held(f"{prefix}{path}", get_path(values, split(path)), each=held.each):
            for inner, one in own.items():
                if "default" in one and set_path(item, split(inner), deepcopy(one["default"]), over=False):
                    given[f"{name}.{inner}"] = one["default"]
            given |= complete_inside(item, held.section, f"{name}.")
    return given


def bare(fragment: Any) -> Any:
    """Return `fragment` without annotations, so that two fragments can be compared."""
    if isinstance(fragment, list):
        return [bare(item) for item in fragment]
    if not isinstance(fragment, dict):
        return fragment
    if is_section(fragment):
        left_out = (*_ANNOTATIONS, "properties", "default")
        kept = {key: bare(value) for key, value in fragment.items() if key not in left_out}
        return kept | {"properties": {name: bare(value) for name, value in sorted(fragment["properties"].items())}}
    return {key: bare(value) for key, value in sorted(fragment.items()) if key not in _ANNOTATIONS}


def allowed(fragment: Fragment) -> Any:
    """Return what a field allows: its bare fragment without its default."""
    return bare(_without_default(fragment))


def default_of(fragment: Fragment) -> Any:
    """Return a field's default, or the description of one that follows from other fields; None without either."""
    return fragment.get("default", fragment.get("x-default"))


def has_default(fragment: Fragment) -> bool:
    """Whether a field has a default, also one that follows from other fields."""
    return "default" in fragment or "x-default" in fragment


def fields_of(schema: Fragment) -> dict[str, Fragment]:
    """Return the fragment of every field in a schema of documents, by dotted path, without reserved keys."""
    return dict(_fields(schema, ""))


def _fields(fragment: Fragment, prefix: str) -> Iterator[tuple[str, Fragment]]:
    for name, child in fragment["properties"].items():
        if not prefix and name in RESERVED:
            continue
        if is_section(child):
            yield from _fields(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def defaults(fragment: Fragment) -> dict[str, Any]:
    """Return the document in which every field of a section has its default.

    A field whose default follows from others is left out.
    """
    return {
        name: defaults(child) if is_section(child) else deepcopy(child.get("default"))
        for name, child in fragment["properties"].items()
        if "x-default" not in child
    }


def alternatives(fragment: Fragment) -> list[Fragment]:
    """Return the alternatives of a fragment; of a fragment without any, itself."""
    found: list[Fragment] = fragment.get("anyOf", [fragment])
    return found


def with_own_sections(schema: Fragment) -> Fragment:
    """Return a copy whose sections can be changed; the fragments of fields, which nothing changes, are shared."""
    properties = schema["properties"].items()
    own = {name: with_own_sections(one) if is_section(one) else one for name, one in properties}
    return {**schema, "properties": own}


def properties_at(schema: Fragment, path: Path) -> Tree:
    """Return the `properties` that `path` ends in, making the sections on the way."""
    for part in path[:-1]:
        schema = schema["properties"].setdefault(part, section())
    properties: Tree = schema["properties"]
    return properties


def take_fragment(schema: Fragment, path: Path) -> Any:
    """Remove and return the fragment at `path`, with the sections that it leaves empty."""
    properties = properties_at(schema, path)
    fragment = properties.pop(path[-1], MISSING)
    if not properties and len(path) > 1:
        take_fragment(schema, path[:-1])
    return fragment


def fragment_at(schema: Fragment, path: Path) -> Fragment | None:
    """Return the fragment at `path`, or None."""
    found: Fragment | None = get_path(schema, tuple(key for part in path for key in ("properties", part)))
    return found
