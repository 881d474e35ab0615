"""Everything that a new family consists of, from one class: models, declaration, first version, test, entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import ModuleType
from typing import NamedTuple

from tttcfg.errors import InputError, Problem, Problems, quote
from tttcfg.family.family import NAME, Family, family_names
from tttcfg.plugins import load_reference
from tttcfg.resolving.families import BUILT_IN
from tttcfg.scaffold.classes import is_readable
from tttcfg.scaffold.drafts import ModelsDraft, drafted
from tttcfg.scaffold.project import PYPROJECT, edited_pyproject, source_root
from tttcfg.scaffold.sources import Names, family_source, laws_source, models_source
from tttcfg.schema.fields import UNIT_TO_EDIT, Section
from tttcfg.schema_tools.answers import Answers
from tttcfg.schema_tools.declarations import indescribable, refused_defaults, undeclared
from tttcfg.schema_tools.goldens import usual_folder
from tttcfg.schema_tools.layout import History, shown
from tttcfg.schema_tools.new import files_of, new_draft

_ENCODING = "utf-8"


class NewFamily(NamedTuple):
    """The files of a new family, and what its author has to know.

    Attributes:
        importable: Whether `--family module:NAME` finds it before it is installed.
        lines: What its author has to add to pyproject.toml.
    """

    names: Names
    files: Mapping[Path, bytes]
    draft: ModelsDraft
    models: Path
    laws: Path
    importable: bool
    lines: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def edits(self) -> int:
        """The number of settings with a line that is to be edited."""
        return sum(bool(one.edit) for section in self.draft.sections for one in section.settings)

    @property
    def units(self) -> list[str]:
        """The settings whose unit is to be stated."""
        return [one.name for one in self.draft.settings if one.unit == UNIT_TO_EDIT and not one.left_out]


def new_family(name: str, reference: str, *, package: str, changelog: Path, date: str) -> NewFamily:
    """Return the files of a family that is made of the dataclass or pydantic model `reference`; nothing is written.

    Raises:
        InputError: The name or the package is in use, or the class cannot be a configuration; all problems at once.
    """
    problems = Problems()
    root, package = source_root(), package or f"{name}_config"
    problems += [*_of_name(name), *_of_package(package, root)]
    model = problems.attempt(_loaded, reference)
    draft = problems.attempt(drafted, model) if model is not None else None
    if problems or draft is None:
        raise InputError(problems)
    names = Names(name, package, draft.sections[-1].name)
    folder = root.joinpath(*package.split("."))
    sources = {
        folder / "__init__.py": f'"""The configuration of {name}, as a family of tttcfg."""\n',
        folder / "models.py": models_source(draft, reference),
        folder / "family.py": family_source(names),
    }
    with _imported(names, folder, sources) as family:
        refused = [*undeclared(family.model), *indescribable(family)] or [*refused_defaults(family.model)]
        if refused:
            raise InputError(refused)
        golden = usual_folder(family)
        history = History(family, golden)
        version = files_of(history, new_draft(history, "first version", Answers(), date=date), changelog)
    laws = Path("tests", f"test_{name}_schema.py")
    sources[laws] = laws_source(names, PurePath(*golden.parts[1:]))
    files = {path: text.encode(_ENCODING) for path, text in sources.items()} | dict(version.files)
    if taken := [path for path in files if path.exists() and path != changelog]:
        message, advice = "is there already, and is not overwritten", "move it away, or give another name"
        raise InputError(Problem("unwritable", message, place=shown(path), advice=advice) for path in taken)
    edited = edited_pyproject(PYPROJECT.read_text(_ENCODING) if PYPROJECT.is_file() else "", names, root)
    if edited.text is not None:
        files[PYPROJECT] = edited.text.encode(_ENCODING)
    importable = root == Path() or any(Path(one or ".").resolve() == root.resolve() for one in sys.path)
    models = folder / "models.py"
    notes = (*draft.notes, *version.notes, *edited.notes)
    return NewFamily(names, files, draft, models, laws, importable, edited.lines, notes)


def _of_name(name: str) -> Iterator[Problem]:
    if not NAME.fullmatch(name):
        message = f"{quote(name)} is not a name of a family: use lower-case letters, digits and _, a letter first"
        yield Problem("plugin", message, "NAME")
    elif name in (BUILT_IN, *family_names()):
        yield Problem("plugin", f"there is a family {name} already", "NAME", advice="choose another name")


def _of_package(package: str, root: Path) -> Iterator[Problem]:
    *above, _ = parts = package.split(".")
    if not all(one.isidentifier() for one in parts):
        yield Problem("plugin", f"{quote(package)} is not a name of a package", "--package")
        return
    folder, parent = root.joinpath(*parts), root.joinpath(*above)
    if folder.exists() or folder.with_suffix(".py").exists():
        message = "is there already, and nothing is written into it"
        yield Problem("unwritable", message, place=shown(folder), advice="--package NAME names another package")
    elif above and not (parent / "__init__.py").is_file():
        yield Problem("not_found", "is no package", place=shown(parent), advice="make it, or name another: --package")
    elif not above and find_spec(package) is not None:
        message = "is a module that is installed, and would be hidden"
        yield Problem("plugin", message, package, advice="--package NAME names another package")


def _loaded(reference: str) -> type:
    model: type = load_reference(reference, type, "--from")
    if issubclass(model, Section):
        message, advice = f"{reference} is a Section already", 'its first version: tttcfg schema new "first version"'
        raise InputError(Problem("plugin", message, "--from", advice=advice))
    if not is_readable(model):
        message = f"{reference} is a class, but neither a dataclass nor a pydantic model"
        raise InputError(Problem("plugin", message, "--from", advice="name the class of the whole configuration"))
    return model


@contextmanager
def _imported(names: Names, folder: Path, sources: Mapping[Path, str]) -> Iterator[Family]:
    """Import the modules of a family that is not written yet, and return the family."""
    package = ModuleType(names.package)
    package.__path__ = [str(folder)]
    sys.modules[names.package] = package
    try:
        for name in ("models", "family"):
            module = ModuleType(f"{names.package}.{name}")
            module.__file__ = str(folder / f"{name}.py")
            sys.modules[module.__name__] = module
            exec(compile(sources[folder / f"{name}.py"], module.__file__, "exec"), vars(module))
        family: Family = vars(sys.modules[f"{names.package}.family"])["FAMILY"]
        yield family
    except (InputError, OSError):
        raise
    except Exception as error:
        message = f"the models that were made of it cannot be imported: {type(error).__name__}: {error}"
        advice = "leave out what it is about, and write it by hand"
        raise InputError(Problem("declaration", message, names.model, advice=advice)) from None
    finally:
        for one in [one for one in sys.modules if f"{one}.".startswith(f"{names.package}.")]:
            del sys.modules[one]
