"""The binding tag of weights: which configuration they belong to, as one text in the file's metadata.

It holds the digest of the architecture and computation fields, the schema version that the digest is of, and, if asked
for, the whole configuration without its secrets, so that the file can be shared alone. Equal configurations make
equal tags.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tttcfg.documents.document import DOCUMENT_CAP, Document, document_of, read_unplaced
from tttcfg.documents.effective import configuration_digest, digest_of, part_digests
from tttcfg.documents.save import document_tree, result_provenance, with_values
from tttcfg.errors import InputError, Problem
from tttcfg.family.extension import EXTENSIONS
from tttcfg.family.family import Family, frozen_schema, schema_id
from tttcfg.family.versions import HEADER
from tttcfg.formats.json import read_json
from tttcfg.safetensors.header import Header
from tttcfg.schema.defining import defining_values
from tttcfg.schema.fragments import Fragment
from tttcfg.schema.paths import Tree

TAG_KEY = "tttcfg"
"""The key of the safetensors metadata that holds the tag."""
FAMILY = "family"
"""The key of the tag that holds the name of the configuration's family; tags of 0.1 have none."""
EMBEDDED = "training"
"""The key of the tag that holds the configuration itself."""


def tag_for(document: Document, *, embed: bool = False) -> dict[str, str]:
    """Return the metadata for weights of `document`; see `tttcfg.tag_for`."""
    family = document.family
    tag: Tree = {
        "digest": configuration_digest(document.training, family),
        FAMILY: family.name,
        "schema_version": family.head,
    }
    parts = part_digests(document.parts)
    if parts:
        heads = {name: document.parts[name].family.head for name in parts}
        tag[EXTENSIONS] = {name: {"digest": own, "schema_version": heads[name]} for name, own in parts.items()}
    if embed:
        own = result_provenance(document, document.training, {}, "", {})  # without who wrote the file, and when
        tree = with_values(document_tree(replace(document, provenance=own)))
        tag[EMBEDDED] = {key: value for key, value in tree.items() if key not in HEADER}
        if tree["provenance"]:
            tag["provenance"] = tree["provenance"]
    text = json.dumps(tag, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if len(text) > DOCUMENT_CAP:
        message = f"would have {len(text):,} bytes in the weights' metadata; {DOCUMENT_CAP:,} are read"
        raise InputError(Problem("too_large", message))
    return {"format": "pt", TAG_KEY: text}


def tag_of(metadata: Mapping[str, str]) -> Tree | None:
    """Return the tag of a file, as its metadata holds it; None where there is none that can be read."""
    text = metadata.get(TAG_KEY, "")
    if not text or len(text) > DOCUMENT_CAP:
        return None
    try:
        tag = json.loads(text)
        json.dumps(tag)  # which may find it too deep where reading did not
    except (ValueError, RecursionError):
        return None
    if not isinstance(tag, dict) or not isinstance(tag.get("digest"), str):
        return None
    version = tag.get("schema_version")
    return tag if type(version) is int and version >= 0 else None


def tag_digest(metadata: Mapping[str, str]) -> str | None:
    """Return the digest of a tag's text, by which tags are distinguished; None where there is none."""
    text = metadata.get(TAG_KEY)
    return None if text is None else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def embedded_document(header: Header, family: Family) -> Document | None:
    """Return the configuration that is embedded in weights, if one is.

    Raises:
        NewerVersionError: A later tttcfg embedded it.
        InputError: Its values are refused.
    """
    data = embedded_bytes(header, family)
    return embedded_in(data, header, family) if data is not None else None


def embedded_in(data: bytes, header: Header, family: Family) -> Document:
    """Return the configuration that `embedded_bytes` found in weights."""
    name = f"{header.name} (embedded)"
    values = read_unplaced(data) or read_json(data.decode(), name).values  # refuses what no file could hold
    return document_of(values, family, name)


def embedded_bytes(header: Header, family: Family) -> bytes | None:
    """Return the document that is embedded in weights, whatever it holds, as a file of its own."""
    tag = tag_of(header.metadata)
    if tag is None or not isinstance(tag.get(EMBEDDED), dict):
        return None
    version = tag["schema_version"]
    body = {key: value for key, value in tag[EMBEDDED].items() if key not in HEADER}
    named = tag.get(FAMILY, family.name)
    tree: Tree = {"$schema": schema_id(str(named), version), "schema_version": version, **body}
    if isinstance(tag.get("provenance"), dict):
        tree["provenance"] = tag["provenance"]
    return json.dumps(tree).encode() + b"\n"


def digest_as(document: Document, version: int) -> str | None:
    """Return the digest that `document` had when `version` was current; None where that version had no digests.

    Raises:
        InputError: The document cannot be written in that version.
    """
    family = document.family
    if version == family.head:
        return configuration_digest(document.training, family)
    schema = frozen_schema(family, version)
    if not defining_values({}, schema):
        return None
    from tttcfg.documents.downgrade import migrate_tree  # and all operations, which only an older digest needs

    older = migrate_tree(document_tree(document), family, to=version, allow_loss=True, path=document.path)
    return digest_of_tree(older, schema, version)


def digest_of_tree(tree: Mapping[str, Any], schema: Fragment, version: int) -> str:
    """Return the digest of a document's plain values, by the roles that its version's schema gives the fields."""
    return digest_of(defining_values(tree, schema), version)
