"""JSON Schemas of saved documents: of the model, and of every version."""

from __future__ import annotations

from typing import Any

from tttcfg.family.extension import Extension
from tttcfg.family.family import Family
from tttcfg.schema.fields import Role
from tttcfg.schema.fragments import Shape, fields_of, section, take_shape
from tttcfg.schema.paths import split

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RESERVED: dict[str, Shape] = {
    "$schema": {"type": "string", "description": "The schema of this document."},
    "schema_version": {"type": "integer", "description": "The version of the schema that this document is in."},
    "provenance": {"type": "object", "description": "Who wrote this document, and what migrating did to it."},
    "extensions": {
        "type": "object",
        "description": "Settings of extensions: a section each, by name, with a version of its own.",
        "additionalProperties": {"type": "object"},
    },
}


def model_schema(family: Family) -> Shape:
    """Return pydantic's schema of the model's saved fields, with sections inlined."""
    raw = family.model.model_json_schema()
    shape: Shape = _inlined(raw, raw.get("$defs", {}))
    secrets = [name for name, one in fields_of(shape).items() if one.get("x-role") == Role.SECRET.value]
    for name in secrets:
        take_shape(shape, split(name))
    return shape


def _inlined(shape: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(shape, list):
        return [_inlined(item, definitions) for item in shape]
    if not isinstance(shape, dict):
        return shape
    if "$ref" in shape:
        return _inlined(definitions[shape["$ref"].rpartition("/")[2]], definitions)
    if "properties" in shape:
        properties = {name: _inlined(child, definitions) for name, child in shape["properties"].items()}
        explained = {"description": shape["description"]} if "description" in shape else {}
        return section(properties) | explained
    return {key: _inlined(value, definitions) for key, value in shape.items() if key not in ("title", "$defs")}


def document_schema(family: Family, version: int) -> Shape:
    """Return the complete JSON Schema of documents of `version`."""
    head = version == family.head
    shape = model_schema(family) if head else family.chain.schema(version)
    reserved = {**RESERVED, "schema_version": {**RESERVED["schema_version"], "const": version}} if head else {}
    if isinstance(family, Extension):
        reserved.pop("extensions", None)  # a section of an extension has no extensions
    return {
        "$schema": DIALECT,
        "$id": family.schema_id_of(version),
        "title": f"{family.name} version {version}: {family.chain.migrations[version].summary}",
        **shape,
        "properties": {**shape["properties"], **reserved},
        **({"required": ["schema_version"]} if head else {}),
    }
