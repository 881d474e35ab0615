"""The result of resolving: one validated configuration, the origin of every value, and what to know about it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple

from typing_extensions import TypeVar

from tttcfg.documents.document import Document
from tttcfg.errors import SEVERITIES, ContradictionError, InputError, Place, Problem, printable
from tttcfg.family.extension import PassedThrough
from tttcfg.family.family import Family, Layers, Model, family_of
from tttcfg.schema.defining import defining_value
from tttcfg.schema.fields import Role, Section, plain, present

if TYPE_CHECKING:  # what only a checkpoint with weights needs
    from tttcfg.evidence.evidence import Evidence, Proof
    from tttcfg.evidence.verifier import Verdict
    from tttcfg.safetensors.header import Header

Settings = TypeVar("Settings", bound=Section)


class Origin(NamedTuple):
    """The value that one source gives a field.

    Attributes:
        source: The kind of source: override, checkpoint, config, weights, derived or default.
        place: Where exactly: a line of a file, a file, or the name of what is no file.
    """

    source: str
    value: Any
    place: Place | str

    @property
    def where(self) -> str:
        """The place as text."""
        return str(self.place)


def deciding(given: Sequence[Origin]) -> Origin:
    """Return the origin of a field's own value, also where that is null and the layers read what is derived for it."""
    return next((one for one in given if one.source != "derived"), given[0])


_SHOWN = 3
_LONGEST = 110


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _text(value: Any) -> str:
    return _clipped(printable(json.dumps(plain(value), ensure_ascii=False)))


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
    """A checkpoint's tensors: their header, and what follows from it.

    `proved` is by dotted path, and so is `as_saved`, what saving has changed from the configuration; `beside`
    names files with tensors that lie there as well and were not read.
    """

    header: Header
    evidence: Evidence
    proved: Mapping[str, Proof]
    beside: tuple[str, ...] = ()
    as_saved: Mapping[str, Proof] = {}


@dataclass(frozen=True)
class Verification:
    """A configuration checked against a checkpoint's tensors.

    Attributes:
        weights: The tensors that were read.
        model: The values in config.json, by dotted path.
        document: The values in the saved configuration, by dotted path; empty where there is none.
        verdicts: For every architecture and computation field: verified, contradicted, not_determined or supported (by
            gradients), and why.
        binding: Whether weights and saved configuration name each other: bound, unbound or contradicted.
        findings: All contradictions, values of a configuration file that the tensors refute, and why what is not
            verified cannot be.
    """

    weights: Weights
    model: Mapping[str, Any]
    document: Mapping[str, Any]
    verdicts: Mapping[str, Verdict]
    binding: str
    binding_reason: str
    findings: tuple[Problem, ...]

    @property
    def dialect(self) -> str | None:
        """The name of the dialect that the tensors are in; None where it is unknown."""
        return self.weights.evidence.dialect.name if self.weights.evidence.dialect else None

    @property
    def proved(self) -> Mapping[str, Any]:
        """What the tensors prove, by dotted path."""
        return {name: proof.value for name, proof in self.weights.proved.items()}


@dataclass(frozen=True, repr=False)
class Effective(Generic[Model, Layers]):
    """One validated effective configuration.

    Attributes:
        training: The whole configuration.
        ttt: What the TTT layers read; None where TTT is off or the model's dimensions are unknown.
        origins: By dotted path, every source that has a value, the one that is used first.
        findings: What to know: contradictions, deviations, unknown values; the gravest first.
        digest: Of the architecture and computation fields; equal digests compute the same.
        provenance: What saving the result records of where it comes from.
        verification: The result checked against the checkpoint's tensors; None where there are none.
        parts: The configuration of every extension by name, as a document of its own.
        passed_through: The sections of extensions that are not installed, as the checkpoint's document has them.
    """

    training: Model
    ttt: Layers | None
    origins: Mapping[str, tuple[Origin, ...]]
    findings: tuple[Problem, ...]
    digest: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    verification: Verification | None = field(default=None, compare=False)
    parts: Mapping[str, Document] = field(default_factory=dict)
    passed_through: Mapping[str, PassedThrough] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = [f"    {_clipped(one.labelled())}" for one in self.findings[:_SHOWN]]
        more = [f"    and {len(self.findings) - _SHOWN} more in .findings"] if len(self.findings) > _SHOWN else []
        return "\n".join((f"<{self._title}", *(f"  {line}" for line in self._summary), *shown, *more)) + ">"

    def _repr_html_(self) -> str:
        """Return the settings by section, each with what decided it: what a notebook shows."""
        from tttcfg.formats.html import sections_html  # only a notebook needs it

        sections: dict[str, list[tuple[str, ...]]] = {}
        for name, (used, *others) in self.shown_origins.items():
            section, _, last = name.rpartition(".")
            source = used.source if used.where == used.source else f"{used.source} {used.where}"
            overridden = "; ".join(f"{one.source}: {_text(one.value)}" for one in others if one.source != "default")
            sections.setdefault(section or "top level", []).append((last, _text(used.value), source, overridden))
        notes = [*self._summary, *(one.labelled() for one in self.findings if one.severity != "info")]
        return sections_html(self._title, notes, ("setting", "value", "from", "in place of"), sections)

    @property
    def _title(self) -> str:
        return f"Effective configuration of {self.family.name}"

    @property
    def _summary(self) -> list[str]:
        """The sources of the values, the verdicts on the weights, and the number of findings."""
        sources = Counter(given[0].source for given in self.origins.values())
        lines = [
            "settings  " + ", ".join(f"{count} from {source}" for source, count in sources.most_common()),
            f"layers    {type(self.ttt).__name__ if self.ttt is not None else 'not derived'}",
            f"digest    {self.digest}",
        ]
        if self.verification is not None:
            verdicts = Counter(one.outcome for one in self.verification.verdicts.values())
            outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(verdicts.items()))
            lines.append(f"weights   {self.verification.binding}; {outcomes}")
        severities = Counter(one.severity for one in self.findings)
        counted = [f"{severities[one]} {one}{'s' * (severities[one] > 1)}" for one in SEVERITIES if one in severities]
        lines.append(f"findings  {', '.join(counted) or 'none'}")
        return lines

    @property
    def family(self) -> Family[Model, Layers]:
        """The family whose model `training` is."""
        return family_of(type(self.training))

    def settings(self, *roles: Role) -> dict[str, Any]:
        """Return the settings of `roles` by dotted path, as JSON holds them; without `roles` all, secrets excepted."""
        fields = present(self.family.public_fields, self.training)
        return {one.name: plain(one.get(self.training)) for one in fields if not roles or one.role in roles}

    @property
    def is_contradicted(self) -> bool:
        """Whether its parts cannot be true together, so that nothing may be computed with it."""
        return bool(self.contradictions)

    @property
    def contradictions(self) -> tuple[Problem, ...]:
        """The findings because of which its parts cannot be true together."""
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def shown_origins(self) -> Mapping[str, tuple[Origin, ...]]:
        """The origins to show: of a contradicted result those of the fields that contradict something."""
        if not self.is_contradicted:
            return self.origins
        refused = {one.key for one in self.contradictions}
        return {name: given for name, given in self.origins.items() if name in refused}

    def extension(self, model: type[Settings]) -> Settings:
        """Return the settings of the extension whose model is `model`.

        Raises:
            InputError: No extension of the family has it; `tttcfg.register` makes one known.
        """
        for part in self.parts.values():
            if type(part.training) is model:
                found: Settings = part.training
                return found
        known = ", ".join(type(part.training).__name__ for part in self.parts.values()) or "none"
        message = f"is the model of no extension that is known here ({known})"
        raise InputError(Problem("extension", message, model.__name__))


def attempted(resolve: Callable[[], Effective]) -> tuple[Effective, ContradictionError | None]:
    """Return what resolving returns, or what it found contradicted, with the error that it raised then."""
    try:
        return resolve(), None
    except ContradictionError as error:
        if not isinstance(error.effective, Effective):
            raise
        return error.effective, error


def configuration_digest(training: Any, family: Family) -> str:
    """Return the SHA-256 of what decides the tensors and what they compute, independent of the machine."""
    fields = present(family.model_defining_fields, training)
    return digest_of({one.name: defining_value(one, one.get(training)) for one in fields}, family.head)


def whole_digest(training: Any, family: Family, parts: Mapping[str, Document]) -> str:
    """Return the digest of a configuration and of what its extensions decide, if they decide anything."""
    own, of_parts = configuration_digest(training, family), part_digests(parts)
    return digest_of({"": own, **of_parts}, family.head) if of_parts else own


def part_digests(parts: Mapping[str, Document]) -> dict[str, str]:
    """Return the digest of every extension that decides tensors or what they compute, by name."""
    deciding = (name for name, part in parts.items() if part.family.model_defining_fields)
    return {name: configuration_digest(parts[name].training, parts[name].family) for name in sorted(deciding)}


def digest_of(fields: Mapping[str, Any], version: int) -> str:
    """Return the digest of plain values by dotted path, as fields of a schema version."""
    text = json.dumps({"schema_version": version, "fields": fields}, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


UNCONFIRMED = "it cannot be confirmed that the weights were trained with it"
