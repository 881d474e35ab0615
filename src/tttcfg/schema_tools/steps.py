"""The steps of a family as their files have them: each is read on its own, so that one bad file hides no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tttcfg.errors import Problem
from tttcfg.family.family import STEP
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema_tools.layout import RESTORE, History, leftovers, problem_in, step_name

_DATE = re.compile(r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


class Step(NamedTuple):
    """A file with a step, the version in its name, and its migration if the file can be imported."""

    path: Path
    version: int
    migration: Migration | None


class Steps(NamedTuple):
    """All steps that were found, and their problems; a chain only if they are in one line."""

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]
    chain: Chain | None


def read_steps(history: History) -> Steps:
    """Read the files of all steps, with what is missing or wrong."""
    problems: list[Problem] = []
    steps: list[Step] = []
    for path in sorted(history.migrations.glob("v[0-9]*.py")):
        named = STEP.fullmatch(path.stem)
        if named is None:
            message = "is not named after the two versions that it joins"
            problems.append(problem_in(path, "step", message, "rename it like v0000_to_v0001.py"))
            continue
        migration, found = _loaded(history, path)
        step = Step(path, int(named.group(1)), migration)
        problems += [*found, *_incomplete(step)]
        steps.append(step)
    structural = [*_order(history, steps)]
    loaded = [step.migration for step in sorted(steps, key=_version) if step.migration]
    whole = not structural and len(loaded) == len(steps)
    numbered = [one.version for one in loaded] == list(range(len(loaded)))
    return Steps(tuple(steps), (*structural, *problems), Chain(loaded) if whole and numbered else None)


def _loaded(history: History, path: Path) -> tuple[Migration | None, list[Problem]]:
    """Import one step; where that fails, conflict markers in its text may be the reason."""
    left = leftovers(path, "step", path.read_text("utf-8", errors="replace"), history.command("new --amend"))
    try:
        migration = getattr(import_module(f"{history.family.migrations}.{path.stem}"), "migration", None)
    except Exception as error:  # whatever the module raises
        message = f"cannot be imported: {type(error).__name__}: {error}"
        return None, left or [problem_in(path, "step", message, "fix the module")]
    if isinstance(migration, Migration):
        return migration, left
    return None, [*left, problem_in(path, "step", "has no migration", "assign one: migration = Migration(…)")]


def _order(history: History, steps: list[Step]) -> Iterator[Problem]:
    """Yield what keeps the steps from being one line from the first version to a single head."""
    folder = history.migrations
    if not steps:
        message = "contains no step, so there is no version"
        yield problem_in(folder, "step", message, history.command('new "first version"'))
    by_version = {version: list(group) for version, group in groupby(sorted(steps, key=_version), key=_version)}
    head = max(by_version, default=-1)
    for version, group in by_version.items():
        if len(group) > 1:
            names = " and ".join(step.path.name for step in group)
            message = f"{names} both lead to version {version}" + (": two heads" if version == head else "")
            yield problem_in(folder, "step", message, "remove one, and create it again on top of the other")
        elif group[0].path.stem != step_name(version):
            message = f"joins no neighbours: the step to version {version} is {step_name(version)}.py"
            yield problem_in(group[0].path, "step", message, "rename it, and number the versions without gaps")
    for version in sorted(set(range(head)) - by_version.keys()):
        message = f"is missing: no step leads to version {version}"
        path = history.step(version)
        yield problem_in(path, "step", message, f"{RESTORE}: git log --all -- '*{path.name}'")


def _version(step: Step) -> int:
    return step.version


def _incomplete(step: Step) -> Iterator[Problem]:
    """Yield what one step does not state, or states differently from its name."""
    migration, path = step.migration, step.path
    if migration is None:
        return
    if migration.version != step.version:
        message = f"has version={migration.version}, but its name has {step.version}"
        yield problem_in(path, "step", message, f"write version={step.version}")
    if not _DATE.fullmatch(migration.date):
        message = f"has no date: {migration.date!r}"
        yield problem_in(path, "step", message, 'write the day of the change, date="2026-01-31"')
    for name in ("summary", "evidence"):
        if not getattr(migration, name).strip():
            yield problem_in(path, "step", f"has no {name}", f'add it in a few words: {name}="…"')
    for operation in migration.operations:
        if not operation.why.strip() and not isinstance(operation, Declare):
            message = f"{operation.kind} {operation.path} without a reason"
            yield problem_in(path, "step", message, "give the operation its reason")
