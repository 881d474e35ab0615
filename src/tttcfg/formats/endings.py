"""A configuration file of any format, by its ending."""

from __future__ import annotations

import os
from typing import Any

from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.storage import CONFIGURATION_CAP, read_bytes
from tttcfg.formats.text import Tree, decode
from tttcfg.urls import address

YAML_CAP = 1 << 16
"""Most bytes a YAML file, or a value typed as YAML, may have: it is read far slower than JSON."""


_FAST = (".json", ".toml")


def read_file(path: str | os.PathLike[str]) -> Tree:
    """Read a configuration file, at a URL too: JSON for `.json`, TOML for `.toml`, YAML for everything else.

    Raises:
        InputError: The file cannot be read, or its content is not a mapping of plain values.
    """
    name = address(path)
    ending = _ending(name)
    text = decode(read_bytes(name, CONFIGURATION_CAP if ending in _FAST else YAML_CAP), name)
    if ending == ".json":
        from tttcfg.formats.json import read_json as read  # each for the runs that read such files
    elif ending == ".toml":
        from tttcfg.formats.toml import read_toml as read
    else:
        from tttcfg.formats.yaml import read_yaml as read
    return read(text, name)


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
