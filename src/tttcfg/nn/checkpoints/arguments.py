"""What a `Checkpointer` is given, checked to be what can be saved."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from typing import Any

from tttcfg.documents.document import Document
from tttcfg.errors import ContradictionError, InputError, Problem, quote
from tttcfg.nn.checkpoints.agreement import configured, training_side
from tttcfg.resolving.families import as_document


def configuration_of(training_args: Any, full_finetuning: bool) -> Document:
    """Return the configuration that was given as a document.

    Raises:
        InputError: There is none, or it is no configuration.
        ContradictionError: In it not the whole model is trained, and `full_finetuning` was given.
    """
    if training_args is None:
        message = (
            "is missing: a checkpoint without its configuration cannot be restored; give what tttcfg.resolve returned"
        )
        raise InputError(Problem("missing", message, "training_args"))
    document = as_document(training_args)
    key = training_side(document.family).full_finetuning
    if full_finetuning and configured(document.family, document.training, key) is False:
        message = "is false in the configuration, but Checkpointer was given full_finetuning=True"
        raise ContradictionError([Problem("contradiction", message, key)])
    return document


def kept(number: Any) -> int | None:
    """Return how many checkpoints stay, as a number of Python's, whichever library's was given; None keeps all.

    Raises:
        InputError: It is no whole number from 1 up.
    """
    if number is None:
        return None
    try:
        found = operator.index(number)
    except TypeError:
        raise InputError(
            Problem("rejected", f"{number!r} is no whole number; give 1 or more, or None", "num_ckpt_keep")
        ) from None
    if found < 1:
        message = f"{found} would keep no checkpoint; give 1 or more, or None"
        raise InputError(Problem("rejected", message, "num_ckpt_keep"))
    return found


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's config.json as it was given.

    Raises:
        InputError: It has values that JSON does not have; all of them are named.
    """
    unknown = [name for name, value in config.items() if not _is_json({name: value})]
    if unknown:
        raise InputError(
            Problem("rejected", f"is {quote(repr(config[name]))}, which JSON does not have", f"config.{name}")
            for name in unknown
        )
    return dict(config)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
