"""Writing a document: canonical bytes, checked before they replace anything; and going back to an older version."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json

from tttcfg.documents.checkpoint import WEIGHT_NAMES
from tttcfg.documents.document import DOCUMENT_CAP, DOCUMENT_NAME, Document, parse_document
from tttcfg.documents.replaced import replaced_through_link
from tttcfg.errors import InputError, Place, Problem, WriteError
from tttcfg.family.extension import EXTENSIONS, PassedThrough
from tttcfg.family.family import Family
from tttcfg.family.plugged import with_versions
from tttcfg.files.locks import alone
from tttcfg.files.storage import unwritable, write_atomically, write_errors
from tttcfg.migration.record import OF_VALUES, provenance_without_secrets
from tttcfg.schema.paths import Tree
from tttcfg.schema.paths import sections_of as names_around
from tttcfg.version import __version__

if TYPE_CHECKING:  # what only a checkpoint with weights needs
    from tttcfg.safetensors.header import Header

WEIGHTS = "weights"
"""The key of a document's provenance that names the weights it belongs to: a list with a record of each file."""
SAVE = "save"
"""The key of a record with what identifies its save, where no tag can be written into the weights."""
_OWN = ("written_by", "written_at", WEIGHTS)
"""What is true of one file and not of what is made of it."""
MISSING_FIELDS = "the document lacked them; these are its version's defaults"


def document_tree(document: Document) -> Tree:
    """Return `document` as the current version saves it, keys in their one order; secrets are not in it."""
    family = document.family
    if type(document.training) is not family.model:
        name = type(document.training).__name__
        message = f"is a {name}, not a {family.model.__name__}; fields of a subclass would be lost"
        raise InputError(Problem("rejected", message, "training"))
    body = saved_body(document.training, family)
    return framed(body, family, family.head, sections_of(document), provenance_of(document))


def saved_body(training: Any, family: Family) -> Tree:
    """Return the fields of a configuration as a document has them."""
    body: Tree = training.model_dump(mode="json", warnings=False)  # a warning would have the value in it
    return with_versions(body, training, family)


def framed(body: Tree, family: Family, version: int, extensions: Any, provenance: Tree) -> Tree:
    """Return a document of a version, from its fields, the sections of extensions, and where it comes from."""
    return {
        "$schema": family.schema_id_of(version),
        "schema_version": version,
        **body,
        **({EXTENSIONS: extensions} if extensions else {}),
        "provenance": provenance,
    }


def sections_of(document: Document) -> Tree:
    """Return the sections of all extensions by name, as they are saved."""
    sections: Tree = dict(document.passed_through)
    for name, part in document.parts.items():
        body = saved_body(part.training, part.family)
        origin = provenance_of(part)
        sections[name] = {"schema_version": part.family.head, **body, **({"provenance": origin} if origin else {})}
    return dict(sorted(sections.items()))


def with_values(tree: Tree) -> Tree:
    """Return a document's values, those in sections of extensions that are not installed included."""
    sections = tree.get(EXTENSIONS, {}).items()
    values = {name: one.values if isinstance(one, PassedThrough) else one for name, one in sections}
    return {**tree, EXTENSIONS: values} if values else tree


def provenance_of(document: Document) -> Tree:
    """Return where `document` comes from, as its reserved key holds it; without secrets, wherever they came from."""
    return provenance_without_secrets({**document.provenance, **_migration_of(document)})


def _migration_of(document: Document) -> Tree:
    """Return what reading `document` did to it."""
    origin: Tree = {}
    if document.version != document.family.head and document.version >= 0:
        origin["migrated_from"] = document.origin
    if document.migration is not None:
        if document.decided_by:
            origin["decided_by"] = list(document.decided_by)
        origin |= document.record.saved()
    if document.missing:
        origin["assumed"] = {"reason": MISSING_FIELDS, "values": dict(document.assumed)}
    return origin


def result_provenance(
    document: Document | None,
    training: Any,
    unconfirmed: Mapping[str, Any],
    reason: str,
    files: Mapping[str, Document],
    overridden: AbstractSet[str] = frozenset(),
) -> Tree:
    """Return what a result records of where it comes from, so that saving it turns no guess into a fact.

    Args:
        document: The checkpoint's; what was decided otherwise since is left out.
        unconfirmed: Values that cannot be confirmed, with the `reason`.
        files: The fields whose value is that of a configuration file which is a whole document, each with it.
        overridden: The fields that overrides decide, with whatever value: none of those is guessed.
    """
    provenance = _provenance_of_document(document, training, overridden) if document is not None else {}
    if document is None and unconfirmed:
        provenance["doubted"] = {reason: dict(unconfirmed)}
    for name, file in files.items():
        for kind in OF_VALUES:
            if (entry := getattr(file.record, kind).get(name)) is not None:
                provenance.setdefault(kind, {}).setdefault(entry["reason"], {})[name] = entry["value"]
        if name in file.assumed:
            assumed = provenance.setdefault("assumed", {"reason": MISSING_FIELDS, "values": {}})
            assumed["values"][name] = file.assumed[name]
    return provenance


def _provenance_of_document(document: Document, training: Any, overridden: AbstractSet[str]) -> Tree:
    whole = {**document.provenance, **_migration_of(document)}
    provenance = {key: value for key, value in whole.items() if key not in _OWN}
    if not provenance:
        return {}
    fields = document.family.public_fields
    decided = {field.name for field in fields if field.get(training) != field.get(document.training)}
    return without_fields(provenance, decided | overridden)


def without_fields(provenance: Mapping[str, Any], names: AbstractSet[str]) -> Tree:
    """Return provenance in which it is not said of some fields that their values were guessed or recovered."""
    left = dict(provenance)
    for kind in (*OF_VALUES, "assumed"):
        groups = left.get(kind)
        if isinstance(groups, dict):
            left[kind] = {name: _without(group, names) for name, group in groups.items()}
    return left


def _without(group: Any, names: AbstractSet[str]) -> Any:
    """Return a group of records without those of some fields, and of what is inside of these."""
    if not isinstance(group, dict):
        return group
    return {key: value for key, value in group.items() if not names & {key, *names_around([key])}}


def stamped(tree: Tree, written_at: datetime | None = None) -> Tree:
    """Return `tree` with who wrote it and when, unless it has that already."""
    if "written_by" in tree["provenance"]:
        return tree
    moment = (written_at or datetime.now(timezone.utc)).astimezone(timezone.utc)
    stamp = {"written_by": f"tttcfg {__version__}", "written_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {**tree, "provenance": {**stamp, **tree["provenance"]}}


def canonical_bytes(tree: Tree) -> bytes:
    """Return the one form in which a tree is written: two-space indent, UTF-8, a final newline."""
    raw = {_placeholder(one): one for one in tree.get(EXTENSIONS, {}).values() if isinstance(one, PassedThrough)}
    if raw:
        sections = tree[EXTENSIONS].items()
        tree = {
            **tree,
            EXTENSIONS: {name: _placeholder(one) if isinstance(one, PassedThrough) else one for name, one in sections},
        }
    try:
        data = to_json(tree, indent=2) + b"\n"
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise InputError(Problem("encoding", f"cannot be written: {error}")) from None
    for place, text in raw.items():
        data = data.replace(f'"{place}"'.encode(), text)
    return data


def _placeholder(section: PassedThrough) -> str:
    """Return a text that no document has, in the place of a section that is written as it is."""
    return f"{EXTENSIONS}-{hashlib.sha256(section).hexdigest()}"


def document_bytes(document: Document, written_at: datetime | None = None, known: bytes | None = None) -> bytes:
    """Return the bytes of `document`, having read them back and found them to mean the same.

    Args:
        known: Bytes that were read as a document before: if it has the same, they are not read again.
    """
    tree = stamped(document_tree(document), written_at)
    data = canonical_bytes(tree)
    if data == known:
        return data
    if len(data) > DOCUMENT_CAP:
        message = f"would have {len(data):,} bytes; a document may have {DOCUMENT_CAP:,}"
        raise InputError(Problem("too_large", message, place=Place(document.path) if document.path else ""))
    if document_tree(parse_document(data, document.family)) != tree:
        message = "does not come back from its own bytes as it was; this is a bug of tttcfg"
        raise InputError(Problem("rejected", message))
    return data


def weights_record(header: Header) -> Tree:
    """Return what a document records of weights that it belongs to: the name of their file, and what it holds."""
    record = {"file": os.path.basename(header.name), "header": header.digest}
    return {**record, SAVE: header.save} if header.save else record


def recording(document: Document, records: Iterable[Tree]) -> Document:
    """Return `document` with these records of weights that it belongs to, and with no others."""
    provenance = dict(document.provenance)
    provenance[WEIGHTS] = sorted(records, key=lambda one: str(one["file"]))  # where it was, so that no key moves
    if not provenance[WEIGHTS]:
        del provenance[WEIGHTS]
    return replace(document, provenance=provenance)


def is_beside_weights(document: Document, target: FilePath) -> bool:
    """Whether what is saved at `target` has to name the weights that it belongs to."""
    if target.name != DOCUMENT_NAME:
        return False
    beside = (target.parent / name for name in (DOCUMENT_NAME, *WEIGHT_NAMES))
    return WEIGHTS in document.provenance or any(map(os.path.isfile, beside))


def target_of(path: str | os.PathLike[str]) -> FilePath:
    """Return the file that saving at `path` writes."""
    target = FilePath(path)
    return target / DOCUMENT_NAME if os.path.isdir(target) else target


def _require_folder(folder: str) -> None:
    """Raise a WriteError where there is no such folder, or none that may be entered."""
    try:
        if stat.S_ISDIR(os.stat(folder).st_mode):
            return
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise unwritable(folder, error) from None
    raise WriteError(Problem("unwritable", "there is no such folder", place=Place(folder)))


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
        WriteError: The file could not be written, or is a link to something else than a configuration; an existing one
            is unchanged.
    """
    target = target_of(path)
    data = document_bytes(document, written_at)
    _require_folder(os.path.dirname(target) or os.curdir)
    with write_errors(str(target)), alone(os.path.dirname(os.path.realpath(target))):
        write_atomically(target, data, expected=replaced_through_link(target, document.family), fsync=fsync)
    return target
