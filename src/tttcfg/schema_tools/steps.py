"""The steps of a family as their files hold them: each read by itself, so that one bad file hides no other."""

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
from tttcfg.schema_tools.layout import Sources, shown, step_name
from tttcfg.schema_tools.leftovers import leftovers

_DATE = re.compile(r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


class Step(NamedTuple):
    """A file with a step, the version that its name says, and what it holds if that can be imported."""

    path: Path
    version: int
    migration: Migration | None


class Steps(NamedTuple):
    """All steps that were found, and all that is wrong with them; a chain only where nothing is."""

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]
    chain: Chain | None


def read_steps(sources: Sources) -> Steps:
    """Read the files of all steps and say what is missing or wrong."""
    problems: list[Problem] = []
    steps: list[Step] = []
    for path in sorted(sources.migrations.glob("v[0-9]*.py")):
        named = STEP.fullmatch(path.stem)
        if named is None:
            message = "is not named after the two versions that it joins"
            problems.append(Problem("step", message, place=shown(path), advice="rename it like v0000_to_v0001.py"))
            continue
        migration, found = _loaded(sources, path)
        problems += found
        step = Step(path, int(named.group(1)), migration)
        problems += _problems_of(step)
        steps.append(step)
    structural = [*_order(sources, steps)]
    loaded = [step.migration for step in sorted(steps, key=lambda step: step.version) if step.migration]
    whole = not structural and len(loaded) == len(steps)
    numbered = [one.version for one in loaded] == list(range(len(loaded)))
    return Steps(tuple(steps), (*structural, *problems), Chain(loaded) if whole and numbered else None)


def _loaded(sources: Sources, path: Path) -> tuple[Migration | None, list[Problem]]:
    """Import one step; where that cannot be done, what its text holds may say why."""
    remake = sources.command("new --amend")
    left = leftovers("step", shown(path), path.read_text("utf-8", errors="replace"), remake)
    try:
        migration = getattr(import_module(f"{sources.family.migrations}.{path.stem}"), "migration", None)
    except Exception as error:  # whatever somebody's module raises
        said = Problem(
            "step", f"cannot be imported: {type(error).__name__}: {error}", place=shown(path), advice="mend the module"
        )
        return None, left or [said]
    if not isinstance(migration, Migration):
        return None, [
            *left,
            Problem("step", "holds no migration", place=shown(path), advice="assign one: migration = Migration(…)"),
        ]
    return migration, left


def _order(sources: Sources, steps: list[Step]) -> Iterator[Problem]:
    """Yield what keeps the steps from being one line from the first version to a single head."""
    if not steps:
        message = "holds no step, so there is no version"
        yield Problem("step", message, place=shown(sources.migrations), advice=sources.command('new "first version"'))
    by_version = {version: list(group) for version, group in groupby(sorted(steps, key=_version), key=_version)}
    head = max(by_version, default=-1)
    for version, group in by_version.items():
        if len(group) > 1:
            names = " and ".join(step.path.name for step in group)
            message = f"{names} both lead to version {version}" + (": two heads" if version == head else "")
            yield Problem(
                "step",
                message,
                place=shown(sources.migrations),
                advice="take one out and make it anew on top of the other",
            )
        elif group[0].path.stem != step_name(version):
            message = f"joins no neighbours: the step to version {version} is {step_name(version)}.py"
            yield Problem(
                "step", message, place=shown(group[0].path), advice="rename it, and number the versions without gaps"
            )
    for version in sorted(set(range(head)) - by_version.keys()):
        message = f"is missing: no step leads to version {version}"
        yield Problem(
            "step",
            message,
            place=shown(sources.step(version)),
            advice="bring it back: git log --all -- " + _missing(version),
        )


def _version(step: Step) -> int:
    return step.version


def _missing(version: int) -> str:
    return f"'*{step_name(version)}.py'"


def _problems_of(step: Step) -> Iterator[Problem]:
    """Yield what one step leaves unsaid."""
    migration, place = step.migration, shown(step.path)
    if migration is None:
        return
    if migration.version != step.version:
        message = f"says version={migration.version}, and its name says {step.version}"
        yield Problem("step", message, place=place, advice=f"write version={step.version}")
    if not _DATE.fullmatch(migration.date):
        yield Problem(
            "step",
            f"has no date: {migration.date!r}",
            place=place,
            advice='write the day of the change, date="2026-01-31"',
        )
    for name in ("summary", "evidence"):
        if not getattr(migration, name).strip():
            yield Problem("step", f"has no {name}", place=place, advice=f'say it in a few words: {name}="…"')
    for operation in migration.operations:
        if not operation.why.strip() and not isinstance(operation, Declare):
            message = f"{operation.kind} {operation.path} without a reason"
            yield Problem("step", message, place=place, advice="give the operation its reason")
