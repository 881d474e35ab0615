"""A family: a root model, its versions, its history, and what is not one of its documents."""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol

from typing_extensions import TypeVar

from tttcfg.errors import InputError, Problem
from tttcfg.migration.chain import Chain
from tttcfg.schema.fields import ConfigField, Outline, Role, Section, config_fields, outline, sections
from tttcfg.schema.fragments import Shape
from tttcfg.schema.paths import MISSING, get_path, split

if TYPE_CHECKING:
    from tttcfg.evidence.knowledge import TensorKnowledge


class ForeignFormat(NamedTuple):
    """A kind of document that is easily taken for one of the family's: any of `marks` gives it away."""

    what: str
    marks: tuple[str, ...]
    advice: str

    def matches(self, tree: Mapping[str, Any]) -> bool:
        return any(get_path(tree, split(mark), MISSING) is not MISSING for mark in self.marks)


class Derived(NamedTuple):
    """What a family derives for the layers: their configuration, where each value comes from, and what is wrong.

    `problems` says why there is no configuration, or what is wrong with it; those of severity info, what was decided.
    """

    config: Section | None
    origins: Mapping[str, str]
    problems: tuple[Problem, ...]


class Derive(Protocol):
    """The signature of `Family.derive`; `proved` is what tensors prove, by dotted path."""

    def __call__(
        self, training: Any, model: Mapping[str, Any] | None, name: str, proved: Mapping[str, Any] = ..., /
    ) -> Derived: ...


_FAMILIES: dict[type[Section], Family] = {}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
STEP = re.compile(r"v(?:\d{4}_to_v)?(\d{4})")
"""The name of a module with a migration; the group is the version that it leads to."""


def nothing_derived(
    _training: Any, _model: Mapping[str, Any] | None, _name: str, _proved: Mapping[str, Any] = MappingProxyType({}), /
) -> Derived:
    """Derive nothing: of a family whose layers read its configuration as it stands."""
    return Derived(None, {}, ())


def nothing_doubtful(_training: Any) -> list[Problem]:
    """Check nothing beyond what the model itself does."""
    return []


Model = TypeVar("Model", bound=Section, default=Any)
Layers = TypeVar("Layers", default=Any)


@dataclass(frozen=True, eq=False)
class Family(Generic[Model, Layers]):
    """Everything tttcfg needs to know about one kind of configuration.

    A family needs a name, a model whose fields are declared with `setting`, and two packages; the rest is for those
    that can say more.

    Attributes:
        name: Lower-case letters, digits and underscores; a part of the identifier of every schema.
        model: The root model; its fields are one document.
        migrations: Package with one module per step, each with a `migration`, and named after the versions that it
            joins: `v0000`, `v0000_to_v0001`, …
        schemas: Package with one frozen JSON Schema per version.
        foreign_formats: Documents that are easily taken for the family's.
        required_to_train: Fields without which no training run starts; loading never asks for them.
        layers: The model of what `derive` derives for the layers.
        derive: From a configuration and a model's config.json (or None) and its name: what the layers read.
        check: What is doubtful or impossible about a configuration by itself.
        tensors: Returns what the family knows of tensors; called where there are weights, so that it may import what
            only they need. None where it declares nothing about tensors.
        training_side: Returns what the family knows of its live models and of what a save of one holds, a class below
            `tttcfg.nn.TrainingSide`; called where models are saved or loaded, so that it may import torch. None for the
            defaults: the whole state dict, in the model's types.
        weight_names: What files are called that hold the names and shapes of its tensors and are no safetensors; its
            `tensors` read them. They come before safetensors of the same folder.
        unambiguous: Whether no conversion under a name that stayed changes a value that today's version takes. It saves
            importing the history for configuration files with such a field, a twentieth of a cold command.
    """

    name: str
    model: type[Model]
    migrations: str
    schemas: str
    foreign_formats: tuple[ForeignFormat, ...] = ()
    required_to_train: tuple[str, ...] = ()
    layers: type[Layers] | None = None
    derive: Derive = nothing_derived
    check: Callable[[Any], list[Problem]] = nothing_doubtful
    tensors: Callable[[], TensorKnowledge] | None = None
    training_side: Callable[[], Any] | None = None
    weight_names: tuple[str, ...] = ()
    unambiguous: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a family: lower-case letters, digits and _, a letter first")
        if type(self) is Family:  # an extension's settings are no configuration by themselves
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

    @cached_property
    def knowledge(self) -> TensorKnowledge:
        """What the family knows of tensors."""
        from tttcfg.evidence.knowledge import NoTensorKnowledge  # only a checkpoint with weights needs it

        return self.tensors() if self.tensors is not None else NoTensorKnowledge()

    @property
    def fields(self) -> dict[str, ConfigField]:
        return config_fields(self.model)

    @cached_property
    def public_fields(self) -> tuple[ConfigField, ...]:
        """All fields but secrets."""
        return tuple(field for field in self.fields.values() if field.role is not Role.SECRET)

    @cached_property
    def secret_fields(self) -> tuple[ConfigField, ...]:
        return tuple(field for field in self.fields.values() if field.role is Role.SECRET)

    @cached_property
    def model_defining_fields(self) -> tuple[ConfigField, ...]:
        """The fields that decide the tensors and what they compute."""
        return tuple(field for field in self.public_fields if field.role in (Role.ARCHITECTURE, Role.COMPUTATION))

    @cached_property
    def ambiguous_fields(self) -> frozenset[str]:
        """The names of fields with values that may be of an older version and mean something else in it."""
        return frozenset() if self.unambiguous else self.chain.converted & self.fields.keys()

    @cached_property
    def following_fields(self) -> tuple[ConfigField, ...]:
        """The fields whose defaults follow from other fields."""
        return tuple(field for field in self.fields.values() if field.follows is not None)

    @property
    def sections(self) -> frozenset[str]:
        return sections(self.model)

    def outline(self, *, secrets: bool = True) -> Outline:
        """Return the sections and fields of the model, as `tttcfg.schema.fields.outline` has them."""
        return outline(self.model, secrets=secrets)

    @cached_property
    def schema_id(self) -> str:
        return self.schema_id_of(self.head)

    def schema_id_of(self, version: int) -> str:
        """Return the identifier of the schema of `version`, as documents name it."""
        return f"urn:tttcfg:{self.name}:v{version:04d}"


def known_families() -> Collection[Family]:
    """Return the families that this process has imported."""
    return _FAMILIES.values()


def family_rooted_in(model: type[Any]) -> Family | None:
    """Return the family that `model`, or a class above it, is the root of; None where it is of none that is known."""
    return next((_FAMILIES[one] for one in model.__mro__ if one in _FAMILIES), None)


def family_of(model: type[Any]) -> Family:
    """Return the family that `model` is the root of.

    Raises:
        InputError: It is of none that was imported.
    """
    family = family_rooted_in(model)
    if family is None:
        message = "is the root of no family; import the module that declares its Family"
        raise InputError(Problem("plugin", message, model.__name__))
    return family


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
