"""The missing statements of a change, asked of its author on a terminal."""

from __future__ import annotations

import typer

from tttcfg.errors import printable
from tttcfg.schema_tools.answers import Absent, Answers, value_of
from tttcfg.schema_tools.missing import VALUE
from tttcfg.schema_tools.new import Draft


def asked(draft: Draft, answers: Answers) -> Answers:
    """Return `answers` with those to every missing statement, asked one by one on standard error."""
    absent, reasons, renamed = dict(answers.absent), dict(answers.reasons), dict(answers.renamed)
    for one in draft.missing:
        question = f"{one.key} is new, and {one.suggestion} is gone: is it that one?"
        if one.code == "absent" and one.suggestion and _confirmed(question):
            renamed[one.suggestion] = one.key
        elif one.code == "absent":
            refused = one.key in absent
            typer.echo(printable(f"{one.key} {one.message if refused else 'is new'}."), err=True)
            value = _answer(f"  {VALUE.lower()} that the program took before there was {one.key}")
            absent[one.key] = Absent(value_of(value), _answer("  how one knows, or why"))
        elif one.key in renamed:
            continue
        elif one.suggestion and _confirmed(f"{one.key} is gone: did it become the secret {one.suggestion}?"):
            renamed[one.key] = one.suggestion
        else:
            reasons[one.key] = _answer(f"{one.key} is gone; why")
    return Answers(absent, reasons, renamed)


def _confirmed(question: str) -> bool:
    return typer.confirm(printable(question), err=True)


def _answer(question: str) -> str:
    return str(typer.prompt(printable(question), err=True))
