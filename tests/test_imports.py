"""What is imported, and from where: a program does not pay for what it does not use."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests import launcher
from tests.builders import ROOT, SOURCE, trained, write_json

HEAVY = ("pydantic", "typer", "ruamel", "rich", "torch", "jsonschema", "safetensors")
MODULES = sorted(SOURCE.rglob("*.py"))
Rule = Callable[[Path, ast.Module], Iterator[str]]
"""Yields what is wrong with a module."""


def imported(statements: str, folder: Path) -> set[str]:
    """Return the top-level packages that are loaded after running `statements`."""
    code = f"import sys\ntry:\n    {statements}\nexcept SystemExit as left:\n    assert not left.code, left\n"
    code += "print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))"
    return set(launcher.python("-c", code, cwd=folder).out.splitlines()[-1].split()[1:])


def command(*arguments: str) -> str:
    return f"sys.argv = {['tttcfg', *arguments]!r}; from tttcfg.cli import main; main()"


def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def test_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    assert imported("import tttcfg; tttcfg.__version__", tmp_path).isdisjoint(HEAVY)


def test_the_errors_import_nothing_heavy(tmp_path: Path) -> None:
    """Who catches an error does not pay for what raises it."""
    assert imported("from tttcfg import InputError", tmp_path).isdisjoint(HEAVY)


def test_version_imports_nothing_heavy(tmp_path: Path) -> None:
    assert imported(command("--version"), tmp_path).isdisjoint(HEAVY)


def test_resolving_json_imports_no_yaml(tmp_path: Path) -> None:
    config = str(write_json(tmp_path / "any.json", {"seed": 1}))
    folder = str(trained(tmp_path))
    loaded = imported(
        command("resolve", "--checkpoint", folder, "--config", config, "seed=2", "--output", "json"), tmp_path
    )
    assert loaded.isdisjoint(set(HEAVY) - {"pydantic", "typer"})


@pytest.mark.parametrize(
    "arguments",
    [("resolve", "--config", "any.yaml"), ("migrate", "run"), ("diff", "run", "run"), ("fields",), ("history",)],
    ids=lambda arguments: arguments[0],
)
def test_no_command_imports_what_it_does_not_need(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Even the YAML commands load neither rich, nor torch, nor jsonschema, nor safetensors."""
    trained(tmp_path / "run")
    (tmp_path / "any.yaml").write_text("ttt: {base_lr: 0.5}\n")
    assert imported(command(*arguments), tmp_path).isdisjoint({"rich", "torch", "jsonschema", "safetensors"})


def only_nn_imports_torch(module: Path, tree: ast.Module) -> Iterator[str]:
    if "nn" not in module.relative_to(SOURCE).parts:
        yield from {name.partition(".")[0] for name in _imports(tree)} & {"torch", "triton"}


def only_the_command_line_prints_and_exits(module: Path, tree: ast.Module) -> Iterator[str]:
    """Below cli/ nothing prints, exits, or touches the standard streams, unless run as a program of its own."""
    if "cli" in module.relative_to(SOURCE).parts:
        return
    nodes = [node for top in tree.body if not _is_program(top) for node in ast.walk(top)]
    used = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    used |= {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    never = {"print", "exit", "quit", "input", "sys.exit", "os._exit"}
    yield from used & (never | {"sys.stdout", "sys.stderr", "sys.stdin", "sys.argv"})


def functions_stay_small(_module: Path, tree: ast.Module) -> Iterator[str]:
    """A function has at most 50 lines, docstring and signature apart; a module is as long as its idea."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            if (body[-1].end_lineno or 0) - body[0].lineno >= 50:
                yield f"{node.name} is longer than 50 lines"


def imports_are_statements(_module: Path, tree: ast.Module) -> Iterator[str]:
    """A string hides from type checkers and from the tests below; it is for what users name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            literal = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
            yield from (one for one in literal if str(one).startswith("tttcfg"))


def folders_import_only_from_those_above(module: Path, tree: ast.Module) -> Iterator[str]:
    here = FOLDERS.index(folder_of(module))
    for name in _imports(tree):
        target = _home(name, NAMES)
        if target and FOLDERS.index(folder_of(NAMES[target])) > here:
            yield f"imports {target}, which is below it"


RULES: tuple[Rule, ...] = (
    only_nn_imports_torch,
    only_the_command_line_prints_and_exits,
    functions_stay_small,
    imports_are_statements,
    folders_import_only_from_those_above,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    broken = {path.relative_to(SOURCE).as_posix(): sorted(rule(path, tree(path))) for path in MODULES}
    assert {name: found for name, found in broken.items() if found} == {}


def test_every_folder_is_on_the_architecture_page_and_describes_itself() -> None:
    folders = {folder_of(path) for path in MODULES}
    assert folders == set(FOLDERS)
    for path in MODULES:
        if path.name == "__init__.py" and path.parent != SOURCE:
            assert ast.get_docstring(tree(path)), path


def test_a_folder_that_declares_that_no_other_imports_it_is_right() -> None:
    """`nn` is the training side of a family, which the family names: the one import from outside."""
    for path in MODULES:
        declared = path.name == "__init__.py" and "No other folder imports it" in (ast.get_docstring(tree(path)) or "")
        if declared:
            own = f"{_name(path)}."
            users = [one for one in MODULES if not f"{_name(one)}.".startswith(own) and one.parent != SOURCE]
            found = {_name(one) for one in users if any(f"{name}.".startswith(own) for name in _imports(tree(one)))}
            assert not found, path


def test_tests_start_processes_by_the_launcher_or_as_its_docstring_lists() -> None:
    starts = re.compile(r"^(import subprocess|from multiprocessing|.* os\.fork\()", re.MULTILINE)
    modules = {path for path in (ROOT / "tests").rglob("*.py") if starts.search(path.read_text("utf-8"))}
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules}
    assert found == {"tests.launcher", *re.findall(r"^- `([\w.]+)`", launcher.__doc__ or "", re.MULTILINE)}


def test_modules_depend_on_each_other_in_one_direction() -> None:
    """The imports between our modules make no cycle, those inside functions included."""
    graph = {
        name: {target for one in _imports(tree(path)) if (target := _home(one, NAMES)) not in ("", name, "tttcfg")}
        for name, path in NAMES.items()
        if name != "tttcfg"  # the public names, imported lazily
    }
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) == len(graph)


def _is_program(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _name(module: Path) -> str:
    parts = ("tttcfg", *module.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _home(name: str, modules: dict[str, Path]) -> str:
    """Return the module of ours that `name` is or is a member of, or an empty text."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _imports(module: ast.Module) -> Iterator[str]:
    """Yield every imported module, and every member with its module."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _folders() -> list[str]:
    """Return what the architecture page lists of the package, in its order: folders, and modules of the root."""
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    listed = re.search(r"^src/tttcfg/\n((?:  .*\n)*)", page, re.MULTILINE)
    assert listed
    return [line.split()[0] for line in listed.group(1).splitlines()]


FOLDERS, NAMES = _folders(), {_name(path): path for path in MODULES}


def folder_of(module: Path) -> str:
    """Return the entry of the page that a module is in: the deepest folder, or its own name in the root."""
    name = module.relative_to(SOURCE).as_posix()
    return max((one for one in FOLDERS if name == one or (one.endswith("/") and name.startswith(one))), key=len)
