"""What a `Checkpointer` is given, checked to be what can be saved."""

from __future__ import annotations

import contextlib
import json
import operator
from collections.abc import Mapping
from typing import Any

from tttcfg.documents.document import Document
from tttcfg.errors import ContradictionError, InputError, Problem, quote
from tttcfg.nn.checkpoints.agreement import training_side
from tttcfg.resolving.families import as_document


def configuration_of(training_args: Any, full_finetuning: bool) -> Document:
    """Return the configuration that was given as a document.

    Raises:
        InputError: There is none, or it is not a configuration.
        ContradictionError: In it not the whole model is trained, and `full_finetuning` was given.
    """
    if training_args is None:
        message = "is missing, and a checkpoint without its configuration cannot be restored"
        raise InputError(Problem("missing", message, "training_args", advice="give what tttcfg.resolve returned"))
    document = as_document(training_args)
    side = training_side(document.family)
    if full_finetuning and side.setting(document.training, side.full_finetuning) is False:
        message = "is false in the configuration, but Checkpointer was given full_finetuning=True"
        raise ContradictionError([Problem("contradiction", message, side.full_finetuning)])
    return document


def kept(number: Any) -> int | None:
    """Return how many checkpoints stay, as a number of Python's, whichever library's was given; None keeps all.

    Raises:
        InputError: It is not a whole number from 1.
    """
    if number is None:
        return None
    with contextlib.suppress(TypeError):
        if (found := operator.index(number)) >= 1:
            return found
    raise InputError(Problem("rejected", f"must be an integer of at least 1, or None, not {number!r}", "num_ckpt_keep"))


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
