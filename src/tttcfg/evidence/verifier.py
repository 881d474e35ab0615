"""Checking one configuration against what tensors prove: the verdicts on its fields."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from tttcfg.errors import quote
from tttcfg.evidence.evidence import Evidence, Proof
from tttcfg.schema.fields import plain

Training = TypeVar("Training")
Layers = TypeVar("Layers")
Outcome = Literal["verified", "contradicted", "not_determined", "supported"]


class Verdict(NamedTuple):
    """Whether one field is verified or contradicted by a tensor, or why it is neither.

    What no tensor determines is `supported` where gradients do (`tttcfg.nn.recover`), which is no verification.

    Attributes:
        configured: The configuration's value, where it is contradicted.
        shown: The weights' value then, and which tensor shows it; or what the outcome rests on.
        advice: What to do about it; empty where that follows from another field, or nothing is to be done.
        place: The place of that value, if not in the configuration.
    """

    outcome: Outcome
    configured: str = ""
    shown: str = ""
    advice: str = ""
    place: str = ""


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


@dataclass(frozen=True)
class Verifier(Generic[Training, Layers]):
    """One configuration, and what tensors prove; a family's own adds `verdicts`.

    Attributes:
        config: What the layers read; None where it is not derived.
        model: The model's config.json, and its name; None where there is none.
        source: Returns what decided a field; `override` where it was chosen for this run.
    """

    training: Training
    config: Layers
    evidence: Evidence
    model: Mapping[str, Any] | None
    model_name: str
    source: Callable[[str], str]

    def verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """Yield fields by dotted path, each with its verdict; of several of one field, the gravest counts."""
        return iter(())

    def fields(self, proved: Mapping[str, Proof], *names: str) -> Iterator[tuple[str, Verdict]]:
        """Yield whether each of `names`, by dotted path, is what is proved of it; that nothing is, where nothing is."""
        for name in names:
            if name in proved:
                yield self.equal(name, attrgetter(name)(self.training), proved[name])
            else:
                yield name, NOT_SHOWN

    def equal(self, key: str, value: Any, proof: Proof) -> tuple[str, Verdict]:
        """Return a field's path with its verdict: verified where `value` is what is proved, else contradicted.

        Args:
            key: The dotted path of the field, which the advice overrides.
            value: The configuration's value.
            proof: What the tensors prove of it; compared as it is, so in the form that the configuration has.
        """
        if value == proof.value:
            return key, VERIFIED
        return key, self.contradicted(value, proof, override(key, proof.value))

    def contradicted(self, configured: Any, proof: Proof, advice: str = "", place: str = "") -> Verdict:
        """Return the verdict that tensors show another value than is configured.

        Args:
            configured: The configuration's value, as it is quoted in the message.
            proof: What the tensors prove.
            advice: What to do about it. Without one, the contradiction is not reported as an error: it follows from
                that of another field.
            place: Where the configured value is, if not where the configuration is from.
        """
        shown = f"the weights have {quote(plain(proof.value))} ({proof.tensor})"
        return Verdict("contradicted", quote(configured), shown, advice, place)


def override(key: str, value: Any) -> str:
    """Return the advice to override a field, as it can be pasted into a shell."""
    return f"override {shlex.quote(f'{key}={typed(value)}')}"


def typed(value: Any) -> str:
    """Return a value as it is typed in an override."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
