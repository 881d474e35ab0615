"""Golden documents: one of each version as it was written, and what each upgrades to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tttcfg.documents.downgrade import migrate_tree
from tttcfg.documents.save import canonical_bytes
from tttcfg.errors import ForeignDocumentError, InputError, Problem, TttcfgError
from tttcfg.family.family import Family
from tttcfg.family.versions import find_version, refuse_other_family
from tttcfg.formats.text import ParsedFile
from tttcfg.schema.fragments import Fragment, fields_of
from tttcfg.schema.paths import MISSING, Tree, get_path, split
from tttcfg.schema_tools.layout import RESTORE, UPGRADED, History, problem_in, read_json, shown, upgraded_of

INSTALL = 'pip install "tttcfg[testing]"'


def upgraded_bytes(document: Mapping[str, Any], family: Family) -> bytes:
    """Return what a golden document upgrades to, as the file beside it has it."""
    return canonical_bytes(migrate_tree(document, family))


def usual_folder(family: Family) -> Path:
    """Return the default folder of golden documents: tests/golden, or one with the family's name in it."""
    usual = Path("tests", "golden")
    own = usual / family.name
    return own if own.is_dir() or _of_another(usual, family) else usual


def refuse_others(folder: Path, family: Family) -> None:
    """Raise an InputError where a folder has golden documents of another family: nothing is written among them."""
    other = _of_another(folder, family)
    if other is not None:
        message = f"is a document of another family; --golden FOLDER names a folder for those of {family.name}"
        raise InputError(Problem("schema", message, place=shown(other)))


def _of_another(folder: Path, family: Family) -> Path | None:
    for path in sorted(folder.glob("*.json")):
        tree, _ = read_json(path, "golden")
        try:
            refuse_other_family(ParsedFile(tree or {}, {}, path.name), family)
        except ForeignDocumentError:
            return path
    return None


def unlike_goldens(
    history: History, frozen: Mapping[int, Fragment], passing: Collection[Path] = (), *, upgrading: bool = True
) -> Iterator[Problem]:
    """Yield what is missing or wrong of the golden documents; the model has to be whole.

    Args:
        frozen: The schemas that are what their steps make.
        passing: Documents of which something is reported already.
        upgrading: Whether to upgrade them too, for which steps, schemas and model have to agree.
    """
    golden, amend = history.golden, history.command("new --amend")
    if not golden.is_dir():
        message = "there is no such folder of golden documents"
        yield problem_in(golden, "golden", message, f"{amend}, or name another with --golden")
        return
    validator = _validator()
    if validator is None:
        message = "golden documents cannot be checked against their schemas without jsonschema"
        yield problem_in(golden, "golden", message, f"install it: {INSTALL}")
    head = history.family.head
    numbered = {history.document(version): version for version in range(head + 1)}
    for path, version in numbered.items():
        if not path.is_file():
            message = f"is missing: version {version} has no golden document"
            restore = f"put a document there as version {version} wrote it, or {RESTORE}"
            yield problem_in(path, "golden", message, amend if version == head else restore)
    wrong = {*passing}
    for path in history.documents():
        if path in passing:
            continue
        tree, problems = read_json(path, "golden")
        if tree is not None and path in numbered:
            version = numbered[path]
            problems += _ill_formed(history, path, tree, version, frozen.get(version), validator)
        if tree is not None and upgrading and not problems:
            problems += _stale(history, path, tree)
        wrong |= {path} if problems else set()
        yield from problems
    for path in sorted(golden.glob(f"*{UPGRADED}")):
        document = path.with_name(path.name.replace(UPGRADED, ".json"))
        if not document.is_file() and document not in numbered:
            message = "has no golden document that it is the upgrade of"
            yield problem_in(path, "golden", message, "bring that back, or remove this file")
        elif document.is_file() and document not in wrong and upgrading and validator is not None and head in frozen:
            tree, _ = read_json(path, "golden")
            yield from _invalid(path, tree or {}, frozen[head], validator, amend)


def _ill_formed(
    history: History, path: Path, tree: Tree, version: int, schema: Fragment | None, validator: Any
) -> Iterator[Problem]:
    """Yield what keeps a document from being a whole and valid one of its version."""
    try:
        found, _ = find_version(ParsedFile(tree, {}, path.name), history.family)
    except TttcfgError as error:
        yield problem_in(path, "golden", f"is not a document of version {version}: {error}", RESTORE)
        return
    if found != version:
        message = f"is a document of version {found}, but is named after version {version}"
        yield problem_in(path, "golden", message, "rename it, or put one of that version there")
        return
    if schema is None:
        return
    gone = [name for name in fields_of(schema) if get_path(tree, split(name), MISSING) is MISSING]
    if gone:
        message = f"lacks {', '.join(gone)}, which version {version} has"
        yield problem_in(path, "golden", message, f"add them; {history.command('new --amend')}")
    if validator is not None:
        yield from _invalid(path, tree, schema, validator, f"correct the document, or {RESTORE}")


def _invalid(path: Path, tree: Tree, schema: Fragment, validator: Any, advice: str) -> Iterator[Problem]:
    for error in validator(schema).iter_errors(tree):
        where = ".".join(map(str, error.absolute_path))
        message = f"is not valid by {schema.get('$id')}: {f'{where}: ' if where else ''}{error.message[:200]}"
        yield problem_in(path, "golden", message, advice)


def _stale(history: History, path: Path, tree: Tree) -> Iterator[Problem]:
    """Yield where a document does not upgrade to what is recorded, byte for byte."""
    recorded, amend = upgraded_of(path), history.command("new --amend")
    try:
        upgraded = upgraded_bytes(tree, history.family)
    except Exception as error:  # the document is refused, or an operation of the family does not take it
        cause = error if isinstance(error, TttcfgError) else f"{type(error).__name__}: {error}"
        message = f"does not upgrade to version {history.family.head}: {cause}"
        yield problem_in(path, "golden", message, "fix the migration")
        return
    if not recorded.is_file():
        yield problem_in(recorded, "golden", f"is missing: what {path.name} upgrades to", amend)
    elif recorded.read_bytes() != upgraded:
        message = f"is not what {path.name} upgrades to"
        yield problem_in(recorded, "golden", message, f"if the new result is the right one: {amend}")


def _validator() -> Any:
    try:
        from jsonschema import Draft202012Validator  # which only those who develop a family have

        return Draft202012Validator
    except ModuleNotFoundError as error:
        if error.name != "jsonschema":
            raise
        return None
