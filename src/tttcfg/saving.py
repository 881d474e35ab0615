"""Writing a document: canonical bytes, checked before they replace anything; and going back to an older version."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path as FilePath
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from tttcfg.document import DOCUMENT_NAME, Document, document_of, parse_document
from tttcfg.errors import InputError, LossError, Place, Problem, WriteError
from tttcfg.family import Family
from tttcfg.fields import dig
from tttcfg.record import MISSING, Record, Tree, copied, prune, same, split, take
from tttcfg.sources.text import Tree as SourceTree
from tttcfg.storage import write_atomically
from tttcfg.version import __version__
from tttcfg.versions import RESERVED, find_version

ABSENT = "the document lacked them; these are its version's defaults"


def document_tree(document: Document) -> Tree:
    """Return `document` as the current version saves it, keys in their one order; secrets are not in it."""
    family = document.family
    if type(document.training) is not family.model:
        name = type(document.training).__name__
        message = f"is a {name}, not a {family.model.__name__}; fields of a subclass would be lost"
        raise InputError(Problem("rejected", message, "training"))
    body = document.training.model_dump(mode="json")
    return {
        "$schema": family.schema_id,
        "schema_version": family.head,
        **body,
        "provenance": provenance_of(document),
    }


def provenance_of(document: Document) -> Tree:
    """Return where `document` comes from, as its reserved key holds it."""
    origin: Tree = {}
    if document.version != document.family.head:
        origin["migrated_from"] = document.version
        if document.decided_by:
            origin["decided_by"] = list(document.decided_by)
        origin |= document.record.saved()
    if document.lacking:
        origin["assumed"] = {"reason": ABSENT, "values": dict(document.assumed)}
    return {**document.provenance, **origin}


def stamped(tree: Tree, written_at: datetime | None = None) -> Tree:
    """Return `tree` with who wrote it and when, unless it says so already."""
    if "written_by" in tree["provenance"]:
        return tree
    moment = (written_at or datetime.now(timezone.utc)).astimezone(timezone.utc)
    stamp = {"written_by": f"tttcfg {__version__}", "written_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {**tree, "provenance": {**stamp, **tree["provenance"]}}


def canonical_bytes(tree: Tree) -> bytes:
    """Return the one form in which a tree is written: two-space indent, UTF-8, a final newline."""
    try:
        return to_json(tree, indent=2) + b"\n"
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise InputError(Problem("encoding", f"cannot be written: {error}")) from None


def document_bytes(document: Document, written_at: datetime | None = None) -> bytes:
    """Return the bytes of `document`, having read them back and found them to mean the same."""
    tree = stamped(document_tree(document), written_at)
    data = canonical_bytes(tree)
    if document_tree(parse_document(data, document.family)) != tree:
        raise InputError(
            Problem("rejected", "does not come back from its own bytes as it was; this is a bug of tttcfg")
        )
    return data


def save_document(
    path: str | os.PathLike[str],
    document: Document,
    *,
    written_at: datetime | None = None,
    fsync: bool = True,
) -> FilePath:
    """Write `document` at `path` (a folder takes `training_config.json`), atomically and durably.

    Returns:
        The file that was written.

    Raises:
        InputError: The document would not come back as it is; nothing was written.
        WriteError: The file could not be written; what stood there is untouched.
    """
    target = FilePath(path)
    if target.is_dir():
        target = target / DOCUMENT_NAME
    data = document_bytes(document, written_at)
    if not target.parent.is_dir():
        raise WriteError(Problem("unwritable", "there is no such folder", place=Place(str(target.parent))))
    write_atomically(target, data, fsync=fsync)
    return target


def migrate_tree(
    values: Mapping[str, Any],
    family: Family,
    *,
    to: int | None = None,
    allow_loss: bool = False,
    path: str = "document",
) -> Tree:
    """Return a document as version `to` (the head) has it; `values` stays as it is.

    The result depends on nothing but the arguments. Upgrading to the head completes and validates;
    older versions get what their programs wrote, without a number.

    Raises:
        LossError: The older version cannot hold a value, nothing would bring it back, and `allow_loss` is false.
        InputError: The document cannot be read.
    """
    target = family.head if to is None else to
    if not 0 <= target <= family.head:
        raise InputError(Problem("version", f"there is no version {target}; versions go from 0 to {family.head}", "to"))
    if target == family.head:
        return document_tree(document_of(values, family, path))
    version, _ = find_version(values, family, path, SourceTree(dict(values), {}, path))
    body = {key: value for key, value in copied(dict(values)).items() if key not in RESERVED}
    record = Record.from_saved(values.get("provenance") or {})
    if version <= target:
        return family.chain.up(body, version, record, target)
    return _down(body, values.get("provenance") or {}, family, target, allow_loss, record, path)


def _down(
    body: Tree, provenance: Mapping[str, Any], family: Family, target: int, allow_loss: bool, record: Record, path: str
) -> Tree:
    assumed = provenance.get("assumed")
    values = assumed.get("values", {}) if isinstance(assumed, dict) else {}
    for name, value in values.items() if isinstance(values, dict) else ():
        if same(dig(body, split(name), MISSING), value):
            take(body, split(name))
            prune(body, split(name))
    older, losses = family.chain.down(body, target, record)
    if losses and not allow_loss:
        message = f"version {target} has no such setting, and absent it means something else"
        raise LossError(Problem("loss", f"{message}; --allow-loss drops it", key, Place(path)) for key, _ in losses)
    return older
