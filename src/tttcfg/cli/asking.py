"""Asking on a terminal what only the author of a change can say."""

from __future__ import annotations

import typer

from tttcfg.errors import printable
from tttcfg.schema_tools.answers import Absent, Answers, value_of
from tttcfg.schema_tools.missing import VALUE
from tttcfg.schema_tools.new import Draft


def asked(draft: Draft, answers: Answers) -> Answers:
    """Return `answers` with those to everything that a version lacks, asked one by one on standard error."""
    absent, reasons, renamed = dict(answers.absent), dict(answers.reasons), dict(answers.renamed)
    for lack in draft.lacks:
        question = f"{lack.path} is new, and {lack.maybe} is gone: is it that one?"
        if lack.kind == "absent" and lack.maybe and _confirmed(question):
            renamed[lack.maybe] = lack.path
        elif lack.kind == "absent":
            refused = lack.path in absent
            typer.echo(printable(f"{lack.path} {lack.message if refused else 'is new'}."), err=True)
            value = _answer(f"  {VALUE.lower()} that the program took before there was {lack.path}")
            absent[lack.path] = Absent(value_of(value), _answer("  how one knows, or why"))
        elif lack.path in renamed:
            continue
        elif lack.maybe and _confirmed(f"{lack.path} is gone: did it become the secret {lack.maybe}?"):
            renamed[lack.path] = lack.maybe
        else:
            reasons[lack.path] = _answer(f"{lack.path} is gone; why")
    return Answers(absent, reasons, renamed)


def _confirmed(question: str) -> bool:
    return typer.confirm(printable(question), err=True)


def _answer(question: str) -> str:
    return str(typer.prompt(printable(question), err=True))
