"""Checking one configuration against what tensors prove."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from tttcfg.errors import quote
from tttcfg.evidence.evidence import Evidence
from tttcfg.evidence.readings import Proof
from tttcfg.evidence.verdicts import NOT_SHOWN, VERIFIED, Verdict
from tttcfg.schema.fields import plain

Training = TypeVar("Training")
Config = TypeVar("Config")


@dataclass(frozen=True)
class Verifier(Generic[Training, Config]):
    """One configuration, and what tensors prove; a family's own adds `verdicts`.

    Attributes:
        config: What the layers read; None where it is not derived.
        model: The model's config.json, and its name; None where there is none.
        source: Returns what decided a field; `override` where it was chosen for this run.
    """

    training: Training
    config: Config
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
        if value == proof.value:
            return key, VERIFIED
        return key, self.contradicted(value, proof, f"override {key}={typed(proof.value)}")

    def contradicted(self, said: Any, proof: Proof, advice: str = "", where: str = "") -> Verdict:
        shown = f"the weights have {quote(plain(proof.value))} ({proof.tensor})"
        return Verdict("contradicted", quote(said), shown, advice, where)


def typed(value: Any) -> str:
    """Return a value as it is typed in an override."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
