"""Writing a version of a schema: its step, frozen schema, golden documents and changelog entry, together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem
from tttcfg.family.family import Family
from tttcfg.family.json_schema import document_schema, model_schema
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Convert, Remove
from tttcfg.schema.fields import Role
from tttcfg.schema.fragments import fields_of, section
from tttcfg.schema.paths import Tree
from tttcfg.schema_tools.answers import Answers
from tttcfg.schema_tools.changelog import with_entry
from tttcfg.schema_tools.changes import changes
from tttcfg.schema_tools.check import with_chain
from tttcfg.schema_tools.codegen import migration_source
from tttcfg.schema_tools.declarations import indescribable, undeclared
from tttcfg.schema_tools.frozen import Frozen, bare_alike, made_by, read_frozen, told
from tttcfg.schema_tools.golden_new import golden_document
from tttcfg.schema_tools.goldens import refuse_others, upgraded_bytes
from tttcfg.schema_tools.layout import Sources, shown, upgraded_of
from tttcfg.schema_tools.leftovers import EDIT
from tttcfg.schema_tools.meaning import source_digest
from tttcfg.schema_tools.missing import likely_secret
from tttcfg.schema_tools.plan import REUSED, answered, first_step, plan, reused
from tttcfg.schema_tools.released import read_released
from tttcfg.schema_tools.steps import Steps, read_steps

ENCODING = "utf-8"


class Draft(NamedTuple):
    """A version about to be written: its step, the statements that are missing, and notes.

    Attributes:
        source: The step's file; None where it stays as it is.
        before: The steps below this version.
        frozen: The frozen schemas that are there.
        released: Whether the version is released, so that only what follows from its files is written.
    """

    migration: Migration
    source: str | None
    before: tuple[Migration, ...]
    frozen: Frozen
    missing: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    released: bool = False


class Written(NamedTuple):
    """The files of a version, the step last, and what one should know of them."""

    version: int
    files: dict[Path, bytes]
    notes: tuple[str, ...]


def new_draft(sources: Sources, message: str, answers: Answers, *, date: str, evidence: str = "") -> Draft:
    """Return the version that brings the history to the code.

    Raises:
        InputError: There is nothing new, the newest version is not released yet, or the history is not sound.
    """
    steps, frozen = _history(sources)
    chain = steps.chain
    known = chain.migrations if chain is not None else ()
    head = len(known) - 1
    model = fields_of(model_schema(sources.family))
    evidence = evidence or _evidence(sources, date)
    if not known:
        first = first_step(model, answers)
        migration = Migration(0, date, message, evidence, first.operations)
        return Draft(migration, migration_source(migration), (), frozen, first.missing)
    released = read_released(sources)
    if released.newest < head:
        amend, freeze = sources.command("new --amend"), sources.command("freeze")
        told_so = (
            f"version {head} is not released yet: take the change into it ({amend}), or release it first ({freeze})"
        )
        raise InputError(Problem("schema", told_so, place=shown(sources.step(head))))
    old = fields_of(frozen[head])
    planned = plan(old, model, answers, message, _secrets(sources))
    if not planned.operations and not planned.missing:
        raise InputError(Problem("schema", f"nothing differs between version {head} and the code"))
    migration = Migration(head + 1, date, message, evidence, planned.operations)
    if not planned.missing:
        _refuse_reuse(Chain([*known, migration]), model)
    return Draft(migration, migration_source(migration), known, frozen, planned.missing)


def amended_draft(sources: Sources, message: str, answers: Answers, *, evidence: str = "") -> Draft:
    """Return the newest version as the code has it now; only what follows from its files where it is released.

    A step that was edited stays as it is, and has to lead to the code.

    Raises:
        InputError: There is no version, its step does not lead to the model, or the history is not sound.
    """
    steps, frozen = _history(sources)
    if steps.chain is None or not steps.steps:
        command = sources.command('new "first version"')
        raise InputError(Problem("schema", f"there is no version yet to amend: {command}"))
    *known, newest = steps.chain.migrations
    version, before = newest.version, tuple(known)
    model = fields_of(model_schema(sources.family))
    if version and version - 1 not in frozen:
        frozen[version - 1] = document_schema(with_chain(sources.family, Chain([*known, newest])), version - 1)
    if read_released(sources).newest >= version:
        _refuse_drift(sources, newest, fields_of(frozen[version]))
        return Draft(newest, None, before, frozen, released=True)
    path = sources.step(version)
    made = migration_source(newest)
    if source_digest(path.read_text(ENCODING), shown(path), prose=True) != source_digest(made, "", prose=True):
        _refuse_drift(sources, newest, _made(sources, newest, frozen))
        return Draft(newest, None, before, frozen, notes=(f"{shown(path)} was edited and stays as it is",))
    evidence, summary = evidence or newest.evidence, message or newest.summary
    if not version:
        first = first_step(model, answers.over(answered(newest).about({}, model)))
        migration = replace(newest, summary=summary, evidence=evidence, operations=first.operations)
        return Draft(migration, migration_source(migration), before, frozen, first.missing)
    old = fields_of(frozen[version - 1])
    planned = plan(old, model, answers.over(answered(newest).about(old, model)), summary, _secrets(sources))
    migration = replace(newest, summary=summary, evidence=evidence, operations=planned.operations)
    if not planned.missing:
        _refuse_reuse(Chain([*known, migration]), model)
    gone = [one for one in newest.operations if one.path not in {other.path for other in planned.operations}]
    notes = tuple(f"{shown(path)} no longer has {one.path} ({one.kind}): the code has no such change" for one in gone)
    return Draft(migration, migration_source(migration), before, frozen, planned.missing, notes=notes)


def files_of(sources: Sources, draft: Draft, changelog: Path) -> Written:
    """Return the files of a version without missing statements.

    Raises:
        InputError: No golden document of it can be made.
    """
    family = with_chain(sources.family, Chain([*draft.before, draft.migration]))
    refuse_others(sources.golden, family)
    version, files = draft.migration.version, dict[Path, bytes]()
    notes = list(draft.notes)
    documents = {path: _tree(path) for path in sources.documents()}
    if not draft.released:
        files |= _schemas(replace(sources, family=family), draft)
        golden = sources.document(version)
        files[golden], told_so = golden_document(replace(sources, family=family), documents)
        notes += told_so
        documents[golden] = json.loads(files[golden])
        notes += _changelog(sources, draft, changelog, files)
    for path, tree in sorted(documents.items()):
        notes += _upgraded(family, path, tree, files)
    for package in (sources.migrations, sources.schemas):
        if not (package / "__init__.py").exists():
            files[package / "__init__.py"] = _package_source(sources, package).encode()
    if draft.source is not None:
        files[sources.step(version)] = draft.source.encode(ENCODING)
        stubs = [one.path for one in draft.migration.operations if isinstance(one, Convert)]
        if stubs:
            what = f"write how old values of {', '.join(stubs)} become new ones (look for {EDIT})"
            notes.append(f"{shown(sources.step(version))}: {what}, then {sources.command('new --amend')}")
        notes += _perhaps_secret(sources, draft)
    return Written(version, files, tuple(notes))


def _history(sources: Sources) -> tuple[Steps, Frozen]:
    """Read steps and schemas, and refuse those on which nothing can be built; what is open to edit is no reason."""
    steps, model = read_steps(sources), sources.family.model
    broken = steps.problems if steps.steps and steps.chain is None else ()
    wrong = [*broken, *undeclared(model), *indescribable(sources.family)]
    if wrong:
        raise InputError(wrong)
    frozen, _ = read_frozen(sources, len(steps.steps) - 1)
    head, unfrozen = len(steps.steps) - 1, read_released(sources).newest
    missing = [version for version in range(head + 1) if version not in frozen and version <= unfrozen]
    if missing:
        raise InputError(
            Problem("schema", "is missing, and is released; bring it back from git", place=shown(sources.schema(one)))
            for one in missing
        )
    return steps, frozen


def _refuse_reuse(chain: Chain, fields: Mapping[str, Any]) -> None:
    found = list(reused(chain.spellings, fields))
    if found:
        raise InputError(Problem("schema", REUSED.format(was=was), path) for path, was in found)


def _evidence(sources: Sources, date: str) -> str:
    model = sources.family.model
    return f"{model.__module__}.{model.__qualname__} on {date}"


def _secrets(sources: Sources) -> set[str]:
    return {field.name for field in sources.family.fields.values() if field.role is Role.SECRET}


def _perhaps_secret(sources: Sources, draft: Draft) -> Iterator[str]:
    """Yield notes on free text that upgraded documents keep, where it became a secret by another name."""
    version = draft.migration.version
    old, secrets = fields_of(draft.frozen[version - 1]) if version else {}, _secrets(sources)
    for one in draft.migration.operations:
        if not isinstance(one, Remove) or one.path not in old:
            continue
        if secret := likely_secret(one.path, old[one.path], secrets):
            again = sources.command(f"new --amend --rename {one.path}:{secret}")
            yield f"upgraded documents keep the value of {one.path}; if it became the secret {secret}: {again}"


def _made(sources: Sources, step: Migration, frozen: Frozen) -> dict[str, Any]:
    """Return the fields that an edited step leads to."""
    below = frozen[step.version - 1] if step.version else section()
    try:
        return made_by(step, below)
    except Exception as error:  # the family's operations, on a schema that they do not fit
        message = f"cannot be applied to the schema before it: {error!r}"
        raise InputError(Problem("schema", message, place=shown(sources.step(step.version)))) from None


def _refuse_drift(sources: Sources, step: Migration, made: Mapping[str, Any]) -> None:
    """Refuse to write a version whose own step, which is its author's to change, does not lead to the model."""
    place = shown(sources.step(step.version))
    found = [one for one in changes(made, fields_of(model_schema(sources.family))) if not bare_alike(one)]
    released = read_released(sources).newest >= step.version
    command = sources.command('new "message"')
    do = f"is released: {command} makes the next version" if released else "was edited: edit it"
    if found:
        raise InputError(
            Problem("schema", f"{told(one, 'the code', f'version {step.version}')}; the step {do}", one.path, place)
            for one in found
        )


def _schemas(sources: Sources, draft: Draft) -> Iterator[tuple[Path, bytes]]:
    """Yield the schema of the version, and those below it that are not frozen yet."""
    for version in range(draft.migration.version + 1):
        if version == draft.migration.version or not sources.schema(version).exists():
            text = json.dumps(document_schema(sources.family, version), indent=2, ensure_ascii=False)
            yield sources.schema(version), f"{text}\n".encode(ENCODING)


def _upgraded(family: Family, path: Path, tree: Tree, files: dict[Path, bytes]) -> Iterator[str]:
    """Add what a golden document upgrades to, to `files`; yield why it does not."""
    target = upgraded_of(path)
    try:
        files[target] = upgraded_bytes(tree, family)
    except Exception as error:  # the family's document or conversion
        cause = error if isinstance(error, InputError) else repr(error)
        yield f"{shown(target)} is not written, for {path.name} does not upgrade: {cause}"


def _changelog(sources: Sources, draft: Draft, path: Path, files: dict[Path, bytes]) -> Iterator[str]:
    """Add the changelog with the version's entry to `files`; yield why there is none."""
    if draft.source is None:
        return
    if not path.is_file():
        yield f"there is no {path}, so no entry was written; --changelog FILE names another"
        return
    text = with_entry(path.read_text(ENCODING), draft.migration, sources.family.name)
    if text is None:
        yield f"{path} has no heading Unreleased, so no entry was written"
        return
    files[path] = text.encode(ENCODING)


def _package_source(sources: Sources, package: Path) -> str:
    name = sources.family.name
    if package == sources.migrations:
        return f'"""The history of the configuration of {name}, one file per step, read like a changelog."""\n'
    return f'"""The frozen JSON Schemas of {name}, one per version."""\n'


def _tree(path: Path) -> Tree:
    try:
        tree = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(Problem("schema", f"is no JSON: {error}", place=shown(path))) from None
    return tree if isinstance(tree, dict) else {}
