"""The weights that a family's configurations describe."""

from __future__ import annotations

import os

from tttcfg.evidence.dialects.dialect import Dialect
from tttcfg.family.family import Family
from tttcfg.safetensors.header import Header
from tttcfg.safetensors.shards import read_weights


def describes(family: Family, dialect: Dialect) -> bool:
    """Whether configurations of `family` describe weights of a dialect."""
    return dialect.family == family.name or any(one in (dialect, dialect.name) for one in family.knowledge.dialects)


def read_as(family: Family, path: str) -> Header:
    """Read names, shapes and dtypes of the tensors in a file, or at a URL, of weights of `family`.

    Raises:
        InputError: It cannot be read, or breaks the format.
    """
    return family.knowledge.read(path) if is_its_own(family, path) else read_weights(path)


def is_its_own(family: Family, path: str) -> bool:
    """Whether the family itself reads the file; every other file is safetensors."""
    return os.path.basename(path) in family.weight_names


def binder(family: Family, path: str) -> str:
    """Return the call that binds a configuration to the weights at `path`; empty where there is none."""
    return family.knowledge.binder if is_its_own(family, path) else "tttcfg.bind(path, configuration)"
