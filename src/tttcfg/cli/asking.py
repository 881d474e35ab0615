"""Asking on a terminal what only the author of a change can say."""

from __future__ import annotations

import typer

from tttcfg.errors import printable
from tttcfg.evolution.answers import value_of
from tttcfg.evolution.making import Draft
from tttcfg.evolution.planning import VALUE, Absent, Answers


def asked(draft: Draft, answers: Answers) -> Answers:
    """Return `answers` with those to everything that a version lacks, asked one by one on standard error."""
    absent, reasons, renamed = dict(answers.absent), dict(answers.reasons), dict(answers.renamed)
    for lack in draft.lacks:
        if lack.maybe and typer.confirm(
            printable(f"{lack.path} is new, and {lack.maybe} is gone: is it that one?"), err=True
        ):
            renamed[lack.maybe] = lack.path
        elif lack.kind == "absent":
            typer.echo(printable(f"{lack.path} is new."), err=True)
            value = _answer(f"  {VALUE.lower()} that the program took before there was {lack.path}")
            absent[lack.path] = Absent(value_of(value), _answer("  how one knows, or why"))
        elif lack.path not in renamed:
            reasons[lack.path] = _answer(f"{lack.path} is gone; why")
    return Answers(absent, reasons, renamed)


def _answer(question: str) -> str:
    return str(typer.prompt(printable(question), err=True))
