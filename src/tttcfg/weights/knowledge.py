"""What a family may know of tensors, and finding it: the module that its declaration names under `weights`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, cast

from tttcfg.errors import InputError, Problem
from tttcfg.family import UNJUDGED, Family
from tttcfg.weights.dialect import Dialect
from tttcfg.weights.evidence import Evidence
from tttcfg.weights.header import Header
from tttcfg.weights.judgement import Judgement
from tttcfg.weights.readings import Proof
from tttcfg.weights.shards import read_weights

if TYPE_CHECKING:
    from tttcfg.weights import unjudged

NEEDED = ("proved", "Judge")
"""What every such module has; of the rest it leaves out what it has nothing to say of."""


class Judging(Protocol):
    """One configuration, about to be held against tensors."""

    def judgements(self) -> Iterator[tuple[str, Judgement]]:
        """Yield fields by dotted path and what is to be said of each; said twice of one, the gravest counts."""


class Knowledge(Protocol):
    """What a module `weights` may have; `weights.holding.Holding` is a base for its `Judge`.

    Attributes:
        BINDER: What binds a configuration to weights that `read` reads, as it is to be typed: nothing can be written
            into them as it can into safetensors. Empty where nothing does.
        DIALECTS: Names of dialects that the family's configurations describe, beside those that name the family.
    """

    BINDER: str
    DIALECTS: Collection[str]

    def proved(self, evidence: Evidence, /) -> Mapping[str, Proof]:
        """Return what tensors prove, by the dotted path of the field; of another program's tensors, nothing."""

    def Judge(  # noqa: N802
        self,
        training: Any,
        config: Any,
        evidence: Evidence,
        model: Mapping[str, Any] | None,
        model_name: str,
        source: Callable[[str], str],
        /,
    ) -> Judging:
        """Return what holds a configuration against tensors; a class with these arguments will do.

        Args:
            config: What `derive` made for the layers, or None.
            model: The model's config.json, and what it is called; None where there is none.
            source: Tells what decided a field; `override` where somebody chose it on purpose, for this run.
        """

    def alike(
        self, proved: Mapping[str, Proof], given: Mapping[str, Any], model: Mapping[str, Any] | None, /
    ) -> Iterable[str]:
        """Return the fields that configuration files say in other words than tensors, and mean the same by."""

    def as_saved(self, said: Callable[[str], Any], evidence: Evidence, /) -> Mapping[str, Proof]:
        """Return the fields that saving has changed, as its configuration said it would: what they are in the weights.

        A proof's `tensor` is the sentence that says so. They count before every source but an override.

        Args:
            said: Tells what a field was when the weights were saved, as far as anything says so.
        """

    def left_open(self, evidence: Evidence, training: Any, /) -> Collection[str]:
        """Return the fields that somebody has to say, because tensors that nobody knows leave them open."""

    def in_model_config(self, model: Mapping[str, Any], /) -> Mapping[str, Any]:
        """Return what a model's config.json says of the family's fields, by dotted path."""

    def read(self, path: str, /) -> Header:
        """Read names, shapes and dtypes of the tensors in a file that is named in the family's `weight_names`.

        The header's `save` says what tells this save from every other, if anything does.

        Raises:
            InputError: It cannot be read.
        """


if TYPE_CHECKING:
    _: Knowledge = unjudged  # a type checker holds it against the protocol


@cache
def knowledge(family: Family) -> Knowledge:
    """Return what `family` knows of tensors.

    Raises:
        InputError: Its module lacks what every one needs.
    """
    module, silent = import_module(family.weights), import_module(UNJUDGED)
    missing = [name for name in NEEDED if not hasattr(module, name)]
    if missing:
        message = f"has no {' and no '.join(missing)}; what belongs there is in tttcfg.weights.knowledge"
        raise InputError(Problem("plugin", message, family.weights))
    return cast(Knowledge, SimpleNamespace(**{**vars(silent), **vars(module)}))


def describes(family: Family, dialect: Dialect) -> bool:
    """Whether configurations of `family` describe weights whose tensors are named so."""
    return dialect.family == family.name or dialect.name in knowledge(family).DIALECTS


def read_as(family: Family, path: str) -> Header:
    """Read names, shapes and dtypes of the tensors in a file, or at a URL, that may hold weights of `family`.

    Raises:
        InputError: It cannot be read, or breaks the format.
    """
    return knowledge(family).read(path) if is_its_own(family, path) else read_weights(path)


def is_its_own(family: Family, path: str) -> bool:
    """Whether the family reads that file itself; every other is safetensors."""
    return os.path.basename(path) in family.weight_names


def binder(family: Family, path: str) -> str:
    """Return what binds a configuration to the weights at `path`, as it is to be typed; empty where nothing does."""
    return knowledge(family).BINDER if is_its_own(family, path) else "tttcfg.bind(path, configuration)"
