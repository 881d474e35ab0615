"""The documentation describes what the program does: pages are current, commands run, links and limits hold."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

import pytest

from docs.reference import exported, public_names
from tests import launcher
from tests.builders import HEAD
from tests.hostile.test_corpus import MEMORY
from tttcfg.documents.document import DOCUMENT_CAP
from tttcfg.files.storage import CONFIGURATION_CAP
from tttcfg.formats.endings import YAML_CAP
from tttcfg.safetensors.header import HEADER_CAP

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = ROOT / "src" / "tttcfg"
PROGRAMS = [*PAGES, *(path for path in sorted((ROOT / "examples").rglob("*.py")) if "runs" not in path.parts)]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> Any:
    return load(ROOT / "docs" / "generate.py")


def commands() -> list[Any]:
    """Return every line that runs tttcfg in a block of shell lines."""
    return [
        pytest.param(line, id=f"{page.name}: {line}")
        for page in PAGES
        for kind, body in BLOCK.findall(page.read_text("utf-8"))
        for line in body.splitlines()
        if kind == "sh" and line.startswith("tttcfg ")
    ]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


IMPORT = re.compile(r"^[ +]*(?:from (tttcfg[\w.]*) import ([^#\n(]+|\([^)]+\))|import (tttcfg[\w.]*))", re.MULTILINE)


def imports(text: str) -> Iterator[tuple[str, str]]:
    """Yield every name of tttcfg that is imported, with its module; a module alone has an empty name."""
    for module, names, alone in IMPORT.findall(text):
        if alone:
            yield alone, ""
        yield from ((module, one.split()[0]) for one in names.strip("()\n ").split(",") if one.strip())


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_and_pages_import_public_names_only(path: Path) -> None:
    public = public_names()
    public["tttcfg"] |= {"nn", "testing", "__version__"}
    for module, name in imports(path.read_text("utf-8")):
        assert name in public.get(module, ()) or (not name and module in ("tttcfg", "tttcfg.testing"))


DOCUMENTED = [
    pytest.param(module, name, id=f"{module}.{name}")
    for module, names in sorted(public_names().items())
    for name in sorted(names)
    if not module.startswith("tttcfg.nn") or importlib.util.find_spec("torch")
]


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_every_public_method_is_documented_with_all_of_its_arguments(module: str, name: str) -> None:
    """A method that a class has from a base may be documented there."""
    one = getattr(importlib.import_module(module), name)
    own = (
        [key for key in vars(one) if not key.startswith("_")]
        if inspect.isclass(one) and get_origin(one) is None
        else []
    )
    functions = {key: found for key in own if _is_code(found := inspect.getattr_static(one, key))}
    assert [key for key in functions if not inspect.getdoc(getattr(one, key))] == []
    for function in (one, *functions.values()):
        text = inspect.getdoc(function) or ""
        if inspect.isfunction(function) and "Args:\n" in text:
            given = [key for key in inspect.signature(function).parameters if key not in ("self", "cls")]
            assert [key for key in given if not re.search(rf"^    {key}: ", text, re.MULTILINE)] == []


def _is_code(member: object) -> bool:
    return inspect.isroutine(member) or isinstance(member, (property, cached_property))


def test_every_exported_name_is_documented() -> None:
    public = public_names()
    elsewhere = {"RankError"}  # in tttcfg.nn as well as in tttcfg
    assert exported("tttcfg.api") | exported("tttcfg.errors") == public["tttcfg"]
    assert exported("tttcfg.nn") - elsewhere == public["tttcfg.nn"]
    assert exported("tttcfg.testing") == public["tttcfg.testing"]


def test_generated_pages_and_shown_output_are_current() -> None:
    """In a process of its own: of equal `Literal` types, `typing` shows the one that was written first everywhere."""
    checked = launcher.python("-m", "docs.generate", "--check", cwd=ROOT)
    assert (checked.code, checked.out) == (0, "")


@pytest.mark.parametrize("line", commands())
def test_commands_in_pages_run(line: str, generate: Any) -> None:
    expected = int(match.group(1)) if (match := re.search(r"# exit (\d)", line)) else 0
    status, output = generate.run_afresh(line)
    assert status == expected, output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """A path in code that starts at a folder of the project is really there, unless it is a name to be made."""
    to_come = re.compile(rf"v{HEAD + 1:04d}|NAME")
    for name in re.findall(r"`((?:src|docs|examples|migrations|schemas|tests)/[\w./]*)`", page.read_text("utf-8")):
        assert to_come.search(name) or (ROOT / name).exists(), name


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "performance.md"], ids=lambda page: page.name)
def test_caps_in_pages_are_the_constants(page: Path, generate: Any) -> None:
    """Every size on a page is a cap of the code; sizes of real files are given with "about"."""
    text = re.sub(r"about \d+ KiB", "", page.read_text("utf-8"))
    caps = {generate.size(cap) for cap in (YAML_CAP, CONFIGURATION_CAP, DOCUMENT_CAP, HEADER_CAP, MEMORY)}
    assert set(re.findall(r"\d+ [KM]iB", text)) <= caps


def test_caps_are_in_the_pages(generate: Any) -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    assert f"| a YAML file | {generate.size(YAML_CAP)} |" in page
    assert f"| a JSON or TOML file | {generate.size(CONFIGURATION_CAP)} |" in page
    assert f"| a saved document | {generate.size(DOCUMENT_CAP)} |" in page
    assert f"| the header of a weights file | {generate.size(HEADER_CAP)} |" in page


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "performance.md"], ids=lambda page: page.name)
def test_pages_have_no_trailing_space_and_end_in_one_newline(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
