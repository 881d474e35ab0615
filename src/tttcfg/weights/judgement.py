"""What is said of one field in view of the tensors."""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["verified", "contradicted", "unverifiable"]


class Judgement(NamedTuple):
    """Whether one field is verified or contradicted by a tensor, or why it is neither.

    Attributes:
        said: What the configuration says, where it is contradicted.
        shown: What the weights say then, and which tensor; or why nothing can be verified.
        advice: What to do about a contradiction; empty where it follows from another one.
        where: Where that stands, if not in the configuration.
    """

    verdict: Verdict
    said: str = ""
    shown: str = ""
    advice: str = ""
    where: str = ""


def unverifiable(reason: str) -> Judgement:
    return Judgement("unverifiable", shown=reason)


VERIFIED = Judgement("verified")
NO_TENSOR = unverifiable("no tensor depends on it")
UNKNOWN_NAMES = unverifiable("nobody knows what these tensors are")
"""Said of every field where the dialect is unknown."""
