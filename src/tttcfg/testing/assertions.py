"""Assertions of the laws: what a document means, what comes back from a round trip, and documents with secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tttcfg.documents.document import document_of
from tttcfg.documents.downgrade import migrate_tree, migrate_whatever_is_lost
from tttcfg.family.family import Family
from tttcfg.migration.operations import Withhold
from tttcfg.migration.reshaping import Split
from tttcfg.migration.section_digests import section_of
from tttcfg.schema.fields import plain, present
from tttcfg.schema.fragments import Fragment, body_of, fragment_at
from tttcfg.schema.paths import MISSING, Path, Tree, copied, get_path, is_hollow, set_path, split
from tttcfg.secrets import looks_secret, redacted, without_withheld
from tttcfg.testing.subject import Subject
from tttcfg.testing.values import validator

FOLDER = "meaning"
"""The folder of the golden documents' meanings, in the folder of those."""
ONE_OF = "one of"
"""The key under which a meaning lists the possible values of the old program, where it is not known which it was."""
SECRET = "a-secret-that-must-not-be-written"


def assert_golden_meaning(subject: Subject, version: int) -> None:
    """Assert that a golden document means what its meaning states, and that this names every filled-in field."""
    path = subject.golden / FOLDER / f"v{version:04d}.json"
    assert path.is_file(), f"{path} is missing: what the program of version {version} did with the golden document"
    stated = json.loads(path.read_bytes())
    document = document_of(subject.golden_document(version), subject.family)
    assert_meaning(stated, document.training, subject.family)
    model_defining = {field.name for field in subject.family.model_defining_fields}
    missing = sorted(model_defining & document.record.filled.keys() - stated.keys())
    assert not missing, f"{path} does not state what absence meant for {', '.join(missing)}"


def assert_meaning(stated: Mapping[str, Any], training: Any, family: Family) -> None:
    """Assert that an upgraded configuration has the values that the old program used, by dotted current field."""
    for name, value in stated.items():
        field = family.fields.get(name)
        assert field is not None, f"{name} is not a field of version {family.head}; state it under its new name"
        now = plain(field.get(training))
        possible = value[ONE_OF] if isinstance(value, dict) and ONE_OF in value else [value]
        assert now in possible, f"{name} was {value!r} for the old program, and is {now!r} in the upgraded document"


class Older(NamedTuple):
    """A document of an older version, and the losses that the downgrade listed, each with its reason."""

    tree: Tree
    losses: dict[str, str]


def downgraded(document: Tree, family: Family, version: int) -> Older:
    """Return a document downgraded to an older version, whatever is lost."""
    return Older(*migrate_whatever_is_lost(document, family, to=version))


def without_secrets(document: Tree, family: Family) -> Tree:
    """Return a document without secrets: those that operations withhold, and free-form ones by their names."""
    tree: Tree = copied(document)
    for step in family.chain.migrations:
        for operation in step.operations:
            if isinstance(operation, Withhold) and get_path(tree, operation.parts, MISSING) is not MISSING:
                set_path(tree, operation.parts, None)
    bare: Tree = without_withheld(redacted(tree))
    return bare


def assert_round_trip(document: Tree, family: Family, version: int) -> None:
    """Assert that an upgrade and a downgrade give the same document, except for secrets."""
    newer = migrate_tree(document, family)
    kept = copied(newer)
    older = downgraded(newer, family, version)
    assert newer == kept, f"the downgrade to version {version} changes the document that it gets"
    lost = [key for key, why in older.losses.items() if not why.startswith("is a secret")]
    assert not lost, f"the upgrade to version {family.head} and the downgrade to {version} lose {', '.join(lost)}"
    now, was = without_secrets(older.tree, family), without_secrets(document, family)
    assert now == was, f"the upgrade to version {family.head} and the downgrade to {version} change the document"


def assert_edited_round_trip(document: Tree, edited: Tree, family: Family, version: int) -> None:
    """Assert the laws for a document that is upgraded, edited and downgraded.

    Args:
        document: The document of `version`.
        edited: The upgraded document, with some current fields changed.
    """
    upgraded = document_of(migrate_tree(document, family), family)
    before, after = upgraded.training, document_of(edited, family).training
    changed = {field.name for field in family.fields.values() if field.get(before) != field.get(after)}
    older = downgraded(edited, family, version)
    _assert_kept_values(after, older, family, version)
    _assert_removed_values(document, family, older, version, changed)
    _assert_unedited_values(document, family, older, {split(name)[0] for name in changed})


def assert_downgrade(document: Tree, family: Family, version: int) -> None:
    """Assert that a current document is downgraded to a valid older one, and that its losses are listed."""
    older = downgraded(document, family, version)
    problems = [error.message for error in validator(family, version).iter_errors(older.tree)]
    assert not problems, f"the downgrade to version {version} gives an invalid document"
    _assert_kept_values(document_of(document, family).training, older, family, version)


def _assert_kept_values(training: Any, older: Older, family: Family, version: int) -> None:
    """Assert that every field has the same value after another upgrade, or is listed as a loss."""
    again = document_of(older.tree, family).training
    for field in present(family.public_fields, training):
        was, now = field.get(training), field.get(again)
        assert was == now or field.name in older.losses, (
            f"{field.name} was {plain(was)!r}, is {plain(now)!r} after the downgrade to version {version}, "
            "and is not listed as a loss"
        )


def _assert_removed_values(document: Tree, family: Family, older: Older, version: int, changed: set[str]) -> None:
    """Assert that values of removed fields are restored where their section is unedited, and only there."""
    template = family.chain.template(version)
    secret = {one.path for step in family.chain.migrations for one in step.operations if isinstance(one, Withhold)}
    edited = {".".join(split(name)[:depth]) for name in changed for depth in range(len(split(name)) + 1)}
    for path in _field_paths(body_of(document), family):
        name, then, now = ".".join(path), _at(document, path), _at(older.tree, path)
        if _current(path, family) in family.fields or name in secret or is_hollow(then):
            continue
        section = section_of(name, family.chain)
        if section is None or section not in edited:
            assert without_withheld(redacted({name: now})) == without_withheld(redacted({name: then})), (
                f"{name} was removed from {section}, which was not edited, and is not restored"
            )
        elif then != get_path(template, path) and not any(map(looks_secret, path)):
            assert now != then, f"the stale value of {name} is restored: {section} was edited"
            listed = any(f"{name}.".startswith(f"{key}.") for key in older.losses)
            assert listed, f"{name} is not restored, and is not listed as a loss"


def _assert_unedited_values(document: Tree, family: Family, older: Older, edited: set[str]) -> None:
    """Assert that values of unedited sections are restored bit for bit."""
    secret = {field.name for field in family.secret_fields}
    for path in _field_paths(body_of(document), family):
        name = _current(path, family)
        if name not in family.fields or name in secret or edited & {split(one)[0] for one in _split_with(name, family)}:
            continue
        was, now = _at(document, path), _at(older.tree, path)
        shown = "missing" if now is MISSING else repr(now)
        assert now == was, f"{'.'.join(path)} was {was!r} and is {shown} afterwards, although {name} was not edited"


def _field_paths(tree: Tree, family: Family, above: Path = ()) -> Iterator[Path]:
    """Yield the path of every value; a current field is one value, even where it is a free-form mapping."""
    for key, value in tree.items():
        path = (*above, key)
        if isinstance(value, dict) and value and _current(path, family) not in family.fields:
            yield from _field_paths(value, family, path)
        else:
            yield path


def _current(path: Path, family: Family) -> str:
    """Return the current path of a field; empty where it was removed."""
    return family.chain.spellings.get(".".join(path), ".".join(path))


def _split_with(name: str, family: Family) -> set[str]:
    """Return the current fields that were one with a current field once, itself among them."""
    spellings, steps = family.chain.spellings, family.chain.migrations
    parts = [one.targets for step in steps for one in step.operations if isinstance(one, Split)]
    today = [{spellings.get(one, one) for one in targets} for targets in parts]
    return {name}.union(*(group for group in today if name in group))


def _at(tree: Tree, path: Path) -> Any:
    return get_path(tree, path, MISSING)  # no text: a drawn document may hold it


def with_secrets(document: Tree, family: Family, version: int) -> Tree:
    """Return a document with `SECRET` in all its fields that are secret today, or withheld, and in free-form ones.

    Free-form fields that still exist are left out: tttcfg does not inspect their content.
    """
    tree: Tree = copied(document)
    schema = family.chain.schema(version)
    steps = family.chain.migrations
    today = {field.name for field in family.secret_fields}
    once = {old for old, now in family.chain.spellings.items() if now in today}
    withheld = {one.path for step in steps for one in step.operations if isinstance(one, Withhold)}
    for name in sorted(today | once | withheld):
        if fragment_at(schema, split(name)) is not None:
            set_path(tree, split(name), SECRET)
    for name, mapping in _free_form(tree, schema, ""):
        if family.chain.spellings.get(name, name) not in family.fields:
            mapping["api_key"] = SECRET
    return tree


def _free_form(tree: Tree, schema: Fragment, prefix: str) -> Iterator[tuple[str, Tree]]:
    """Yield every free-form mapping with its dotted path."""
    for name, fragment in schema["properties"].items():
        below = tree.get(name)
        if isinstance(below, dict) and "properties" in fragment:
            yield from _free_form(below, fragment, f"{prefix}{name}.")
        elif isinstance(below, dict) and fragment.get("additionalProperties") is True:
            yield f"{prefix}{name}", below
