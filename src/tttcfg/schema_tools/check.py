"""Whether model, frozen schemas, migrations, golden documents and declarations of a family agree."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path

from tttcfg.errors import Problem, TttcfgError
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain
from tttcfg.schema_tools.declarations import indescribable, refused_defaults, undeclared
from tttcfg.schema_tools.frozen import drift, read_frozen, unlike_steps
from tttcfg.schema_tools.goldens import unlike_goldens
from tttcfg.schema_tools.layout import Sources, shown
from tttcfg.schema_tools.plan import REUSED, reused
from tttcfg.schema_tools.released import Released, read_released, unreleased
from tttcfg.schema_tools.steps import read_steps
from tttcfg.schema_tools.write import cut_short


def check(family: Family, golden: Path, options: str = "") -> list[Problem]:
    """Return everything that is missing or wrong in the history of a family's schema; nothing is written.

    What cannot be looked at because something else is wrong is among the problems too.

    Args:
        golden: The folder of golden documents.
        options: How commands name this family and folder, for the commands that mend: ` --family module:NAME`.

    Raises:
        InputError: The packages of the family cannot be imported.
    """
    sources = Sources(family, golden, options)
    steps = read_steps(sources)
    problems = list(steps.problems)
    ill_fitting = list(_ill_fitting(sources, steps.chain))
    whole = with_chain(family, steps.chain) if steps.chain is not None and not ill_fitting else None
    head = max((step.version for step in steps.steps), default=-1)
    frozen, found = read_frozen(sources, head)
    problems += found
    if steps.chain is not None:
        problems += list(unlike_steps(sources, frozen, steps.chain)) or ill_fitting
    released, found = _released(sources)
    problems += [*found, *unreleased(sources, released, head)]
    problems += cut_short(sources)
    declared = [*undeclared(family.model), *indescribable(family)]
    problems += declared or refused_defaults(family.model)
    if steps.steps and (whole is None or declared):
        what, which = ("steps", "steps") if whole is None else ("declarations", "fields")
        message = f"golden documents and drift cannot be looked at before the {what} above are mended"
        return [*problems, Problem("golden", message, place=shown(golden), advice=f"mend the {which} first")]
    if whole is not None and steps.steps:
        sources = Sources(whole, golden, options)
        problems += _reused(sources)
        drifted = list(drift(sources, frozen, released.newest >= head))
        problems += [*drifted, *unlike_goldens(sources, frozen, upgrading=not drifted)]
    return list(dict.fromkeys(problems))


def with_chain(family: Family, chain: Chain) -> Family:
    """Return a family with another history, which nothing that knows the family by its model finds."""
    other = copy(family)
    known = vars(other)
    known.pop("schema_id", None)
    known.update(chain=chain, head=chain.head)
    return other


def _ill_fitting(sources: Sources, chain: Chain | None) -> Iterator[Problem]:
    """Yield whether the operations of all steps cannot be applied one after the other."""
    try:
        if chain is not None:
            _ = chain.introduced
    except Exception as error:  # the family's operations, which do not fit each other
        message = f"operations cannot be applied one after the other: {error!r}"
        yield Problem("step", message, place=shown(sources.migrations), advice="mend them")


def _reused(sources: Sources) -> Iterator[Problem]:
    """Yield every field by a name that meant something else in older versions."""
    family = sources.family
    for path, was in reused(family.chain.spellings, family.fields):
        where = f"{family.model.__module__}.{family.model.__qualname__}"
        yield Problem("step", f"{path} {REUSED.format(was=was)}", place=where, advice="take another name")


def _released(sources: Sources) -> tuple[Released, list[Problem]]:
    try:
        return read_released(sources), []
    except TttcfgError as error:
        causes = [problem.message for problem in error.problems]
        return Released(), [
            Problem("released", causes[0], place=shown(sources.released), advice="bring it back from git")
        ]
