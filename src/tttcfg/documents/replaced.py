"""What a file must be so that a configuration may be written over it: empty, or a configuration itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tttcfg.documents.document import DOCUMENT_CAP
from tttcfg.errors import InputError, Place, Problem, WriteError, quote
from tttcfg.family.family import Family
from tttcfg.files.storage import read_bytes, writable_target, write_errors
from tttcfg.formats.endings import parse_file
from tttcfg.schema.fragments import RESERVED
from tttcfg.secrets import shown_key

_OURS = "urn:tttcfg:"
"""How a `$schema` of ours begins, whichever family and version it names."""


def replaced_by_writing(path: str | os.PathLike[str], family: Family) -> bytes | None:
    """Return the bytes of the configuration at `path`, which is to be replaced; None where there is nothing.

    Raises:
        WriteError: Something else is there than a configuration of any version, or an empty file.
    """
    name = os.fspath(path)
    with write_errors(name):
        target, status = writable_target(name)
    if status is None:
        return None
    what = f"leads to {target}, which is" if os.path.islink(name) else "is"
    try:
        data = read_bytes(target, DOCUMENT_CAP if name.endswith(".json") else family.configuration_cap)
        reason = why_no_configuration(parse_file(data, name).values, family) if data.strip() else ""
    except InputError as error:
        reason = error.problems[0].sentence
    if not reason:
        return data
    message, advice = f"{what} no configuration, and is not replaced: {reason}", "give another file name"
    raise WriteError(Problem("unwritable", message, place=Place(name), advice=advice))


def replaced_through_link(path: str | os.PathLike[str], family: Family) -> bytes | None:
    """Return the bytes of the configuration that a link leads to, which is to be replaced; None for anything else.

    A document's own name is replaced whatever it holds. A link is followed, as documents are linked on purpose; what it
    leads to may be another program's, under a name that was never given.

    Raises:
        WriteError: A link leads to something else than a configuration of any version, or an empty file.
    """
    return replaced_by_writing(path, family) if os.path.islink(path) else None


def why_no_configuration(values: Mapping[str, Any], family: Family) -> str:
    """Return why a mapping is no configuration of ours; empty where it is one.

    One key that configurations have is not enough: `data` and `$schema` are in files of many programs.
    """
    schema = values.get("$schema")
    if isinstance(schema, str) and schema.startswith(_OURS):
        return ""
    names = (*RESERVED, *family.fields, *family.sections, *family.chain.spellings)
    known = {name.partition(".")[0] for name in names}
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        return f"no version has the key {quote(shown_key(unknown))}"
    return "" if values.keys() - {"$schema"} else "it has no setting of any version"
