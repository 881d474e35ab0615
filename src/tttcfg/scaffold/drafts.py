"""The sections and settings that are to be written for a class, with guessed roles and units."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import TypeAdapter, ValidationError

from tttcfg.errors import InputError, Problem
from tttcfg.scaffold.annotations import (
    NULL,
    OddTypeError,
    SectionName,
    adapted,
    annotation_source,
    bare,
    expression,
    is_union,
)
from tttcfg.scaffold.choices import REGISTRY_KEY, choice_of, is_nullable
from tttcfg.scaffold.classes import ReadField, is_readable, read_class
from tttcfg.scaffold.comments import sentence
from tttcfg.scaffold.guesses import description_of, is_path, role_of, unit_of_number
from tttcfg.schema.fields import UNSET, Role, Section, Variants
from tttcfg.schema.fragments import RESERVED
from tttcfg.schema_tools.codegen import text_literal
from tttcfg.schema_tools.layout import class_name

IMPORTED: Mapping[str, Sequence[str]] = {
    "datetime": ("date", "datetime", "time", "timedelta"),
    "pathlib": ("Path",),
    "typing": ("Annotated", "Any", "Literal"),
    "pydantic": ("Field", "SecretStr"),
    "tttcfg": ("Family", "Role", "Section", "Text", "Whole", "guessed", "setting"),
}
"""What models may import, by module."""
_TAKEN = {name for names in IMPORTED.values() for name in names}
_NUMBERS, _TEXTS = {"Whole", "float"}, {"Text", "SecretStr"}
_IMPLIED = {"Path", "date", "datetime", "time", "timedelta", "bool"}


class SettingDraft(NamedTuple):
    """A field that is to be written.

    Attributes:
        annotation: The source of its type.
        default: The source of its default; empty where a value has to be given.
        role: A guess; None for a section, which has none.
        edit: What its author has to do; empty where it is complete.
        left_out: Whether it is only written as a comment, until that is done.
    """

    name: str
    annotation: str
    default: str
    role: Role | None = None
    unit: str = ""
    description: str = ""
    constraints: Mapping[str, Any] = {}
    edit: str = ""
    left_out: bool = False


class SectionDraft(NamedTuple):
    """A section that is to be written."""

    name: str
    docstring: str
    settings: tuple[SettingDraft, ...]


class ModelsDraft(NamedTuple):
    """The sections of a configuration, each after those that it uses, the root last; and notes on the class."""

    sections: tuple[SectionDraft, ...]
    notes: tuple[str, ...]

    @property
    def settings(self) -> list[SettingDraft]:
        """All settings, without the sections among the fields."""
        return [one for section in self.sections for one in section.settings if one.role is not None]


def drafted(model: type) -> ModelsDraft:
    """Return what is to be written for a dataclass or a pydantic model.

    Raises:
        InputError: It has no fields, or is inside of itself; all problems at once.
    """
    drafting = _Drafting()
    drafting.section(model, None, "", None)
    if not drafting.problems and not drafting.sections[-1].settings:
        drafting.problems.append(Problem("declaration", "has no fields", place=class_name(model)))
    if drafting.problems:
        raise InputError(drafting.problems)
    if drafting.undescribed:
        drafting.notes.append(
            f"nothing describes {drafting.undescribed} settings in their class; their descriptions are their names"
        )
    return ModelsDraft(tuple(drafting.sections), tuple(dict.fromkeys(drafting.notes)))


class _Drafting:
    """Drafts sections, each class once for the same defaults and roles."""

    def __init__(self) -> None:
        self.sections: list[SectionDraft] = []
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.names: dict[tuple[type, str, Role | None, tuple[str, str] | None], str] = {}
        self.inside: list[type] = []
        self.undescribed = 0

    def section(
        self, model: type, instance: Any, path: str, holder: Role | None, variant: tuple[str, str] | None = None
    ) -> str:
        """Return the name of the section that is made of a class, and draft it where that is not done yet.

        Args:
            instance: The object with its defaults, or None for those of the class.
            path: Its dotted name, for guesses.
            holder: The role of the field that holds it, in a list or where it may be null: that of all inside.
            variant: The discriminator and the name of the variant that it is, where it is one.
        """
        if model in self.inside:
            message = (
                f"{path} is a {model.__name__} inside a {model.__name__}, and a document has no room for any depth"
            )
            self.problems.append(Problem("declaration", message, place=class_name(model), advice="give it a depth"))
            return model.__name__
        read = read_class(model, instance)
        key = (model, repr([one.default for one in read.fields]), holder, variant)
        if key not in self.names:
            self.inside.append(model)
            self.names[key] = name = self._free_name(model, path)
            self.notes += read.notes
            fields = [one for one in read.fields if variant is None or one.name != variant[0]]
            settings = [self.setting(one, f"{path}.{one.name}".lstrip("."), holder) for one in fields]
            if variant is not None:
                stated = text_literal(variant[1])
                settings.insert(0, SettingDraft(variant[0], f"Literal[{stated}]", stated))
            self.sections.append(SectionDraft(name, _docstring(model), tuple(settings)))
            self.inside.pop()
        return self.names[key]

    def _free_name(self, model: type, path: str) -> str:
        """Return a name for a section: that of its class, with that of its field before it where it is in use."""
        taken = {*self.names.values(), *_TAKEN}
        name = re.sub(r"\W", "", model.__name__)
        if name in taken:
            before = "".join(word.capitalize() for word in path.rpartition(".")[2].split("_"))
            name = f"{before}{name}" if before else f"{name}Section"
        number = next(number for number in range(1, len(taken) + 2) if f"{name}{_digits(number)}" not in taken)
        return f"{name}{_digits(number)}"

    def setting(self, one: ReadField, path: str, holder: Role | None) -> SettingDraft:
        kind = bare(one.annotation)
        if (choice := choice_of(one)) is not None and not _refused_name(one.name, root="." not in path):
            return self._variants(one, choice, path, holder)
        if is_readable(kind):
            return self._section_setting(one, kind, path, holder)
        role = role_of(path, kinds=_kinds(kind))
        secret_inside = role is Role.SECRET and holder is not None
        draft = self._typed(one, path, role if holder is None or secret_inside else holder)
        if secret_inside:
            edit = "a secret inside of what another field holds would be saved with it; make it a field of its own"
            draft = draft._replace(edit=edit, left_out=True)
        if refused := _refused_name(one.name, root="." not in path):
            draft = draft._replace(edit=refused, left_out=True)
        return draft

    def _section_setting(self, one: ReadField, kind: type, path: str, holder: Role | None) -> SettingDraft:
        """Return a field that is a section; an object of a class below the declared one is a section of that class."""
        instance = one.default if isinstance(one.default, kind) else None
        name = self.section(kind if instance is None else type(instance), instance, path, holder)
        made = next((section for section in self.sections if section.name == name), None)
        complete = made is not None and all(setting.default for setting in made.settings if not setting.left_out)
        draft = SettingDraft(one.name, name, f"{name}()" if complete else "")
        refused = _refused_name(one.name, root="." not in path)
        return draft._replace(edit=refused, left_out=True) if refused else draft

    def _variants(self, one: ReadField, choice: Variants, path: str, holder: Role | None) -> SettingDraft:
        """Return a field that holds one of several classes; an object as its default has that one's defaults."""
        role, default = holder or role_of(path, kinds=()), ""
        self.undescribed += not one.description
        names = []
        for name, model in choice.models.items():
            instance = one.default if type(one.default) is model else None
            names.append(self.section(model, instance, path, role, (choice.key, name)))
            default = default if instance is None else f"{names[-1]}()"
        if not one.discriminator and choice.key == REGISTRY_KEY:
            given = f"give tttcfg what states it by {choice.key!r}, as draccus.encode(args) does"
            self.notes.append(f"{path} is one of a registry, and an object alone does not state which: {given}")
        annotation = " | ".join(dict.fromkeys(names)) + (NULL if is_nullable(one) else "")
        default = "None" if one.default is None else default
        description = one.description or description_of(one.name)
        rules = {"discriminator": choice.key}
        return SettingDraft(one.name, annotation, default, role, "", description, rules)

    def _typed(self, one: ReadField, path: str, role: Role) -> SettingDraft:
        """Return a setting with its type and default; where no document can contain them, as a text to be edited."""

        def section(model: type) -> str:
            return self.section(model, None, path, role)

        description = one.description or description_of(one.name)
        self.undescribed += not one.description
        edit, annotation, constraints = "", "", dict(one.constraints)
        if role is Role.SECRET:
            if isinstance(one.default, str) and one.default:
                self.notes.append(f"the default of {path} is not copied: it may be a secret")
            return SettingDraft(one.name, f"SecretStr{NULL}", "None", role, "", description)
        try:
            annotation = annotation_source(one.annotation, section)
            annotation, default, edit = _with_default(one, annotation, section)
        except OddTypeError as error:
            edit, default = f"{one.name}: {error}", "None"
            if not annotation:
                constraints, annotation = {}, f"Text{NULL}"
                default = expression(_name_of(one.default), section)
            elif "None" not in _alternatives(annotation):
                annotation += NULL
        unit = _unit(one.name, annotation)
        return SettingDraft(one.name, annotation, default, role, unit, description, constraints, edit)


def _name_of(value: Any) -> str | None:
    """Return the name of a value that no document can contain, such as a function; None where it has none."""
    name = getattr(value, "__name__", None) or str(value).rpartition(".")[2]
    return name if value is not None and value is not UNSET and isinstance(name, str) and name.isidentifier() else None


def _digits(number: int) -> str:
    return str(number) if number > 1 else ""


def _docstring(model: type) -> str:
    """Return what a class states about itself; nothing where its docstring is what `dataclass` makes."""
    text = vars(model).get("__doc__") or ""
    if text.startswith(f"{model.__name__}("):
        return ""
    head = re.split(r"^\s*(?:Attributes|Args|Parameters|:param)\b", text, maxsplit=1, flags=re.MULTILINE)[0]
    return sentence(head) if head.strip() else ""


def _with_default(one: ReadField, annotation: str, section: SectionName) -> tuple[str, str, str]:
    """Return the source of a type and a default that go together, and what is to be edited where they did not."""
    if one.default is UNSET:
        return annotation, "", ""
    value = adapted(one.default, one.annotation)
    default = expression(value, section)
    if value is None:
        nullable = "None" in _alternatives(annotation) or annotation == "Any"
        return annotation if nullable else annotation + NULL, default, ""
    try:
        TypeAdapter(one.annotation).validate_python(value, strict=True)
    except ValidationError:
        own = annotation_source(type(value), section)
        edit = f"{one.name}: its default {default} is not of its type {annotation}; correct one of them"
        return " | ".join(dict.fromkeys([*_alternatives(annotation), own])), default, edit
    except Exception:  # of a type that pydantic makes no validator of, which the program accepts
        return annotation, default, ""
    return annotation, default, ""


def _alternatives(annotation: str) -> list[str]:
    """Return the sources of the alternatives of a type."""
    nodes = [ast.parse(annotation, mode="eval").body]
    while isinstance(first := nodes[0], ast.BinOp):
        nodes[:1] = [first.left, first.right]
    return [ast.get_source_segment(annotation, one) or "" for one in nodes]


def _unit(name: str, annotation: str) -> str:
    """Return the unit that a field has to declare; empty where its type implies one."""
    kinds = [one for one in _alternatives(annotation) if one != "None"]
    if is_path(name) and kinds == ["Text"]:
        return "path"
    if {*kinds} <= _TEXTS or (len(kinds) == 1 and kinds[0] in _IMPLIED) or all(_is_literal(one) for one in kinds):
        return ""
    plain = {re.sub(r"^Annotated\[(\w+), Field\(.*\)\]$", r"\1", one) for one in kinds}
    if plain <= {*_NUMBERS, *_TEXTS, *_IMPLIED, "Any"}:
        return "path" if is_path(name) and not plain & _NUMBERS else unit_of_number(name, whole="float" not in plain)
    return name.replace("_", " ")


def _is_literal(source: str) -> bool:
    return source.startswith("Literal[")


def _kinds(annotation: Any) -> set[Any]:
    """Return the types that values may have, apart from none."""
    kinds = [bare(one) for one in get_args(annotation)] if is_union(annotation) else [annotation]
    return {one for one in kinds if one is not type(None) and isinstance(one, type)}


def _refused_name(name: str, *, root: bool) -> str:
    """Return why no setting can have a name; empty where it can."""
    if root and name in RESERVED:
        return f"{name} is a key that every saved document has of its own; rename it"
    if name.startswith("_") or hasattr(Section, name):
        return f"{name} is a name that models have for themselves; rename it"
    return ""
