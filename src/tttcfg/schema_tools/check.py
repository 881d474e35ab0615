"""Whether model, frozen schemas, migrations, golden documents and declarations of a family agree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import cast

from tttcfg.errors import Place, Problem, TttcfgError
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain
from tttcfg.schema.fields import Section, config_fields
from tttcfg.schema_tools.declarations import indescribable, refused_defaults, undeclared
from tttcfg.schema_tools.frozen import drift, read_frozen, unconverted, unlike_steps
from tttcfg.schema_tools.goldens import unlike_goldens
from tttcfg.schema_tools.layout import RESTORE, History, class_name, problem_in
from tttcfg.schema_tools.parent import misplaced_steps, unfollowed
from tttcfg.schema_tools.plan import REUSED, reused
from tttcfg.schema_tools.released import Released, read_released, unreleased
from tttcfg.schema_tools.steps import read_steps
from tttcfg.schema_tools.unconfirmed import unconfirmed
from tttcfg.schema_tools.write import interrupted


def check(history: History) -> list[Problem]:
    """Return everything that is missing or wrong in the history of a family's schema, each cause once.

    Nothing is written. What cannot be checked because something else is wrong comes last, with the severity info.

    Raises:
        InputError: The packages of the family cannot be imported.
    """
    family, steps = history.family, read_steps(history)
    problems = list(steps.problems)
    ill_fitting = list(_ill_fitting(history, steps.chain))
    whole = with_chain(family, steps.chain) if steps.chain is not None and not ill_fitting else None
    head = max((step.version for step in steps.steps), default=-1)
    frozen, found = read_frozen(history, head)
    problems += found
    released, found = _released(history)
    changed = [*unreleased(history, released, head)]
    problems += [*found, *changed]
    passing = {Path(os.path.abspath(one.place.file)) for one in changed if isinstance(one.place, Place)}
    unlike: dict[int, list[Problem]] = {}
    if steps.chain is not None:
        unlike = unlike_steps(history, frozen, steps.chain)
        for version in unlike:
            if not {Path(os.path.abspath(one)) for one in (history.step(version), history.schema(version))} & passing:
                problems += unlike[version]
        problems += [] if unlike else ill_fitting
        problems += unconverted(history, frozen, steps.chain, released.newest)
        problems += misplaced_steps(history, steps.chain)
    behind = list(unfollowed(history, steps.chain, frozen)) if steps.chain is not None and not unlike else []
    problems += behind
    problems += interrupted(history)
    declared = [*undeclared(family.model), *indescribable(family)]
    problems += declared or [*refused_defaults(family.model), *unconfirmed(history)]
    if not steps.steps:
        return list(dict.fromkeys(problems))
    if whole is None or declared:
        which = "steps" if whole is None else "declarations"
        return [*dict.fromkeys(problems), _unchecked(history, "golden documents and drift were not checked", which)]
    history = replace(history, family=whole)
    problems += _reused(whole)
    amiss = "steps and schemas" if unlike or len(list(history.schemas.glob("v*.json"))) > head + 1 else ""
    amiss = amiss or ("versions of the parent" if behind else "")
    if not amiss and (drifted := list(drift(history, frozen, released.newest >= head))):
        problems, amiss = [*problems, *drifted], "code and the newest schema"
    trusted = {version: one for version, one in frozen.items() if version not in unlike}
    here = {path for path in history.documents() if Path(os.path.abspath(path)) in passing}
    problems += unlike_goldens(history, trusted, here, upgrading=not amiss)
    problems = list(dict.fromkeys(problems))
    return [*problems, _unchecked(history, "golden documents were not upgraded", amiss)] if amiss else problems


def _unchecked(history: History, what: str, amiss: str) -> Problem:
    """Return what was not done because something else is wrong."""
    message, advice = f"{what}, because of the {amiss}", "fix what is above first"
    return problem_in(history.golden, "golden", message, advice)._replace(severity="info")


def with_chain(family: Family, chain: Chain) -> Family:
    """Return a copy of a family with another history; it is not registered for the model."""
    other = copy(family)
    known = vars(other)
    known.pop("schema_id", None)
    known.update(chain=chain, head=chain.head)
    return other


def _ill_fitting(history: History, chain: Chain | None) -> Iterator[Problem]:
    """Yield whether the operations of all steps cannot be applied one after the other."""
    try:
        if chain is not None:
            _ = chain.introduced
    except Exception as error:  # the family's operations, which do not fit each other
        message = f"operations cannot be applied one after the other: {error!r}"
        yield problem_in(history.migrations, "step", message, "fix them")


def _reused(family: Family) -> Iterator[Problem]:
    """Yield every field whose name meant something else in older versions."""
    for path, was in reused(family.chain.spellings, config_fields(cast("type[Section]", family.model), plugged=False)):
        message = f"{path} {REUSED.format(was=was)}"
        yield Problem("step", message, place=class_name(family.model), advice="choose another name")


def _released(history: History) -> tuple[Released, list[Problem]]:
    try:
        return read_released(history), []
    except TttcfgError as error:
        return Released(), [problem_in(history.released, "released", error.problems[0].message, RESTORE)]
