"""The package's names: what it exports hides none of its modules."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

import tttcfg
from tttcfg import errors, nn


def test_every_module_is_found_under_its_own_name() -> None:
    names = [module.name for module in pkgutil.iter_modules(nn.__path__)]
    assert "fingerprints" in names
    for name in names:
        module = import_module(f"tttcfg.nn.{name}")
        assert isinstance(module, ModuleType)
        assert getattr(nn, name) is module


def test_every_exported_name_is_there() -> None:
    assert [name for name in nn.__all__ if not hasattr(nn, name)] == []


def test_the_error_of_ranks_is_where_the_other_errors_are() -> None:
    assert nn.RankError is tttcfg.RankError is errors.RankError
    assert issubclass(nn.RankError, tttcfg.TttcfgError)
