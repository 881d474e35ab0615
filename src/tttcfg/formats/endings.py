"""A configuration file of any format, by its ending."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.storage import CONFIGURATION_CAP, read_bytes
from tttcfg.formats.text import ParsedFile, decode
from tttcfg.urls import address

YAML_CAP = 1 << 16
"""Most bytes a YAML file, or a value typed as YAML, may have: it is read far slower than JSON."""
_FAST = (".json", ".toml")
_BACKED_UP = re.compile(r"(?:\.v[0-9]+|\.embedded-[0-9a-z]*)?(?:\.[0-9]+)?\.bak\Z")
"""What is behind the name of a file in that of a backup of it."""
_FORMS = {".json": ".json", ".toml": ".toml", ".yaml": ".yaml", ".yml": ".yaml"}


def read_file(path: str | os.PathLike[str], cap: int = 0) -> ParsedFile:
    """Read a configuration file, at a URL too: JSON for `.json`, TOML for `.toml`, YAML for everything else.

    Args:
        cap: The most bytes that it may have, where that is more than usual.

    Raises:
        InputError: The file cannot be read, or its content is not a mapping of plain values.
    """
    name = address(path)
    usual = CONFIGURATION_CAP if _ending(name) in _FAST else YAML_CAP
    return parse_file(read_bytes(name, max(cap, usual)), name)


def parse_file(data: bytes, name: str) -> ParsedFile:
    """Read the bytes of a configuration file as `read_file` does."""
    text, ending = decode(data, name), _ending(name)
    if ending == ".json":
        from tttcfg.formats.json import read_json as read  # each for the runs that read such files
    elif ending == ".toml":
        from tttcfg.formats.toml import read_toml as read
    else:
        from tttcfg.formats.yaml import read_yaml as read
    return read(text, name)


def named_form(name: str) -> str:
    """Return in what form a file is by the ending of its name, of which a backup has more behind; or an empty text."""
    return _FORMS.get(_ending(_BACKED_UP.sub("", os.path.basename(name))), "")


def form_of(name: str, text: str) -> str:
    """Return in what form a file or its backup is: `.json`, `.toml` or `.yaml`.

    Where its name does not tell, it is JSON if it begins with a brace and can be read as such, TOML if it can be read
    as that and not as settings in YAML, and else YAML.
    """
    if form := named_form(name):
        return form
    if text.lstrip()[:1] == "{":
        from tttcfg.formats.json import read_leniently  # each for the runs that meet such files

        with contextlib.suppress(ValueError):
            with contextlib.suppress(RecursionError):
                read_leniently(text)
            return ".json"
    with contextlib.suppress(InputError):
        if isinstance(parse_value(text, name)[0], dict):
            return ".yaml"
    from tttcfg.formats.toml import read_toml

    with contextlib.suppress(InputError):
        if read_toml(text, name).values:
            return ".toml"
    return ".yaml"


def read_value(path: str) -> tuple[Any, tuple[Problem, ...]]:
    """Read a file that holds a value of any kind: a TOML table, or anything in YAML, which includes JSON.

    Returns:
        The value, and notes on it.
    """
    if _ending(path) == ".toml":
        return read_file(path).values, ()
    return parse_value(decode(read_bytes(path, YAML_CAP), path), path)


def parse_value(text: str, name: str) -> tuple[Any, tuple[Problem, ...]]:
    """Read a value of any kind from YAML text.

    Returns:
        The value, and notes on it.

    Raises:
        InputError: The text is too long or is not plain YAML.
    """
    from tttcfg.formats.yaml import parse_yaml  # the largest import of a run that may need no YAML

    if len(text) > YAML_CAP:
        message = f"has {len(text):,} characters; a value may have {YAML_CAP:,}"
        raise InputError(Problem("too_large", message, place=Place(name)))
    tree = parse_yaml(text, name)
    return tree.values, tree.notes


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
