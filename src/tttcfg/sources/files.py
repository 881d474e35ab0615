"""A configuration file of any format, by its ending."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from tttcfg.sources.text import Tree, decode
from tttcfg.storage import CONFIGURATION_CAP, read_bytes

YAML_CAP = 1 << 16
"""Most bytes a YAML file may have: reading YAML costs a thousand times what reading JSON does."""


def read_file(path: str | os.PathLike[str]) -> Tree:
    """Read a configuration file: JSON for `.json`, TOML for `.toml`, YAML for everything else.

    Raises:
        InputError: The file cannot be read, or what it holds is no mapping of plain values.
    """
    name = os.fspath(path)
    ending = os.path.splitext(name)[1].lower()
    kind = ending[1:] if ending in (".json", ".toml") else "yaml"
    text = decode(read_bytes(name, YAML_CAP if kind == "yaml" else CONFIGURATION_CAP), name)
    tree: Tree = getattr(_module(kind), f"read_{kind}")(text, name)
    return tree


def read_value(data: bytes, name: str) -> Any:
    """Read a value of any kind: TOML where `name` ends so, else YAML, which has JSON in it."""
    if name.endswith(".toml"):
        return _module("toml").read_toml(decode(data, name), name).values
    return _module("yaml").parse_yaml(decode(data, name), name)[0]


def _module(kind: str) -> Any:
    """Import the reader of one format, so that a run pays for the formats it reads and no other."""
    return import_module(f"tttcfg.sources.{kind}")
