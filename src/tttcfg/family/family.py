"""A family: a root model with its versions and history, and the formats that are mistaken for its documents."""

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
from tttcfg.files.storage import CONFIGURATION_CAP
from tttcfg.migration.chain import Chain
from tttcfg.plugins import FAMILY_GROUP, entry_points
from tttcfg.schema.defining import MODEL_DEFINING
from tttcfg.schema.fields import ConfigField, Outline, Role, Section, config_fields, outline, sections
from tttcfg.schema.fragments import Fragment
from tttcfg.schema.inside import section_held
from tttcfg.schema.paths import MISSING, get_path, split

if TYPE_CHECKING:
    from tttcfg.evidence.knowledge import TensorKnowledge


class ForeignFormat(NamedTuple):
    """A kind of document that is easily mistaken for one of the family's.

    Attributes:
        what: What it is, as the end of a sentence: `a configuration of …`.
        keys: Dotted keys, any one of which shows that it is one.
        advice: What distinguishes it, or what to do.
        families: The names of the families that it may be of; those that are installed are suggested.
    """

    what: str
    keys: tuple[str, ...]
    advice: str
    families: tuple[str, ...] = ()

    def matches(self, tree: Mapping[str, Any]) -> bool:
        """Whether a document, as plain values, has any of the keys."""
        return any(get_path(tree, split(key), MISSING) is not MISSING for key in self.keys)


class Derived(NamedTuple):
    """What a family derives for the layers: their configuration, the origin of each value, and problems.

    `problems` are the reasons why there is no configuration, and further findings about it.
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
NAME = re.compile(r"[a-z][a-z0-9_]*")
"""The name of a family."""
STEP = re.compile(r"v(?:\d{4}_to_v)?(\d{4})")
"""The name of a module with a migration; the group is the version that it leads to."""


def nothing_derived(
    _training: Any, _model: Mapping[str, Any] | None, _name: str, _proved: Mapping[str, Any] = MappingProxyType({}), /
) -> Derived:
    """Derive nothing: for a family whose layers read its configuration directly."""
    return Derived(None, {}, ())


def nothing_doubtful(_training: Any) -> list[Problem]:
    """Check nothing beyond the model's own validation."""
    return []


Model = TypeVar("Model", bound=Section, default=Any)
Layers = TypeVar("Layers", default=Any)


@dataclass(frozen=True, eq=False)
class Family(Generic[Model, Layers]):
    """The declaration of one kind of configuration.

    A family needs a name, a model whose fields are declared with `setting`, and two packages; the rest is optional.

    Attributes:
        name: Lower-case letters, digits and underscores; part of the identifier of every schema.
        model: The root model; its fields are one document.
        migrations: Package with one module per step, each with a `migration`, and named after the versions that it
            joins: `v0000`, `v0000_to_v0001`, …
        schemas: Package with one frozen JSON Schema per version.
        foreign_formats: Documents that are easily mistaken for the family's.
        required_to_train: Fields without which no training run starts; loading does not need them.
        layers: The model of what `derive` derives for the layers.
        derive: Derives the layers' configuration from a configuration, a model's config.json (or None) and its name.
        check: Returns findings about a configuration alone.
        tensors: Returns the family's `TensorKnowledge`; called where there are weights, so that it may import what only
            they need. None where the family declares nothing about tensors.
        training_side: Returns what the family knows of its live models and of what a save of one holds, a class below
            `tttcfg.nn.TrainingSide`; called where models are saved or loaded, so that it may import torch. None for the
            defaults: the whole state dict, in the model's types.
        weight_names: Names of files with the names and shapes of its tensors that are not safetensors; its `tensors`
            read them. They are preferred to safetensors of the same folder.
        unambiguous: Whether no conversion that keeps a name changes a value that the current version accepts. It saves
            importing the history for configuration files with such a field, a twentieth of a cold command.
        configuration_cap: The most bytes that a configuration file may have, of any format. Where another family is
            assumed first, because none is chosen and no document names one, a larger file is refused.
        parent: The family that this one inherits from: `model` is a subclass of the parent's, and the history takes
            over the parent's steps. What else the parent declares (`check`, `derive`, `tensors`, …) is given again:
            `check=BASE.check`.
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
    configuration_cap: int = CONFIGURATION_CAP
    parent: Family[Any, Any] | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is not a name of a family: use lower-case letters, digits and _, a letter first"
            )
        if self.parent is not None:
            self._refuse_unlike(self.parent)
        if type(self) is Family:  # an extension's settings alone are not a configuration
            _FAMILIES[self.model] = self

    def _refuse_unlike(self, parent: Family[Any, Any]) -> None:
        """Raise a ValueError with everything in which this is no child of `parent`."""
        from tttcfg.family.inheritance import departures  # only families with a parent need it

        wrong = list(departures(self.model, parent.model))
        if type(self) is not Family or type(parent) is not Family:
            wrong.append("an extension has no parent and is none")
        for key in ("name", "migrations", "schemas"):
            same = [one.name for one in (parent, *parent.ancestors) if getattr(one, key) == getattr(self, key)]
            wrong += [f"{key}={getattr(self, key)!r} is that of {one}: give it its own" for one in same]
        if wrong:
            raise ValueError(f"{self.name} cannot inherit from {parent.name}: {'; '.join(wrong)}")

    @property
    def ancestors(self) -> tuple[Family[Any, Any], ...]:
        """The family's parent, and the parent of that, and so on."""
        return () if self.parent is None else (self.parent, *self.parent.ancestors)

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
        """All migrations, imported when an old document or an old name first needs them."""
        return Chain([import_module(f"{self.migrations}.{name}").migration for name in self.steps])

    @cached_property
    def knowledge(self) -> TensorKnowledge:
        """The family's knowledge of tensors."""
        from tttcfg.evidence.knowledge import NoTensorKnowledge  # only a checkpoint with weights needs it

        return self.tensors() if self.tensors is not None else NoTensorKnowledge()

    @property
    def fields(self) -> dict[str, ConfigField]:
        """All fields by dotted name, in declaration order."""
        return config_fields(self.model)

    @cached_property
    def public_fields(self) -> tuple[ConfigField, ...]:
        """All fields but secrets."""
        return tuple(field for field in self.fields.values() if field.role is not Role.SECRET)

    @cached_property
    def secret_fields(self) -> tuple[ConfigField, ...]:
        """The fields that are never written, printed or hashed."""
        return tuple(field for field in self.fields.values() if field.role is Role.SECRET)

    @cached_property
    def model_defining_fields(self) -> tuple[ConfigField, ...]:
        """The fields that decide the tensors and what they compute."""
        return tuple(field for field in self.public_fields if field.role in MODEL_DEFINING)

    @cached_property
    def ambiguous_fields(self) -> frozenset[str]:
        """The names of fields with values that may be of an older version, with another meaning."""
        return frozenset() if self.unambiguous else self.chain.converted & self.fields.keys()

    @cached_property
    def following_fields(self) -> tuple[ConfigField, ...]:
        """The fields whose defaults follow from other fields."""
        return tuple(field for field in self.fields.values() if field.follows is not None)

    @cached_property
    def holds_sections(self) -> bool:
        """Whether a field is a list or mapping of sections, a section that may be null, or one of several variants."""
        fields = self.fields.values()
        return any(one.variants is not None or section_held(one.info.annotation) is not None for one in fields)

    @cached_property
    def variant_fields(self) -> tuple[ConfigField, ...]:
        """The fields that hold one of several variants, those around others first."""
        return tuple(field for field in self.fields.values() if field.variants is not None)

    @property
    def sections(self) -> frozenset[str]:
        """The dotted names of all sections."""
        return sections(self.model)

    def outline(self, *, secrets: bool = True) -> Outline:
        """Return the sections and fields of the model; see `tttcfg.schema.fields.outline`."""
        return outline(self.model, secrets=secrets)

    @cached_property
    def schema_id(self) -> str:
        """The identifier of the newest schema, which documents have as `$schema`."""
        return self.schema_id_of(self.head)

    def require_version(self, version: int, key: str = "version") -> None:
        """Raise an InputError about `key` where there is no such version."""
        if not 0 <= version <= self.head:
            message = f"there is no version {version} of {self.name}; versions go from 0 to {self.head}"
            raise InputError(Problem("version", message, key))

    def schema_id_of(self, version: int) -> str:
        """Return the identifier of the schema of `version`, which documents have as `$schema`."""
        return schema_id(self.name, version)


def schema_id(family: str, version: int) -> str:
    """Return the identifier of the schema of a version of a family, by the family's name."""
    return f"urn:tttcfg:{family}:v{version:04d}"


def known_families() -> Collection[Family]:
    """Return the families that this process has imported."""
    return _FAMILIES.values()


def family_names() -> list[str]:
    """Return the names that `--family` takes: of families that this process has imported or a distribution declares.

    Raises:
        InputError: Two distributions claim one name.
    """
    known = [one.name for one in known_families()]
    return list(dict.fromkeys([*known, *(one.name for one in entry_points(FAMILY_GROUP))]))


def family_rooted_in(model: type[Any]) -> Family | None:
    """Return the family that `model`, or a class above it, is the root of; None where no imported family has it."""
    return next((_FAMILIES[one] for one in model.__mro__ if one in _FAMILIES), None)


def family_of(model: type[Any]) -> Family:
    """Return the family that `model` is the root of.

    Raises:
        InputError: No imported family has it.
    """
    family = family_rooted_in(model)
    if family is None:
        message = "is not the root model of a family; import the module that declares its Family"
        raise InputError(Problem("plugin", message, model.__name__))
    return family


def schema_name(version: int) -> str:
    """Return the name of the file that holds the frozen schema of `version`."""
    return f"v{version:04d}.schema.json"


@lru_cache(maxsize=64)
def frozen_schema(family: Family, version: int) -> Fragment:
    """Return the frozen schema of documents of `version`, which callers must not change.

    Raises:
        OSError: There is none.
    """
    schema: Fragment = json.loads(pkgutil.get_data(family.schemas, schema_name(version)) or b"")
    return schema
