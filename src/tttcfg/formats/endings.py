"""A configuration file of any format, by its ending."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.storage import CONFIGURATION_CAP, read_bytes
from tttcfg.formats.text import Tree, decode
from tttcfg.urls import address

YAML_CAP = 1 << 16
"""Most bytes a YAML file, or a value typed as YAML, may have: it is read far slower than JSON."""


def read_file(path: str | os.PathLike[str]) -> Tree:
    """Read a configuration file, at a URL too: JSON for `.json`, TOML for `.toml`, YAML for everything else.

    Raises:
        InputError: The file cannot be read, or its content is not a mapping of plain values.
    """
    name = address(path)
    kind = _kind(name)
    text = decode(read_bytes(name, YAML_CAP if kind == "yaml" else CONFIGURATION_CAP), name)
    tree: Tree = getattr(_module(kind), f"read_{kind}")(text, name)
    return tree


def read_value(path: str) -> tuple[Any, tuple[Problem, ...]]:
    """Read a file that holds a value of any kind: a TOML table, or anything in YAML, which has JSON in it.

    Returns:
        The value, and notes on it.
    """
    text = decode(read_bytes(path, YAML_CAP), path)
    if _kind(path) == "toml":
        return _module("toml").read_toml(text, path).values, ()
    return parse_value(text, path)


def parse_value(text: str, name: str) -> tuple[Any, tuple[Problem, ...]]:
    """Read a value of any kind from YAML text.

    Returns:
        The value, and notes on it.

    Raises:
        InputError: The text is too long or is not plain YAML.
    """
    if len(text) > YAML_CAP:
        message = f"has {len(text):,} characters; a value may have {YAML_CAP:,}"
        raise InputError(Problem("too_large", message, place=Place(name)))
    parsed = _module("yaml").parse_yaml(text, name)
    return parsed.value, parsed.notes


def _kind(name: str) -> str:
    ending = os.path.splitext(name)[1].lower()
    return ending[1:] if ending in (".json", ".toml") else "yaml"


def _module(kind: str) -> ModuleType:
    """Import the reader of one format, so that a run pays for the formats it reads and no other."""
    if kind == "json":
        from tttcfg.formats import json

        return json
    if kind == "toml":
        from tttcfg.formats import toml

        return toml
    from tttcfg.formats import yaml

    return yaml
