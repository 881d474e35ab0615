"""A family: a root model, its versions, its history, and what is not one of its documents."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from tttcfg.errors import Problem
from tttcfg.fields import Leaf, Role, Section, dig, leaves, sections
from tttcfg.migration import Chain
from tttcfg.record import MISSING, split


class Stranger(NamedTuple):
    """A kind of document that is easily taken for one of the family's: any of `marks` gives it away."""

    what: str
    marks: tuple[str, ...]
    advice: str

    def matches(self, tree: Mapping[str, Any]) -> bool:
        return any(dig(tree, split(mark), MISSING) is not MISSING for mark in self.marks)


class Derived(NamedTuple):
    """What a family derives for the layers: their configuration, where each value comes from, and what is wrong.

    `notes` are further things to know about the configuration, none of them wrong.
    """

    config: Section | None
    origins: Mapping[str, str]
    problems: tuple[Problem, ...]
    notes: tuple[Rule, ...] = ()


class Derive(Protocol):
    """The signature of `Family.derive`; `proved` is what tensors prove, by dotted path."""

    def __call__(
        self, training: Any, model: Mapping[str, Any] | None, name: str, proved: Mapping[str, Any] = ..., /
    ) -> Derived: ...


class Rule(NamedTuple):
    """One thing a check has to say about a configuration: how bad, and the problem."""

    severity: str
    problem: Problem


_FAMILIES: dict[type[Section], Family] = {}


@dataclass(frozen=True, eq=False)
class Family:
    """Everything tttcfg needs to know about one kind of configuration.

    Attributes:
        head: The version that is written; the last step in `migrations` must lead to it (a test compares).
        migrations: Package with one module per step, each with a `migration`.
        schemas: Package with one frozen JSON Schema per version.
        required_to_train: Fields without which no training run starts; loading never asks for them.
        derive: From a configuration and a model's config.json (or None) and its name: what the layers read.
        check: What is doubtful or impossible about a configuration by itself.
        weights: Module that knows tensors: `proved`, what they prove by dotted path; `alike`, which fields say the
            same in other words; `left_open`, which fields unknown tensors leave to be said; `Judge`, which holds a
            configuration against them. Imported where there are weights.
    """

    name: str
    model: type[Section]
    head: int
    migrations: str
    schemas: str
    strangers: tuple[Stranger, ...]
    required_to_train: tuple[str, ...]
    derive: Derive
    check: Callable[[Any], list[Rule]]
    weights: str

    def __post_init__(self) -> None:
        _FAMILIES[self.model] = self

    @cached_property
    def chain(self) -> Chain:
        """All migrations, imported when an old document or spelling first asks for them."""
        package = import_module(self.migrations)
        names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
        return Chain([import_module(f"{self.migrations}.{name}").migration for name in names])

    @property
    def leaves(self) -> dict[str, Leaf]:
        return leaves(self.model)

    @cached_property
    def public_leaves(self) -> tuple[Leaf, ...]:
        """All leaves but secrets."""
        return tuple(leaf for leaf in self.leaves.values() if leaf.role is not Role.SECRET)

    @cached_property
    def secret_leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaf for leaf in self.leaves.values() if leaf.role is Role.SECRET)

    @cached_property
    def decisive_leaves(self) -> tuple[Leaf, ...]:
        """The leaves that decide the tensors and what they compute."""
        return tuple(leaf for leaf in self.public_leaves if leaf.role in (Role.ARCHITECTURE, Role.COMPUTATION))

    @property
    def sections(self) -> frozenset[str]:
        return sections(self.model)

    @cached_property
    def schema_id(self) -> str:
        return f"urn:tttcfg:{self.name}:v{self.head:04d}"


def family_of(model: type[Section]) -> Family:
    """Return the family that `model` is the root of."""
    return _FAMILIES[model]
