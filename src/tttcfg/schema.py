"""JSON Schemas of saved documents: the model's, every old version's, and freezing them into files.

`python -m tttcfg.schema FOLDER` writes the schema of every version that has none there yet; a schema
that is there is never touched.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tttcfg.family import Family
from tttcfg.record import take_shape
from tttcfg.shapes import Shape, section
from tttcfg.ttt_moshi.family import TTT_MOSHI

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RESERVED: dict[str, Shape] = {
    "$schema": {"type": "string", "description": "The schema of this document."},
    "schema_version": {"type": "integer", "description": "The version of the schema that this document is in."},
    "provenance": {"type": "object", "description": "Who wrote this document, and what migrating did to it."},
}


def schema_name(version: int) -> str:
    return f"v{version:04d}.schema.json"


def model_schema(family: Family) -> Shape:
    """Return the shape of the model's saved fields, sections inlined, as pydantic describes them."""
    raw = family.model.model_json_schema()
    shape: Shape = _inlined(raw, raw.get("$defs", {}))
    for leaf in family.secret_leaves:
        take_shape(shape, leaf.path)
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
    return {
        "$schema": DIALECT,
        "$id": f"urn:tttcfg:{family.name}:v{version:04d}",
        "title": f"{family.name} version {version}: {family.chain.migrations[version].summary}",
        **shape,
        "properties": {**shape["properties"], **reserved},
        **({"required": ["schema_version"]} if head else {}),
    }


def freeze(family: Family, folder: Path) -> list[Path]:
    """Write the schema of every version that has none in `folder` yet; return the files written."""
    written = []
    for version in range(family.head + 1):
        path = folder / schema_name(version)
        if not path.exists():
            path.write_text(json.dumps(document_schema(family, version), indent=2, ensure_ascii=False) + "\n", "utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    for path in freeze(TTT_MOSHI, Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
