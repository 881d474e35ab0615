"""A family: a root model, its versions, its history, and what is not one of its documents."""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from tttcfg.errors import Problem
from tttcfg.fields import Leaf, Role, Section, dig, leaves, sections
from tttcfg.migration import Chain
from tttcfg.record import MISSING, split
from tttcfg.shapes import Shape


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


UNJUDGED = "tttcfg.weights.unjudged"
"""The module that knows nothing of tensors."""
_FAMILIES: dict[type[Section], Family] = {}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
STEP = re.compile(r"v(?:\d{4}_to_v)?(\d{4})")
"""The name of a module with a migration; the group is the version that it leads to."""


def nothing_derived(
    _training: Any, _model: Mapping[str, Any] | None, _name: str, _proved: Mapping[str, Any] = MappingProxyType({}), /
) -> Derived:
    """Derive nothing: of a family whose layers read its configuration as it stands."""
    return Derived(None, {}, ())


def nothing_doubtful(_training: Any) -> list[Rule]:
    """Check nothing beyond what the model itself does."""
    return []


@dataclass(frozen=True, eq=False)
class Family:
    """Everything tttcfg needs to know about one kind of configuration.

    A family needs a name, a model whose fields are declared with `setting`, and two packages; the rest is for those
    that can say more.

    Attributes:
        name: Lower-case letters, digits and underscores; a part of the identifier of every schema.
        model: The root model; its fields are one document.
        migrations: Package with one module per step, each with a `migration`, and named after the versions that it
            joins: `v0000`, `v0000_to_v0001`, …
        schemas: Package with one frozen JSON Schema per version.
        strangers: Documents that are easily taken for the family's.
        required_to_train: Fields without which no training run starts; loading never asks for them.
        layers: The model of what `derive` derives for the layers.
        derive: From a configuration and a model's config.json (or None) and its name: what the layers read.
        check: What is doubtful or impossible about a configuration by itself.
        weights: Module that knows tensors, as `weights.knowledge.Knowledge` describes it; imported where there are
            weights.
        weight_names: What files are called that hold the names and shapes of its tensors and are no safetensors; its
            `weights` reads them. They come before safetensors of the same folder.
        unambiguous: Whether no conversion under a name that stayed changes a value that today's version takes. It saves
            importing the history for configuration files with such a field, a twentieth of a cold command.
    """

    name: str
    model: type[Section]
    migrations: str
    schemas: str
    strangers: tuple[Stranger, ...] = ()
    required_to_train: tuple[str, ...] = ()
    layers: type[Section] | None = None
    derive: Derive = nothing_derived
    check: Callable[[Any], list[Rule]] = nothing_doubtful
    weights: str = UNJUDGED
    weight_names: tuple[str, ...] = ()
    unambiguous: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a family: lower-case letters, digits and _, a letter first")
        _FAMILIES[self.model] = self

    @cached_property
    def steps(self) -> dict[str, int]:
        """The names of the modules with a migration, each with the version that it leads to."""
        modules = pkgutil.iter_modules(import_module(self.migrations).__path__)
        return {one.name: int(named.group(1)) for one in modules if (named := STEP.fullmatch(one.name))}

    @cached_property
    def head(self) -> int:
        """The version that is written: that of the newest migration."""
        return max(self.steps.values(), default=-1)

    @cached_property
    def chain(self) -> Chain:
        """All migrations, imported when an old document or spelling first asks for them."""
        return Chain([import_module(f"{self.migrations}.{name}").migration for name in self.steps])

    @property
    def judges_tensors(self) -> bool:
        """Whether it declares anything about tensors."""
        return self.weights != UNJUDGED

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

    @cached_property
    def ambiguous_leaves(self) -> frozenset[str]:
        """The names of leaves with values that may be of an older version and mean something else in it."""
        return frozenset() if self.unambiguous else self.chain.converted & self.leaves.keys()

    @cached_property
    def following_leaves(self) -> tuple[Leaf, ...]:
        """The leaves whose defaults follow from other fields."""
        return tuple(leaf for leaf in self.leaves.values() if leaf.follows is not None)

    @property
    def sections(self) -> frozenset[str]:
        return sections(self.model)

    @cached_property
    def schema_id(self) -> str:
        return self.schema_id_of(self.head)

    def schema_id_of(self, version: int) -> str:
        """Return the identifier of the schema of `version`, as documents name it."""
        return f"urn:tttcfg:{self.name}:v{version:04d}"


def family_of(model: type[Section]) -> Family:
    """Return the family that `model` is the root of."""
    return _FAMILIES[model]


def schema_name(version: int) -> str:
    """Return the name of the file that holds the frozen schema of `version`."""
    return f"v{version:04d}.schema.json"


@lru_cache(maxsize=64)
def frozen_schema(family: Family, version: int) -> Shape:
    """Return the schema of documents of `version`, as it was frozen. Not to be changed.

    Raises:
        OSError: There is none.
    """
    schema: Shape = json.loads(pkgutil.get_data(family.schemas, schema_name(version)) or b"")
    return schema
