"""Typed, versioned configuration for test-time-training checkpoints.

A name is imported when it is first used: a program does not pay for what it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tttcfg.version import __version__ as __version__

if TYPE_CHECKING:
    from tttcfg.api import adopt as adopt
    from tttcfg.api import bind as bind
    from tttcfg.api import diff as diff
    from tttcfg.api import inspect_weights as inspect_weights
    from tttcfg.api import load_document as load_document
    from tttcfg.api import mark_for as mark_for
    from tttcfg.api import migrate_document as migrate_document
    from tttcfg.api import resolve as resolve
    from tttcfg.api import save_document as save_document
    from tttcfg.api import verify as verify
    from tttcfg.differences import Difference as Difference
    from tttcfg.document import Document as Document
    from tttcfg.effective import Binding as Binding
    from tttcfg.effective import Effective as Effective
    from tttcfg.effective import Finding as Finding
    from tttcfg.effective import Origin as Origin
    from tttcfg.effective import Verification as Verification
    from tttcfg.errors import ContradictionError as ContradictionError
    from tttcfg.errors import ForeignDocumentError as ForeignDocumentError
    from tttcfg.errors import InputError as InputError
    from tttcfg.errors import LossError as LossError
    from tttcfg.errors import NewerVersionError as NewerVersionError
    from tttcfg.errors import Place as Place
    from tttcfg.errors import Problem as Problem
    from tttcfg.errors import RankError as RankError
    from tttcfg.errors import TttcfgError as TttcfgError
    from tttcfg.errors import WriteError as WriteError
    from tttcfg.extension import Extension as Extension
    from tttcfg.extension import register as register
    from tttcfg.family import Family as Family
    from tttcfg.fields import Role as Role
    from tttcfg.fields import Section as Section
    from tttcfg.fields import setting as setting
    from tttcfg.ttt_moshi.family import TrainingArgs as TrainingArgs
    from tttcfg.ttt_moshi.family import TTTConfig as TTTConfig
    from tttcfg.weights.rewriting import settle as settle

_HOMES = {
    "tttcfg.api": (
        "adopt",
        "bind",
        "diff",
        "inspect_weights",
        "load_document",
        "mark_for",
        "migrate_document",
        "resolve",
        "save_document",
        "verify",
    ),
    "tttcfg.differences": ("Difference",),
    "tttcfg.document": ("Document",),
    "tttcfg.effective": ("Binding", "Effective", "Finding", "Origin", "Verification"),
    "tttcfg.errors": (
        "ContradictionError",
        "ForeignDocumentError",
        "InputError",
        "LossError",
        "NewerVersionError",
        "Place",
        "Problem",
        "RankError",
        "TttcfgError",
        "WriteError",
    ),
    "tttcfg.extension": ("Extension", "register"),
    "tttcfg.family": ("Family",),
    "tttcfg.fields": ("Role", "Section", "setting"),
    "tttcfg.ttt_moshi.family": ("TTTConfig", "TrainingArgs"),
    "tttcfg.weights.rewriting": ("settle",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 every entry is a name


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tttcfg' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
