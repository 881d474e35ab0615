"""The result of resolving: one validated configuration, the origin of every value, and what to know about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple

from typing_extensions import TypeVar

from tttcfg.errors import Problem
from tttcfg.family import Family
from tttcfg.fields import plain

if TYPE_CHECKING:  # what only a checkpoint with weights needs
    from tttcfg.weights.evidence import Evidence
    from tttcfg.weights.header import Header
    from tttcfg.weights.judgement import Judgement
    from tttcfg.weights.readings import Proof

Training = TypeVar("Training", default=Any)
Layers = TypeVar("Layers", default=Any)


class Origin(NamedTuple):
    """One source's say about a field: the kind of source, its value, and where exactly it stands."""

    source: str
    value: Any
    where: str


class Finding(NamedTuple):
    """Something to know about the result; `severity` is info, warning or error, `code` is in `errors.CODES`."""

    severity: str
    code: str
    key: str
    message: str


class Binding(NamedTuple):
    """Whether weights and a saved configuration belong together (bound, unbound or contradicted), and why."""

    state: Literal["bound", "unbound", "contradicted"]
    reason: str


class Origins(Mapping[str, tuple[Origin, ...]]):
    """The origins of all fields by dotted path; read-only, and can be pickled as the rest can."""

    def __init__(self, given: Mapping[str, tuple[Origin, ...]]) -> None:
        self._given = dict(given)

    def __getitem__(self, name: str) -> tuple[Origin, ...]:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __repr__(self) -> str:
        return f"Origins({self._given!r})"


class Weights(NamedTuple):
    """A checkpoint's tensors: what their header says, and what follows from it.

    `proved` is by dotted path; `beside` names files with tensors that lie there as well and were not read.
    """

    header: Header
    evidence: Evidence
    proved: Mapping[str, Proof]
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What a checkpoint's tensors say of a configuration.

    Attributes:
        weights: The tensors that were read.
        model: What config.json says, by dotted path.
        document: What the saved configuration says, by dotted path; empty where there is none.
        verdicts: For every architecture and computation field: verified, contradicted or unverifiable, and why.
        binding: Whether weights and saved configuration name each other: bound, unbound or contradicted.
        findings: All contradictions, what a configuration file says and the tensors refute, and why what is not
            verified cannot be.
    """

    weights: Weights
    model: Mapping[str, Any]
    document: Mapping[str, Any]
    verdicts: Mapping[str, Judgement]
    binding: str
    binding_reason: str
    findings: tuple[Finding, ...]

    @property
    def dialect(self) -> str | None:
        """The name of the dialect that the tensors are in; None where nobody knows it."""
        return self.weights.evidence.dialect.name if self.weights.evidence.dialect else None

    @property
    def proved(self) -> Mapping[str, Any]:
        """What the tensors prove, by dotted path."""
        return {name: proof.value for name, proof in self.weights.proved.items()}


@dataclass(frozen=True)
class Effective(Generic[Training, Layers]):
    """One validated effective configuration.

    Attributes:
        training: The whole configuration.
        ttt: What the TTT layers read; None where TTT is off or the model's dimensions are unknown.
        origins: By dotted path, every source that gave the value, the winner first.
        findings: What to know: deviations, unknown values, contradictions.
        digest: Of the architecture and computation fields; equal digests compute the same.
        provenance: What saving the result records of where it comes from.
        verification: What the checkpoint's tensors say of it; None where there are none.
    """

    training: Training
    ttt: Layers | None
    origins: Mapping[str, tuple[Origin, ...]]
    findings: tuple[Finding, ...]
    digest: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    verification: Verification | None = field(default=None, compare=False)


def finding(severity: str, problem: Problem) -> Finding:
    """Return a problem as a finding; its place becomes part of the sentence."""
    where = str(problem.place)
    return Finding(severity, problem.code, problem.key, f"{problem.message} ({where})" if where else problem.message)


def digest(training: Any, family: Family) -> str:
    """Return the SHA-256 of what decides the tensors and what they compute, independent of the machine."""
    return digest_of({leaf.name: plain(leaf.get(training)) for leaf in family.decisive_leaves}, family.head)


def digest_of(fields: Mapping[str, Any], version: int) -> str:
    """Return the digest of plain values by dotted path, as fields of a schema version."""
    text = json.dumps({"schema_version": version, "fields": fields}, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
