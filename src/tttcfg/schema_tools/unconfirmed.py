"""What `tttcfg family new` leaves to the author of a model: guessed roles, missing units and lines to be edited."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tttcfg.errors import Problem
from tttcfg.schema.fields import GUESSED, UNIT_TO_EDIT, Role, is_section, unit_of, variants_of
from tttcfg.schema.inside import section_held
from tttcfg.schema_tools.layout import History, class_name, leftovers


class DeclaredField(NamedTuple):
    """One declaration of a field: the section that has it, the section's path, and its name there."""

    model: type[BaseModel]
    section: str
    name: str
    info: FieldInfo

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def guess(self) -> Role | None:
        """The role, where it is a guess."""
        declared = self.info.json_schema_extra
        guess = isinstance(declared, dict) and declared.get(GUESSED)
        return Role(str(declared["x-role"])) if guess and isinstance(declared, dict) else None

    @property
    def lacks_unit(self) -> bool:
        return unit_of(self.info) == UNIT_TO_EDIT


def declared_fields(model: type[BaseModel], section: str = "", besides: str = "") -> Iterator[DeclaredField]:
    """Yield every field of a model, those inside of others included; a section that is used twice comes twice.

    Args:
        besides: The name of a field that is none: the discriminator of a variant.
    """
    for name, info in model.model_fields.items():
        if name == besides:
            continue
        path = f"{section}.{name}" if section else name
        if is_section(info.annotation):
            yield from declared_fields(info.annotation, path)
            continue
        yield DeclaredField(model, section, name, info)
        if (held := section_held(info.annotation)) is not None:
            for one in held.models:
                yield from declared_fields(one, held.prefix(path)[:-1], held.key)
        if (variants := variants_of(info, plugged=False)) is not None:
            for one in dict.fromkeys(variants.models.values()):
                yield from declared_fields(one, path, variants.key)


def unconfirmed(history: History) -> Iterator[Problem]:
    """Yield what keeps a model from being released: guesses by section, missing units, lines to be edited.

    The sections of the model must not be inside of themselves.
    """
    declared = list({(one.model, one.name): one for one in reversed([*declared_fields(history.family.model)])}.values())
    yield from _guesses(history, declared[::-1])
    yield from _units(history, declared[::-1])
    for path in source_files(history.family.model):
        text = path.read_text("utf-8", errors="replace")
        yield from leftovers(path, "declaration", text, history.command("new --amend"))


def source_files(model: type[BaseModel]) -> list[Path]:
    """Return the files that declare the sections of a model."""
    models = {model, *(one.model for one in declared_fields(model))}
    return sorted({path for one in models if (path := source_file(one)) is not None})


def source_file(model: type) -> Path | None:
    """Return the file that declares a class; None where there is none, as in a notebook."""
    try:
        path = Path(inspect.getsourcefile(model) or "")
    except TypeError:  # a class of no module with a file
        return None
    return path if path.is_file() else None


def _guesses(history: History, declared: list[DeclaredField]) -> Iterator[Problem]:
    """Yield the guesses of each section, by role."""
    groups: dict[str, dict[Role, list[DeclaredField]]] = {}
    for one in declared:
        if one.guess is not None:
            groups.setdefault(one.section, {}).setdefault(one.guess, []).append(one)
    for section, roles in groups.items():
        fields = [one for group in roles.values() for one in group]
        guesses = "; ".join(f"{role.value}: {', '.join(one.name for one in group)}" for role, group in roles.items())
        message = f"{_prefix(section)}{_counted(fields, 'role')} guessed: {guesses}"
        patterns = [f"{section}.*"] if section else [one.path for one in fields]
        example = shlex.quote(f"{fields[0].path}=ROLE")
        advice = f"if that is right: {_confirm(history, shlex.join(patterns))}; for another role, add {example}"
        yield Problem("declaration", message, place=class_name(fields[0].model), advice=advice)


def _units(history: History, declared: list[DeclaredField]) -> Iterator[Problem]:
    groups: dict[str, list[DeclaredField]] = {}
    for one in declared:
        if one.lacks_unit:
            groups.setdefault(one.section, []).append(one)
    for section, fields in groups.items():
        message = f"{_counted(fields, 'unit')} to be stated: {', '.join(one.name for one in fields)}"
        options = " ".join(f"--unit {shlex.quote(f'{one.path}=UNIT')}" for one in fields)
        advice = f"what is counted: {_confirm(history, options)}"
        yield Problem("declaration", f"{_prefix(section)}{message}", place=class_name(fields[0].model), advice=advice)


def _counted(fields: list[DeclaredField], noun: str) -> str:
    return f"{len(fields)} {noun}s are" if len(fields) > 1 else f"1 {noun} is"


def _prefix(section: str) -> str:
    return f"{section}: " if section else ""


def _confirm(history: History, words: str) -> str:
    return f"tttcfg family confirm {words}{history.named}"
