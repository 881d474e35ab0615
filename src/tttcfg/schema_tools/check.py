"""Whether model, frozen schemas, migrations, golden documents and declarations of a family agree."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace

from tttcfg.errors import Problem, TttcfgError
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain
from tttcfg.schema_tools.declarations import indescribable, refused_defaults, undeclared
from tttcfg.schema_tools.frozen import drift, read_frozen, unconverted, unlike_steps
from tttcfg.schema_tools.goldens import unlike_goldens
from tttcfg.schema_tools.layout import RESTORE, History, class_name, problem_in
from tttcfg.schema_tools.plan import REUSED, reused
from tttcfg.schema_tools.released import Released, read_released, unreleased
from tttcfg.schema_tools.steps import read_steps
from tttcfg.schema_tools.write import interrupted


def check(history: History) -> list[Problem]:
    """Return everything that is missing or wrong in the history of a family's schema; nothing is written.

    What cannot be checked because something else is wrong is among the problems too.

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
    if steps.chain is not None:
        problems += list(unlike_steps(history, frozen, steps.chain)) or ill_fitting
    released, found = _released(history)
    problems += [*found, *unreleased(history, released, head)]
    if steps.chain is not None:
        problems += unconverted(history, frozen, steps.chain, released.newest)
    problems += interrupted(history)
    declared = [*undeclared(family.model), *indescribable(family)]
    problems += declared or refused_defaults(family.model)
    if steps.steps and (whole is None or declared):
        which = "steps" if whole is None else "declarations"
        message = f"golden documents and drift cannot be checked before the {which} above are fixed"
        return [*problems, problem_in(history.golden, "golden", message, f"fix the {which} first")]
    if whole is not None and steps.steps:
        history = replace(history, family=whole)
        problems += _reused(whole)
        drifted = list(drift(history, frozen, released.newest >= head))
        problems += [*drifted, *unlike_goldens(history, frozen, upgrading=not drifted)]
    return list(dict.fromkeys(problems))


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
    for path, was in reused(family.chain.spellings, family.fields):
        message = f"{path} {REUSED.format(was=was)}"
        yield Problem("step", message, place=class_name(family.model), advice="choose another name")


def _released(history: History) -> tuple[Released, list[Problem]]:
    try:
        return read_released(history), []
    except TttcfgError as error:
        return Released(), [problem_in(history.released, "released", error.problems[0].message, RESTORE)]
