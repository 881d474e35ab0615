"""Golden documents: one of each version as it was written, and what each upgrades to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tttcfg.documents.downgrade import migrate_tree
from tttcfg.documents.save import canonical_bytes
from tttcfg.errors import ForeignDocumentError, InputError, Problem, TttcfgError
from tttcfg.family.family import Family
from tttcfg.family.json_schema import RESERVED
from tttcfg.family.versions import find_version, refuse_other_family
from tttcfg.formats.text import Tree as SourceTree
from tttcfg.schema.fragments import Shape, is_section
from tttcfg.schema.paths import Tree
from tttcfg.schema_tools.layout import UPGRADED, Sources, shown, upgraded_of
from tttcfg.schema_tools.leftovers import leftovers

INSTALL = 'pip install "tttcfg[testing]"'


def upgraded_bytes(document: Mapping[str, Any], family: Family) -> bytes:
    """Return what a golden document upgrades to, as the file beside it holds it."""
    return canonical_bytes(migrate_tree(document, family))


def usual_folder(family: Family) -> Path:
    """Return where golden documents are by themselves: tests/golden, or a folder of the family's own in it."""
    usual = Path("tests", "golden")
    own = usual / family.name
    return own if own.is_dir() or _of_another(usual, family) else usual


def refuse_others(folder: Path, family: Family) -> None:
    """Raise an InputError where a folder holds golden documents of another family: nothing is written among them."""
    other = _of_another(folder, family)
    if other is not None:
        message = f"is a document of another family; --golden FOLDER names a folder for those of {family.name}"
        raise InputError(Problem("schema", message, place=shown(other)))


def _of_another(folder: Path, family: Family) -> Path | None:
    for path in sorted(folder.glob("*.json")):
        tree, _ = _read(path)
        try:
            refuse_other_family(tree or {}, family, SourceTree({}, {}, path.name))
        except ForeignDocumentError:
            return path
    return None


def unlike_goldens(sources: Sources, frozen: Mapping[int, Shape], *, upgrading: bool = True) -> Iterator[Problem]:
    """Yield what is missing or wrong of the golden documents; the model has to be whole.

    Args:
        upgrading: Whether to upgrade them too, for which the model has to be what the newest schema says.
    """
    if not sources.golden.is_dir():
        mend = sources.command("new --amend") + ", or name another with --golden"
        yield Problem("golden", "there is no such folder of golden documents", place=shown(sources.golden), advice=mend)
        return
    family, validator = sources.family, _validator()
    if validator is None:
        message = "golden documents cannot be held against their schemas without jsonschema"
        yield Problem("golden", message, place=shown(sources.golden), advice=f"install it: {INSTALL}")
    yield from _missing(sources)
    for path in sources.documents():
        tree, problems = _read(path)
        yield from problems
        if tree is None:
            continue
        version = int(path.stem[1:]) if path in _numbered(sources) else None
        if version is not None:
            yield from _ill_formed(sources, path, tree, version, frozen.get(version), validator)
        if upgrading:
            yield from _stale(sources, path, tree)
    if not upgrading:
        message = "golden documents cannot be upgraded before the code and the newest schema agree"
        yield Problem("golden", message, place=shown(sources.golden), advice="mend the drift above first")
    for path in sorted(sources.golden.glob(f"*{UPGRADED}")):
        if not path.with_name(path.name.replace(UPGRADED, ".json")).is_file():
            yield Problem(
                "golden",
                "upgrades no golden document",
                place=shown(path),
                advice="bring that back, or take this file out",
            )
        elif validator is not None and family.head in frozen:
            tree, _ = _read(path)
            yield from _invalid(path, tree or {}, frozen[family.head], validator, sources.command("new --amend"))


def _numbered(sources: Sources) -> dict[Path, int]:
    return {sources.document(version): version for version in range(sources.family.head + 1)}


def _missing(sources: Sources) -> Iterator[Problem]:
    for path, version in _numbered(sources).items():
        if not path.is_file():
            if version == sources.family.head:
                mend = sources.command("new --amend")
            else:
                mend = f"put a document there as version {version} wrote it, or bring it back from git"
            yield Problem(
                "golden", f"is missing: version {version} has no golden document", place=shown(path), advice=mend
            )


def _read(path: Path) -> tuple[Tree | None, list[Problem]]:
    text = path.read_text("utf-8", errors="replace")
    try:
        tree = json.loads(text)
        if isinstance(tree, dict):
            return tree, []
        said = "holds no document"
    except ValueError as error:
        said = f"is no JSON: {error}"
    return None, leftovers("golden", shown(path), text, "") or [
        Problem("golden", said, place=shown(path), advice="bring it back from git")
    ]


def _ill_formed(
    sources: Sources, path: Path, tree: Tree, version: int, schema: Shape | None, validator: Any
) -> Iterator[Problem]:
    """Yield what keeps a document from being one of its version, whole and valid."""
    try:
        found, _ = find_version(tree, sources.family, path.name, SourceTree(tree, {}, path.name))
    except TttcfgError as error:
        yield Problem(
            "golden",
            f"is no document of version {version}: {error}",
            place=shown(path),
            advice="bring it back from git",
        )
        return
    if found != version:
        message = f"is a document of version {found}, and named after version {version}"
        yield Problem("golden", message, place=shown(path), advice="rename it, or put one of that version there")
        return
    if schema is None:
        return
    gone = list(lacking(tree, schema))
    if gone:
        message = f"missing {', '.join(gone)}, which version {version} has"
        yield Problem("golden", message, place=shown(path), advice=f"add them; {sources.command('new --amend')}")
    if validator is not None:
        yield from _invalid(path, tree, schema, validator)


def lacking(document: Mapping[str, Any], schema: Shape, prefix: str = "") -> Iterator[str]:
    """Yield the fields of `schema` that `document` does not hold, by dotted path."""
    for name, shape in schema["properties"].items():
        if not prefix and name in RESERVED:
            continue
        if name not in document:
            yield prefix + name
        elif is_section(shape) and isinstance(document[name], dict):
            yield from lacking(document[name], shape, f"{prefix}{name}.")


def _invalid(
    path: Path, tree: Tree, schema: Shape, validator: Any, mend: str = "correct the document, or bring it back from git"
) -> Iterator[Problem]:
    for error in validator(schema).iter_errors(tree):
        where = ".".join(map(str, error.absolute_path))
        message = f"is not valid by {schema.get('$id')}: {f'{where}: ' if where else ''}{error.message[:200]}"
        yield Problem("golden", message, place=shown(path), advice=mend)


def _stale(sources: Sources, path: Path, tree: Tree) -> Iterator[Problem]:
    """Yield where a document does not upgrade to what is recorded, byte for byte."""
    recorded = upgraded_of(path)
    amend = sources.command("new --amend")
    try:
        upgraded = upgraded_bytes(tree, sources.family)
    except TttcfgError as error:
        message = f"does not upgrade to version {sources.family.head}: {error}"
        yield Problem("golden", message, place=shown(path), advice="mend the migration")
        return
    except Exception as error:  # an operation of somebody's that does not take the document
        message = f"does not upgrade to version {sources.family.head}: {type(error).__name__}: {error}"
        yield Problem("golden", message, place=shown(path), advice="mend the migration")
        return
    if not recorded.is_file():
        yield Problem("golden", f"is missing: what {path.name} upgrades to", place=shown(recorded), advice=amend)
    elif recorded.read_bytes() != upgraded:
        message = f"is not what {path.name} upgrades to"
        yield Problem("golden", message, place=shown(recorded), advice=f"if the new result is the right one: {amend}")


def _validator() -> Any:
    try:
        from jsonschema import Draft202012Validator  # which only those who develop a family have

        return Draft202012Validator
    except ModuleNotFoundError as error:
        if error.name != "jsonschema":
            raise
        return None
