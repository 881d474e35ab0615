"""What is said of one field in view of the tensors."""

from __future__ import annotations

from typing import Literal, NamedTuple

Outcome = Literal["verified", "contradicted", "not_determined"]


class Verdict(NamedTuple):
    """Whether one field is verified or contradicted by a tensor, or why it is neither.

    Attributes:
        said: What the configuration says, where it is contradicted.
        shown: What the weights say then, and which tensor; or what the outcome rests on.
        advice: What to do about it; empty where that follows from another field, or nothing is to be done.
        where: Where that stands, if not in the configuration.
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
"""Said of a field that no configuration decided."""
UNDISPUTED = Verdict("verified", shown="the tensors show it, and nothing says otherwise")
"""Said of a field that only a model's config.json would decide, where there is none or it does not say it."""
NO_TENSOR = not_determined("no tensor depends on it")
NOT_SHOWN = not_determined("no tensor of this file shows it")
UNKNOWN_NAMES = not_determined("nobody knows what these tensors are")
"""Said of every field where the dialect is unknown."""
