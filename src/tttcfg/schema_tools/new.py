"""Writing a version of a schema: its step, frozen schema, golden documents and changelog entry together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
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
from tttcfg.schema_tools.codegen import migration_source, source_digest
from tttcfg.schema_tools.declarations import indescribable, undeclared
from tttcfg.schema_tools.frozen import Frozen, difference, made_by, only_annotations_differ, read_frozen
from tttcfg.schema_tools.golden_new import document_of_inherited, golden_document
from tttcfg.schema_tools.goldens import refuse_others, upgraded_bytes
from tttcfg.schema_tools.layout import EDIT, RESTORE, History, class_name, problem_in, read_json, shown, upgraded_of
from tttcfg.schema_tools.missing import likely_secret
from tttcfg.schema_tools.parent import Inherited, following, refuse_behind
from tttcfg.schema_tools.plan import REUSED, answered, first_step, plan, reused
from tttcfg.schema_tools.released import read_released
from tttcfg.schema_tools.steps import Steps, read_steps
from tttcfg.schema_tools.within import with_inside_names

ENCODING = "utf-8"


class Draft(NamedTuple):
    """A version to be written: its step, the statements that are missing, and notes.

    Attributes:
        source: The step's file; None where it stays as it is.
        before: The steps below this version.
        frozen: The frozen schemas that exist.
        released: Whether the version is released, so that only what follows from its files is written.
        inherited: The steps of the parent that are written with it, in their order.
    """

    migration: Migration
    source: str | None
    before: tuple[Migration, ...]
    frozen: Frozen
    missing: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    released: bool = False
    inherited: tuple[Inherited, ...] = ()


class NewVersion(NamedTuple):
    """The files of a version, the step last, and notes on them."""

    version: int
    files: dict[Path, bytes]
    notes: tuple[str, ...]


def new_draft(
    history: History, message: str, answers: Answers, *, date: str, evidence: str = "", own: Collection[str] = ()
) -> Draft:
    """Return the version that brings the history to the code; of a family with a parent, after those of the parent.

    Args:
        own: Fields that the family declares itself and that stay its own, whatever versions of the parent do with them.

    Raises:
        InputError: There is nothing new, the newest version is not released yet, or the history has problems.
    """
    steps, frozen = _history(history)
    known = steps.chain.migrations if steps.chain is not None else ()
    head = len(known) - 1
    brought = following(history, known, frozen, own)
    if read_released(history).newest < head and not brought and known[head].parent is None:
        amend, freeze = history.command("new --amend"), history.command("freeze")
        text = f"version {head} is not released yet: add the change to it ({amend}), or release it first ({freeze})"
        raise InputError(Problem("schema", text, place=shown(history.step(head))))
    known += tuple(one.migration for one in brought)
    frozen |= {one.migration.version: one.schema for one in brought}
    evidence = evidence or f"{class_name(history.family.model)} on {date}"
    draft = _planned(history, Migration(len(known), date, message, evidence, ()), known, frozen, answers)
    draft = draft._replace(inherited=tuple(brought), notes=tuple(note for one in brought for note in one.notes))
    if known and not draft.migration.operations and not draft.missing:
        if not brought:
            raise InputError(Problem("schema", f"nothing differs between version {head} and the code"))
        newest = brought[-1]  # there is nothing of the family's own
        return draft._replace(
            migration=newest.migration, source=newest.source, before=known[:-1], inherited=tuple(brought[:-1])
        )
    if not message.strip():
        raise InputError(Problem("schema", f"describe the change in a few words: {history.command('new MESSAGE')}"))
    return draft


def amended_draft(history: History, message: str, answers: Answers, *, evidence: str = "") -> Draft:
    """Return the newest version as the code has it now; only what follows from its files where it is released.

    A step that was edited stays as it is, and has to lead to the code.

    Raises:
        InputError: There is no version, its step does not lead to the model, or the history has problems.
    """
    steps, frozen = _history(history)
    if steps.chain is None or not steps.steps:
        command = history.command('new "first version"')
        raise InputError(Problem("schema", f"there is no version yet to amend: {command}"))
    refuse_behind(history, steps.chain.migrations)
    *known, newest = steps.chain.migrations
    version, before, path = newest.version, tuple(known), history.step(newest.version)
    if version and version - 1 not in frozen:
        frozen[version - 1] = document_schema(with_chain(history.family, steps.chain), version - 1)
    if read_released(history).newest >= version:
        _refuse_drift(history, newest, fields_of(frozen[version]))
        return Draft(newest, None, before, frozen, released=True)
    if newest.parent is not None:
        _refuse_drift(history, newest, _made(history, newest, frozen))
        return Draft(newest, None, before, frozen)
    made = migration_source(newest)
    if source_digest(path.read_text(ENCODING), shown(path), prose=True) != source_digest(made, "", prose=True):
        _refuse_drift(history, newest, _made(history, newest, frozen))
        return Draft(newest, None, before, frozen, notes=(f"{shown(path)} was edited and stays as it is",))
    old = fields_of(frozen[version - 1]) if version else {}
    names = (with_inside_names(old), with_inside_names(fields_of(model_schema(history.family))))
    answers = answers.over(answered(newest).about(*names))
    step = replace(newest, summary=message or newest.summary, evidence=evidence or newest.evidence)
    draft = _planned(history, step, before, frozen, answers)
    kept = {single.path for one in draft.migration.operations for single in one.singly()}
    single = [each for one in newest.operations for each in one.singly()]
    gone = [one for one in single if version and one.path not in kept]
    notes = tuple(f"{shown(path)} no longer has {one.path} ({one.kind}): the code has no such change" for one in gone)
    return draft._replace(notes=notes)


def _planned(
    history: History, step: Migration, before: tuple[Migration, ...], frozen: Frozen, answers: Answers
) -> Draft:
    """Return a draft of `step` with the operations that lead from the version before it to the code."""
    model = fields_of(model_schema(history.family))
    if before:
        old = fields_of(frozen[step.version - 1])
        planned = plan(old, model, answers, step.summary, _secrets(history))
    else:
        planned = first_step(model, answers)
    step = replace(step, operations=planned.operations)
    found = [] if planned.missing else list(reused(Chain([*before, step]).spellings, model))
    if found:
        raise InputError(Problem("schema", REUSED.format(was=was), path) for path, was in found)
    return Draft(step, migration_source(step), before, frozen, planned.missing)


def files_of(history: History, draft: Draft, changelog: Path) -> NewVersion:
    """Return the files of a version without missing statements.

    Raises:
        InputError: No golden document of it can be made.
    """
    family = with_chain(history.family, Chain([*draft.before, draft.migration]))
    refuse_others(history.golden, family)
    version, files = draft.migration.version, dict[Path, bytes]()
    notes = list(draft.notes)
    documents = _documents(history)
    if not draft.released:
        files |= _schemas(replace(history, family=family), draft)
        for one in draft.inherited:
            golden, below = history.document(one.migration.version), history.document(one.migration.version - 1)
            if golden not in documents:
                files[golden] = document_of_inherited(family, one.migration, one.schema, documents.get(below))
                documents[golden] = json.loads(files[golden])
        golden = history.document(version)
        files[golden], not_kept = golden_document(replace(history, family=family), documents)
        notes += not_kept
        documents[golden] = json.loads(files[golden])
        notes += _changelog(history, draft, changelog, files)
    for path, tree in sorted(documents.items()):
        notes += _upgraded(family, path, tree, files)
    for package in (history.migrations, history.schemas):
        if not (package / "__init__.py").exists():
            files[package / "__init__.py"] = _package_source(history, package).encode()
    files |= {history.step(one.migration.version): one.source.encode(ENCODING) for one in draft.inherited}
    if draft.source is not None:
        files[history.step(version)] = draft.source.encode(ENCODING)
        own = draft.migration.operations if draft.migration.parent is None else ()
        stubs = [one.path for operation in own for one in operation.singly() if isinstance(one, Convert)]
        if stubs:
            what = f"write how old values of {', '.join(stubs)} become new ones (look for {EDIT})"
            notes.append(f"{shown(history.step(version))}: {what}, then {history.command('new --amend')}")
        notes += _perhaps_secret(history, draft)
    return NewVersion(version, files, tuple(notes))


def _history(history: History) -> tuple[Steps, Frozen]:
    """Read steps and schemas, and refuse those on which nothing can be built; a line to be edited is no reason."""
    steps, model = read_steps(history), history.family.model
    broken = steps.problems if steps.steps and steps.chain is None else ()
    wrong = [*broken, *undeclared(model), *indescribable(history.family)]
    if wrong:
        raise InputError(wrong)
    frozen, _ = read_frozen(history, len(steps.steps) - 1)
    head, unfrozen = len(steps.steps) - 1, read_released(history).newest
    missing = [version for version in range(head + 1) if version not in frozen and version <= unfrozen]
    if missing:
        message = "is missing, but is released"
        raise InputError(problem_in(history.schema(one), "schema", message, RESTORE) for one in missing)
    return steps, frozen


def _secrets(history: History) -> set[str]:
    return {field.name for field in history.family.fields.values() if field.role is Role.SECRET}


def _perhaps_secret(history: History, draft: Draft) -> Iterator[str]:
    """Yield notes on free text that upgraded documents keep, where it became a secret by another name."""
    version = draft.migration.version
    old, secrets = fields_of(draft.frozen[version - 1]) if version else {}, _secrets(history)
    for one in draft.migration.operations:
        if not isinstance(one, Remove) or one.path not in old:
            continue
        if secret := likely_secret(one.path, old[one.path], secrets):
            again = history.command(f"new --amend --rename {one.path}:{secret}")
            yield f"upgraded documents keep the value of {one.path}; if it became the secret {secret}: {again}"


def _made(history: History, step: Migration, frozen: Frozen) -> Mapping[str, Any]:
    """Return the fields that an edited step leads to."""
    try:
        return made_by(step, frozen[step.version - 1] if step.version else section())
    except LookupError as error:
        raise InputError(Problem("schema", str(error), place=shown(history.step(step.version)))) from None


def _refuse_drift(history: History, step: Migration, made: Mapping[str, Any]) -> None:
    """Refuse to write a version whose step, which is its author's to change, does not lead to the model."""
    place = shown(history.step(step.version))
    found = [one for one in changes(made, fields_of(model_schema(history.family))) if not only_annotations_differ(one)]
    if not found:
        return
    released = read_released(history).newest >= step.version
    command = history.command('new "message"')
    do = f"is released: {command} makes the next version" if released else "was edited: edit it"
    do = f"is one of the parent: {command} makes the next version" if step.parent is not None else do
    texts = [(one.path, difference(one, "the code", f"version {step.version}")) for one in found]
    raise InputError(Problem("schema", f"{text}; the step {do}", path, place) for path, text in texts)


def _schemas(history: History, draft: Draft) -> Iterator[tuple[Path, bytes]]:
    """Yield the schema of the version, and those below it that are not frozen yet."""
    made = {one.migration.version: one.schema for one in draft.inherited}
    for version in range(draft.migration.version + 1):
        if version == draft.migration.version or not history.schema(version).exists():
            schema = made.get(version) or document_schema(history.family, version)
            text = json.dumps(schema, indent=2, ensure_ascii=False)
            yield history.schema(version), f"{text}\n".encode(ENCODING)


def _upgraded(family: Family, path: Path, tree: Tree, files: dict[Path, bytes]) -> Iterator[str]:
    """Add what a golden document upgrades to, to `files`; yield why it does not."""
    target = upgraded_of(path)
    try:
        files[target] = upgraded_bytes(tree, family)
    except Exception as error:  # the family's document or conversion
        cause = error if isinstance(error, InputError) else repr(error)
        yield f"{shown(target)} is not written, for {path.name} does not upgrade: {cause}"


def _changelog(history: History, draft: Draft, path: Path, files: dict[Path, bytes]) -> Iterator[str]:
    """Add the changelog with the version's entry to `files`; yield why there is none."""
    if draft.source is None:
        return
    if not path.is_file():
        yield f"there is no {path}, so no entry was written; --changelog FILE names another"
        return
    text: str | None = path.read_text(ENCODING)
    taken = [one.migration for one in draft.inherited if draft.before[0] is not draft.inherited[0].migration]
    for migration in (*taken, draft.migration):
        text = with_entry(text or "", migration, history.family.name)
    if text is None:
        yield f"{path} has no heading Unreleased, so no entry was written"
        return
    files[path] = text.encode(ENCODING)


def _package_source(history: History, package: Path) -> str:
    name = history.family.name
    if package == history.migrations:
        return f'"""The history of the configuration of {name}, one file per step, read like a changelog."""\n'
    return f'"""The frozen JSON Schemas of {name}, one per version."""\n'


def _documents(history: History) -> dict[Path, Tree]:
    read = {path: read_json(path, "schema") for path in history.documents()}
    problems = [problem for _, found in read.values() for problem in found]
    if problems:
        raise InputError(problems)
    return {path: tree or {} for path, (tree, _) in read.items()}
