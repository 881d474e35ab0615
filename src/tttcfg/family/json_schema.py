"""JSON Schemas of saved documents: of the model, and of every version."""

from __future__ import annotations

from typing import Any

from tttcfg.family.extension import Extension
from tttcfg.family.family import Family
from tttcfg.family.plugged import PluggedVariant
from tttcfg.migration.chain import Migration
from tttcfg.schema.fields import GUESSED, Role
from tttcfg.schema.fragments import RESERVED, Fragment, fields_of, inside, is_section, section, take_fragment
from tttcfg.schema.paths import split

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def model_schema(family: Family) -> Fragment:
    """Return pydantic's schema of the model's saved fields, with sections inlined."""
    raw = family.model.model_json_schema()
    fragment: Fragment = _inlined(raw, raw.get("$defs", {}))
    secrets = [name for name, one in fields_of(fragment).items() if one.get("x-role") == Role.SECRET.value]
    for name in secrets:
        take_fragment(fragment, split(name))
    return fragment


def _inlined(fragment: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(fragment, list):
        return [_inlined(item, definitions) for item in fragment]
    if not isinstance(fragment, dict):
        return fragment
    if "$ref" in fragment:
        found: Fragment = _inlined(definitions[fragment["$ref"].rpartition("/")[2]], definitions)
        beside = {key: value for key, value in fragment.items() if key not in ("$ref", "title")}
        return found if is_section(found) else {**found, **beside}
    if "properties" in fragment:
        properties = {name: _inlined(child, definitions) for name, child in fragment["properties"].items()}
        explained = {"description": fragment["description"]} if "description" in fragment else {}
        return section(properties) | explained
    left_out = ("title", "$defs", GUESSED)
    inlined = {key: _inlined(value, definitions) for key, value in fragment.items() if key not in left_out}
    if isinstance(inlined.get("discriminator"), dict):
        inlined["discriminator"].pop("mapping", None)  # of definitions that are gone
    return _with_named_default(inlined)


def _with_named_default(fragment: Fragment) -> Fragment:
    """Return a fragment with the name of a variant as its default: the rest is what its section has for defaults."""
    default = fragment.get("default")
    key = next((one.variant[0] for one in inside(fragment) if one.variant is not None and not one.each), "")
    named = key and isinstance(default, dict) and key in default
    return {**fragment, "default": {key: default[key]}} if named and default is not None else fragment


def document_schema(family: Family, version: int) -> Fragment:
    """Return the complete JSON Schema of documents of `version`."""
    head, migration = version == family.head, family.chain.migrations[version]
    if head:
        return framed_schema(family, migration, model_schema(family))
    fragment = family.chain.schema(version)
    return {**_names(family, migration), **fragment, "properties": {**fragment["properties"]}}


def framed_schema(family: Family, migration: Migration, fragment: Fragment) -> Fragment:
    """Return the JSON Schema of documents of a migration's version that have its number, from that of the fields."""
    numbered = {**RESERVED["schema_version"], "const": migration.version}
    reserved = {**RESERVED, "schema_version": numbered}
    if isinstance(family, (Extension, PluggedVariant)):
        reserved.pop("extensions", None)  # which a section in another document does not have
    properties = {**fragment["properties"], **reserved}
    return {**_names(family, migration), **fragment, "properties": properties, "required": ["schema_version"]}


def _names(family: Family, migration: Migration) -> Fragment:
    title = f"{family.name} version {migration.version}: {migration.summary}"
    return {"$schema": DIALECT, "$id": family.schema_id_of(migration.version), "title": title}
