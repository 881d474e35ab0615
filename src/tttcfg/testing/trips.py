"""Documents there and back: what has to come back, what may be lost, and what must not come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tttcfg.documents.document import document_of
from tttcfg.documents.downgrade import migrate_tree, migrate_whatever_is_lost
from tttcfg.family.family import Family
from tttcfg.migration.operations import Withhold
from tttcfg.migration.section_digests import part_of
from tttcfg.schema.fields import plain
from tttcfg.schema.fragments import RESERVED
from tttcfg.schema.paths import MISSING, Path, Tree, copied, get_path, is_hollow, set_path, split
from tttcfg.schema.secrets import looks_secret, redacted
from tttcfg.schema.secrets import without_withheld as without_places
from tttcfg.testing.documents import validator


class Older(NamedTuple):
    """A document as an older version has it, and what the way down said is lost."""

    tree: Tree
    losses: dict[str, str]


def down(document: Tree, family: Family, version: int) -> Older:
    """Bring a document to an older version, whatever is lost."""
    return Older(*migrate_whatever_is_lost(document, family, to=version))


def without_secrets(document: Tree, family: Family) -> Tree:
    """Return a document without secrets: those that are withheld on purpose, and free-form ones by their names."""
    tree: Tree = copied(document)
    for step in family.chain.migrations:
        for operation in step.operations:
            if isinstance(operation, Withhold) and get_path(tree, operation.parts, MISSING) is not MISSING:
                set_path(tree, operation.parts, None)
    bare: Tree = without_places(redacted(tree))
    return bare


def hold_trip(document: Tree, family: Family, version: int) -> None:
    """Assert that a document goes up and comes back as it was, but for secrets."""
    newer = migrate_tree(document, family)
    kept = copied(newer)
    older = down(newer, family, version)
    assert newer == kept, f"going down to version {version} changes the document that it is given"
    lost = [key for key, why in older.losses.items() if not why.startswith("is a secret")]
    assert not lost, f"going up to version {family.head} and down to {version} loses {', '.join(lost)}"
    came, was = without_secrets(older.tree, family), without_secrets(document, family)
    assert came == was, f"going up to version {family.head} and down to {version} changes the document"


def hold_edited_trip(document: Tree, edited: Tree, family: Family, version: int) -> None:
    """Assert what has to hold where a document went up, was edited there, and goes down.

    Args:
        document: As `version` wrote it.
        edited: What it was upgraded to, with some current fields changed since.
    """
    upgraded = document_of(migrate_tree(document, family), family)
    before, after = upgraded.training, document_of(edited, family).training
    changed = {field.name for field in family.fields.values() if field.get(before) != field.get(after)}
    older = down(edited, family, version)
    _hold_survival(after, older, family, version)
    _hold_removed(document, family, older, version, changed)
    _hold_untouched(document, family, older, {split(name)[0] for name in changed})


def hold_descent(document: Tree, family: Family, version: int) -> None:
    """Assert that a current document becomes a valid older one, and that what it loses is listed."""
    older = down(document, family, version)
    problems = [error.message for error in validator(family, version).iter_errors(older.tree)]
    assert not problems, f"going down to version {version} makes no valid document of it"
    _hold_survival(document_of(document, family).training, older, family, version)


def _hold_survival(training: Any, older: Older, family: Family, version: int) -> None:
    """Assert that what the older program says of every field is what was said, or listed as a loss."""
    again = document_of(older.tree, family).training
    for field in family.public_fields:
        was, comes = field.get(training), field.get(again)
        assert was == comes or field.name in older.losses, (
            f"{field.name} was {plain(was)!r}, comes back from version {version} as {plain(comes)!r}, and is not listed"
        )


def _hold_removed(document: Tree, family: Family, older: Older, version: int, changed: set[str]) -> None:
    """Assert that values which the newest version does not have come back where their part is untouched, only there."""
    template = family.chain.template(version)
    secret = {one.path for step in family.chain.migrations for one in step.operations if isinstance(one, Withhold)}
    touched = {".".join(split(name)[:depth]) for name in changed for depth in range(len(split(name)) + 1)}
    for path in _field_paths(_fields(document), family):
        name, then, now = ".".join(path), _at(document, path), _at(older.tree, path)
        if _current(path, family) in family.fields or name in secret or is_hollow(then):
            continue
        part = part_of(name, family.chain)
        if part is None or part not in touched:
            assert without_places(redacted({name: now})) == without_places(redacted({name: then})), (
                f"{name} was removed from {part}, which nobody edited, and does not come back"
            )
        elif then != get_path(template, path) and not any(map(looks_secret, path)):
            assert now != then, f"{name} comes back stale: {part} was edited since"
            listed = any(f"{name}.".startswith(f"{key}.") for key in older.losses)
            assert listed, f"{name} does not come back, and is not listed as a loss"


def _hold_untouched(document: Tree, family: Family, older: Older, touched: set[str]) -> None:
    """Assert that what leads to a part which nobody edited comes back bit for bit."""
    secret = {field.name for field in family.secret_fields}
    for path in _field_paths(_fields(document), family):
        name = _current(path, family)
        if name not in family.fields or name in secret or split(name)[0] in touched:
            continue
        was, now = _at(document, path), _at(older.tree, path)
        assert now == was, f"{'.'.join(path)} was {was!r} and comes back as {now!r}, though nobody edited {name}"


def _fields(document: Tree) -> Tree:
    return {key: value for key, value in document.items() if key not in RESERVED}


def _field_paths(tree: Tree, family: Family, above: Path = ()) -> Iterator[Path]:
    """Yield the path of every value: of a current field as a whole, which may be free-form, else of what is in it."""
    for key, value in tree.items():
        path = (*above, key)
        if isinstance(value, dict) and value and _current(path, family) not in family.fields:
            yield from _field_paths(value, family, path)
        else:
            yield path


def _current(path: Path, family: Family) -> str:
    """Return what a field is called now; nothing where it is gone."""
    return family.chain.spellings.get(".".join(path), ".".join(path))


def _at(tree: Tree, path: Path) -> Any:
    return get_path(tree, path, "nothing")
