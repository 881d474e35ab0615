"""The files of a new family as source: its models, its declaration and its test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePath
from typing import NamedTuple

from tttcfg.scaffold.annotations import expression
from tttcfg.scaffold.drafts import IMPORTED, ModelsDraft, SectionDraft, SettingDraft
from tttcfg.scaffold.statements import INDENT, comment, keyword_text, laid_out
from tttcfg.schema_tools.codegen import docstring, text_literal
from tttcfg.schema_tools.layout import EDIT

_STANDARD = ("datetime", "pathlib", "typing")
_LONG = 60
"""Characters of a type; a choice that is longer gets a name of its own."""


class Names(NamedTuple):
    """What a new family is called: its own name, its package, and its root model."""

    family: str
    package: str
    model: str

    @property
    def reference(self) -> str:
        return f"{self.package}.family:FAMILY"


def models_source(draft: ModelsDraft, reference: str) -> str:
    """Return the module with the models that are made of the class `reference`."""
    aliases: dict[str, str] = {}
    sections = "".join(f"\n\n{_section(one, aliases)}" for one in draft.sections)
    choices = "".join(f"\n{_alias(name, choice)}" for choice, name in aliases.items())
    body = (f"{choices}\n" if choices else "") + sections
    return docstring(f"The configuration, made of {reference}") + _imports(body) + body


def _imports(body: str) -> str:
    """Return the import statements for the names that a module uses."""
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    lines: dict[bool, str] = {True: "", False: ""}
    for module, names in IMPORTED.items():
        if found := [name for name in names if name in used]:
            lines[module in _STANDARD] += f"from {module} import {', '.join(found)}\n"
    return "".join(f"\n{block}" for block in lines.values() if block)


def _section(section: SectionDraft, aliases: dict[str, str]) -> str:
    first = [f"{' ' * INDENT}{docstring(section.docstring)}"] if section.docstring else []
    settings = "".join(f"{_setting(one, section.name, aliases)}\n" for one in section.settings)
    written = settings if any(not one.left_out for one in section.settings) else f"{settings}{' ' * INDENT}pass\n"
    return f"class {section.name}(Section):\n{chr(10).join([*first, written])}".rstrip() + "\n"


def _setting(one: SettingDraft, section: str, aliases: dict[str, str]) -> str:
    """Return the statement that declares a setting, with the line above it that says what is to be edited."""
    annotation = one.annotation
    if len(annotation) > _LONG and annotation.startswith("Literal[") and " | " not in annotation:
        annotation = aliases.setdefault(annotation, _alias_name(section, one.name, aliases))
    if one.role is None:
        statement = f"{' ' * INDENT}{one.name}: {annotation}" + (f" = {one.default}" if one.default else "")
    else:
        statement = laid_out(f"{one.name}: {annotation} = setting(", [*_arguments(one)], ")")
    if one.left_out:
        pad = " " * INDENT
        statement = "\n".join(f"{pad}# {line[INDENT:]}" for line in statement.splitlines())
    return f"{comment(f'{EDIT[2:]}: {one.edit}')}\n{statement}" if one.edit else statement


def _arguments(one: SettingDraft) -> Iterator[str]:
    if one.default:
        yield one.default
    if one.role is not None:
        yield f"role=guessed(Role.{one.role.name})"
    if one.unit:
        yield f"unit={text_literal(one.unit)}"
    for name, value in one.constraints.items():
        yield f"{name}={expression(value, str)}"
    yield keyword_text("description", one.description)


def _alias_name(section: str, setting: str, aliases: dict[str, str]) -> str:
    name = "".join(word.capitalize() for word in setting.split("_"))
    return f"{section}{name}" if f"{name}s" in aliases.values() else f"{name}s"


def _alias(name: str, choice: str) -> str:
    node = ast.parse(choice, mode="eval").body
    assert isinstance(node, ast.Subscript)  # what begins with Literal[
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return laid_out(f"{name} = Literal[", [ast.get_source_segment(choice, one) or "" for one in items], "]", 0)


def family_source(names: Names) -> str:
    """Return the module that declares the family."""
    values = {
        "name": text_literal(names.family),
        "model": names.model,
        "migrations": text_literal(f"{names.package}.migrations"),
        "schemas": text_literal(f"{names.package}.schemas"),
    }
    call = laid_out("FAMILY = Family(", [f"{name}={value}" for name, value in values.items()], ")", 0)
    imports = f"from tttcfg import Family\n\nfrom {names.package}.models import {names.model}\n"
    return f"{docstring(f'The family {names.family}')}\n{imports}\n{call}\n"


def laws_source(names: Names, golden: PurePath) -> str:
    """Return the test that runs the laws of tttcfg; `golden` is relative to the folder of the test."""
    folder = f'Path(__file__).with_name("{golden.parts[0]}")' + "".join(f' / "{one}"' for one in golden.parts[1:])
    call = laid_out("TestSchema = tttcfg.testing.laws(", [text_literal(names.reference), "golden=GOLDEN"], ")", 0)
    return (
        f"{docstring(f'The laws of tttcfg for the configuration of {names.family}')}\n"
        f"from pathlib import Path\n\nimport tttcfg.testing\n\nGOLDEN = {folder}\n\n{call}\n"
    )
