"""Secrets to be planted, and everything that a call shows in any way."""

from __future__ import annotations

import io
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import tttcfg

CHOSEN = "hunter2-do-not-print"
"""One that a person made up."""
GENERATED = "hf_Qw3rTy5uIoPaSdFgHjKl7890ZxCvBn"
"""One that a service made."""
PADDED = "aHVudGVyMi1kby1ub3QtcHJpbnQtaXQ=="
NUMBER = "0123456789012"
SECRETS = (CHOSEN, GENERATED, PADDED, NUMBER)


class Client:
    """A live object with a secret in it, as trackers have."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Client(api_key={self.secret!r}, {self.secret})"

    __str__ = __repr__


def shown_by(call: Callable[[], Any]) -> str:
    """Return all that a call prints, warns of, returns or raises, in every form in which it may be shown."""
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as warned, redirect_stdout(printed), redirect_stderr(printed):
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            parts = ["", *(text for one in chain_of(error) for text in _shown(one)), *traceback.format_exception(error)]
        else:
            parts = [repr(result), str(result), *_of_result(result)]
    return "\n".join([printed.getvalue(), *(str(one.message) for one in warned), *parts])


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and those that it was raised from or while they were handled."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _shown(error: BaseException) -> Iterator[str]:
    yield from (str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", "")))
    yield repr({key: value for key, value in vars(error).items() if key != "effective"})
    yield from (repr(getattr(error, name, "")) for name in ("doc", "object", "problem", "context"))
    if isinstance(error, tttcfg.TttcfgError):
        yield pickle.dumps(error).decode("latin-1")
        yield repr([one.as_json() for one in error.problems]) + repr([one.labelled() for one in error.problems])


def _of_result(result: Any) -> Iterator[str]:
    if isinstance(result, tttcfg.Effective):
        yield repr((result.findings, result.origins, result.provenance, result.verification))
        yield from (one.labelled() for one in result.findings)
        yield tttcfg.explain(result)
    if isinstance(result, (tttcfg.Document, tttcfg.Effective)):
        yield repr((result.provenance, result.passed_through))
