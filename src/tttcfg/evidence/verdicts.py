"""The verdicts of the tensors on one field."""

from __future__ import annotations

from typing import Literal, NamedTuple

Outcome = Literal["verified", "contradicted", "not_determined"]


class Verdict(NamedTuple):
    """Whether one field is verified or contradicted by a tensor, or why it is neither.

    Attributes:
        said: The configuration's value, where it is contradicted.
        shown: The weights' value then, and which tensor shows it; or what the outcome rests on.
        advice: What to do about it; empty where that follows from another field, or nothing is to be done.
        where: The place of that value, if not in the configuration.
    """

    outcome: Outcome
    said: str = ""
    shown: str = ""
    advice: str = ""
    where: str = ""


def not_determined(reason: str) -> Verdict:
    return Verdict("not_determined", shown=reason)


VERIFIED = Verdict("verified")
"""The tensors prove the value."""
TAKEN = Verdict("verified", shown="taken from the tensors themselves")
"""For a field that no configuration decided."""
UNDISPUTED = Verdict("verified", shown="the tensors show it, and nothing contradicts it")
"""For a field that only a model's config.json would decide, where there is none or it does not have it."""
NO_TENSOR = not_determined("no tensor depends on it")
NOT_SHOWN = not_determined("no tensor of this file shows it")
UNKNOWN_NAMES = not_determined("these tensors are of no known program")
"""For every field where the dialect is unknown."""
