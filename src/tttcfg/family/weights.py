"""Weights that a family's configurations may describe."""

from __future__ import annotations

import os

from tttcfg.evidence.dialects.dialect import Dialect
from tttcfg.family.family import Family
from tttcfg.safetensors.header import Header
from tttcfg.safetensors.shards import read_weights


def describes(family: Family, dialect: Dialect) -> bool:
    """Whether configurations of `family` describe weights whose tensors are named so."""
    return dialect.family == family.name or dialect.name in family.knowledge.dialects


def read_as(family: Family, path: str) -> Header:
    """Read names, shapes and dtypes of the tensors in a file, or at a URL, that may hold weights of `family`.

    Raises:
        InputError: It cannot be read, or breaks the format.
    """
    return family.knowledge.read(path) if is_its_own(family, path) else read_weights(path)


def is_its_own(family: Family, path: str) -> bool:
    """Whether the family reads that file itself; every other is safetensors."""
    return os.path.basename(path) in family.weight_names


def binder(family: Family, path: str) -> str:
    """Return what binds a configuration to the weights at `path`, as it is to be typed; empty where nothing does."""
    return family.knowledge.binder if is_its_own(family, path) else "tttcfg.bind(path, configuration)"
