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
    """A section that a field holds: that its items are, or that it is itself where it is not null.

    Attributes:
        section: Its schema.
        keys: Where that is in the schema of the field.
        each: Whether there are several, as items of a list or values of a mapping.
        variant: Where the field holds one of several: the discriminator, and its value in this one.
    """

    section: Fragment
    keys: tuple[str | int, ...]
    each: bool
    variant: tuple[str, str] | None = None

    def prefix(self, path: str) -> str:
        """Return what precedes the names of fields inside the field at `path`."""
        return f"{self.name(path)}."

    def name(self, path: str) -> str:
        """Return what the section itself is called, inside the field at `path`."""
        around = f"{path}.{EACH}" if self.each else path
        return around if self.variant is None else f"{around}[{self.variant[1]}]"

    def sections(self, path: str, value: Any) -> list[tuple[str, Tree]]:
        """Return those of such sections that are in the value of the field at `path`, each with its dotted name."""
        return [(name, item) for name, item in sections_in(path, value, each=self.each) if self._is_of(item)]

    def _is_of(self, item: Tree) -> bool:
        return self.variant is None or item.get(self.variant[0]) == self.variant[1]


def sections_in(path: str, value: Any, *, each: bool) -> list[tuple[str, Tree]]:
    """Return the sections in the value of a field at `path`, each with its dotted name; `each` is that of `Inside`."""
    if not each:
        found = [(path, value)]
    elif isinstance(value, list):
        found = [(f"{path}.{at}", item) for at, item in enumerate(value)]
    else:
        found = [(f"{path}.{key}", item) for key, item in (value.items() if isinstance(value, dict) else ())]
    return [(name, item) for name, item in found if isinstance(item, dict)]


EACH = "*"
"""Stands for every item of a list and every key of a mapping, in the names of fields inside."""


def inside(fragment: Fragment) -> tuple[Inside, ...]:
    """Return the section that a field holds, of which there may be several or none, or every variant; none without any.

    So of `list[Section]`, `dict[str, Section]`, `Section | None`, of a list or mapping that may be null, and of a union
    of sections with a discriminator, alone or as items.
    """
    keys: tuple[str | int, ...] = ()
    each = False
    while not is_section(fragment):
        if "discriminator" in fragment:
            return tuple(_variants(fragment, keys, each=each))
        if "anyOf" in fragment:
            others = [(at, one) for at, one in enumerate(fragment["anyOf"]) if one != {"type": "null"}]
            if len(others) != 1:
                return ()
            keys, fragment = (*keys, "anyOf", others[0][0]), others[0][1]
            continue
        below = next((key for key in ("items", "additionalProperties") if isinstance(fragment.get(key), dict)), None)
        if below is None or each or "prefixItems" in fragment:
            return ()
        keys, fragment, each = (*keys, below), fragment[below], True
    return (Inside(fragment, keys, each),) if keys else ()


def _variants(fragment: Fragment, keys: tuple[str | int, ...], *, each: bool) -> Iterator[Inside]:
    """Yield every variant of a union, once for each name that it has."""
    key = fragment["discriminator"]["propertyName"]
    for at, one in enumerate(fragment["oneOf"]):
        for name in tags(one["properties"][key]):
            yield Inside(one, (*keys, "oneOf", at), each, (key, name))


def tags(discriminator: Fragment) -> list[str]:
    """Return the names of a variant, by the schema of its discriminator."""
    return list(discriminator.get("enum", [discriminator.get("const")]))


def with_inside(fragment: Fragment, found: Inside, section: Fragment) -> Fragment:
    """Return the schema of a field with another section in the place of one that it holds."""
    changed: Fragment = _with(fragment, found.keys, section)
    return changed


def _with(fragment: Any, keys: tuple[str | int, ...], value: Any) -> Any:
    if not keys:
        return value
    first, *rest = keys
    below = _with(fragment[first], tuple(rest), value)
    if isinstance(fragment, list):
        return [below if at == first else one for at, one in enumerate(fragment)]
    return {**fragment, first: below}


def emptied(found: Inside) -> Fragment:
    """Return a section that a field holds without its fields, but for what states which variant it is."""
    kept = {} if found.variant is None else {found.variant[0]: found.section["properties"][found.variant[0]]}
    return {**found.section, "properties": kept}


def fields_inside(path: str, found: Inside) -> dict[str, Fragment]:
    """Return the fragment of every field in the section that a field holds, by dotted path; see `Inside.prefix`."""
    fields = dict(_fields(found.section, found.prefix(path)))
    if found.variant is not None:
        fields.pop(found.prefix(path) + found.variant[0], None)
    return fields


def complete_inside(values: Tree, schema: Fragment, prefix: str = "") -> dict[str, Any]:
    """Give every section that a field of a document holds the defaults that it lacks, in place.

    Returns:
        What was given, by dotted name with the index or key of each section.
    """
    given: dict[str, Any] = {}
    for path, fragment in _fields(schema, ""):
        for held in inside(fragment):
            own = {name.removeprefix(held.prefix("")): one for name, one in fields_inside("", held).items()}
            for name, item in held.sections(f"{prefix}{path}", get_path(values, split(path))):
                for inner, one in own.items():
                    if "default" in one and set_path(item, split(inner), default := whole_default(one), over=False):
                        given[f"{name}.{inner}"] = default
                given |= complete_inside(item, held.section, f"{name}.")
    return given


def whole_default(fragment: Fragment) -> Any:
    """Return the default of a field, that of variants with the defaults of the fields of the one that it is."""
    default = deepcopy(fragment.get("default"))
    for one in inside(fragment):
        if isinstance(default, dict) and one.variant is not None and not one.each and one.sections("", default):
            return {**defaults(one.section), **default}
    return default


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
        name: defaults(child) if is_section(child) else whole_default(child)
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
