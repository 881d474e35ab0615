"""Weights of a family that declares nothing about tensors: nothing is proved, and nothing contradicted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tttcfg.errors import InputError, Place, Problem
from tttcfg.weights.header import Header
from tttcfg.weights.judgement import Judgement

BINDER = ""
DIALECTS: Collection[str] = ()


def proved(_evidence: Any, /) -> Mapping[str, Any]:
    return {}


def alike(*_given: Any) -> tuple[str, ...]:
    return ()


def as_saved(*_given: Any) -> dict[str, Any]:
    return {}


def left_open(*_given: Any) -> tuple[str, ...]:
    return ()


def in_model_config(_model: Mapping[str, Any], /) -> dict[str, Any]:
    return {}


def read(path: str, /) -> Header:
    message = "is of a format that nobody reads: the family names it in weight_names, and its weights has no read"
    raise InputError(Problem("plugin", message, place=Place(path)))


class Judge:
    """Has nothing to say of any field."""

    def __init__(self, *given: Any) -> None:
        del given

    def judgements(self) -> Iterator[tuple[str, Judgement]]:
        return iter(())
