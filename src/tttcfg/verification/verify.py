"""The effective configuration checked against a checkpoint's tensors, without loading one."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tttcfg.documents.checkpoint import ADAPTERS_NAME
from tttcfg.documents.document import Document, supporting
from tttcfg.documents.effective import Origin, Verification, Weights, deciding
from tttcfg.errors import Place, Problem, quote
from tttcfg.evidence.dialects.dialect import Dialect
from tttcfg.evidence.evidence import gather
from tttcfg.evidence.tensor_names import DIALECTS
from tttcfg.evidence.verifier import NO_TENSOR, TAKEN, UNKNOWN_NAMES, VERIFIED, Verdict
from tttcfg.family.family import Derived, Family
from tttcfg.family.weights import binder, describes
from tttcfg.safetensors.header import Header
from tttcfg.safetensors.shards import is_index, is_index_of
from tttcfg.schema.fields import Role, plain, present
from tttcfg.verification.bindings import binding_of, contradiction, is_mismatched

GIVEN = "the configuration that was given"
"""The place of values of which nothing else is known."""
_GRAVITY = ("not_determined", "verified", "contradicted")


def weights_in(header: Header, family: Family, paths: Sequence[str] = ()) -> Weights:
    """Return what tensors prove of the family's fields, those with names of the family's own dialects included.

    Args:
        paths: All files with weights in the folder, the one of the header first.
    """
    own = tuple(one for one in family.knowledge.dialects if isinstance(one, Dialect))
    ours = [*own, *(one for one in DIALECTS.values() if one.family == family.name)]
    evidence = gather(header, ours[0] if ours and os.path.basename(header.name) == ADAPTERS_NAME else None, own)
    beside = tuple(path for path in paths[1:] if not (is_index(path) and is_index_of(path, paths[0])))
    return Weights(header, evidence, family.knowledge.proved(evidence), beside)


def verification(
    family: Family,
    weights: Weights,
    training: Any,
    derived: Derived,
    model: tuple[Mapping[str, Any] | None, str],
    document: Document | None,
    origins: Mapping[str, tuple[Origin, ...]],
    *,
    chosen: Collection[str] = (),
    demanded: bool = False,
) -> Verification:
    """Check a configuration against tensors.

    Args:
        model: The model's config.json, and what it is called.
        document: The checkpoint's, for the binding.
        origins: Where each value comes from.
        chosen: What overrides decided; where no shape depends on it, that contradicts nothing.
        demanded: Whether weights that no configuration of the family describes are an error without one, too.
    """

    def source(name: str) -> str:
        return "override" if name in chosen else deciding(origins[name]).source

    known = family.knowledge
    named = list(known.verifier(training, derived.config, weights.evidence, *model, source).verdicts())
    default = NO_TENSOR if weights.evidence.dialect or family.tensors is None else UNKNOWN_NAMES
    verdicts = {field.name: default for field in present(family.model_defining_fields, training)}
    for name, one in named:
        if _GRAVITY.index(one.outcome) >= _GRAVITY.index(verdicts.get(name, default).outcome):
            verdicts[name] = one
    for name, one in verdicts.items():
        if one == VERIFIED and name in origins and origins[name][0].source == "weights":
            verdicts[name] = TAKEN
    for name, supported in (document.recovered if document is not None else {}).items():
        verdict = verdicts.get(name)
        if verdict is not None and verdict.outcome == "not_determined" and source(name) == "checkpoint":
            verdicts[name] = Verdict("supported", shown=supporting(supported))
    binding = binding_of(weights.header, document, family)
    described = demanded or document is not None or _is_described(family, origins)
    found = [*_of_the_file(weights, family, described), *_contradictions(named, origins)]
    found += [
        Problem("merged", f"is {quote(one.value)}: {one.tensor}", name, severity="info")
        for name, one in weights.as_saved.items()
    ]
    found += _refuted(family, training, {name: one for name, one in origins.items() if name not in weights.as_saved})
    if binding.state == "contradicted":
        found.append(contradiction(binding, binder(family, weights.header.name)))
    elif binding.state == "unbound":
        severity = "warning" if document is not None and is_mismatched(weights.header, document) else "info"
        message = f"weights and configuration are not bound: {binding.reason}"
        found.append(Problem("unbound", message, severity=severity))
    found += [
        Problem("not_determined", one.shown, name, advice=one.advice, severity="warning" if one.advice else "info")
        for name, one in verdicts.items()
        if one.outcome == "not_determined"
    ]
    stated = known.in_model_config(model[0] or {})
    return Verification(weights, stated, _recorded(family, document), verdicts, *binding, tuple(found))


def contradictions(
    family: Family,
    weights: Weights,
    training: Any,
    model: tuple[Mapping[str, Any] | None, str],
    document: Document | None = None,
    *,
    derived: Derived | None = None,
    origins: Mapping[str, tuple[Origin, ...]] | None = None,
    place: Place | str = GIVEN,
) -> list[Problem]:
    """Return where a configuration contradicts the tensors, the model that they are for, or what binds them.

    Args:
        derived: What the layers read, if that is known already.
        origins: Where each value comes from, if that is known; what an override decided may depart from what is stored.
        place: Where all values come from otherwise.
    """
    derived = derived or family.derive(training, *model, weights.proved)
    if origins is None:
        source = "checkpoint" if document is not None else "config"
        absent = document.provenance_notes if document is not None else {}
        origins = {
            field.name: (Origin(source, plain(field.get(training)), absent.get(field.name, place)),)
            for field in present(family.public_fields, training)
        }
    origins = {**{key: (Origin("derived", None, place),) for key, place in derived.origins.items()}, **origins}
    chosen = [key for key, given in origins.items() if given and deciding(given).source == "override"]
    checked = verification(family, weights, training, derived, model, document, origins, chosen=chosen)
    return [one for one in (*derived.problems, *checked.findings) if one.severity == "error"]


def _recorded(family: Family, document: Document | None) -> dict[str, Any]:
    """Return the values in a document, by dotted path, without those that are missing from it."""
    if document is None:
        return {}
    fields = present(family.public_fields, document.training)
    return {one.name: plain(one.get(document.training)) for one in fields if one.name not in document.assumed}


def _is_described(family: Family, origins: Mapping[str, tuple[Origin, ...]]) -> bool:
    """Whether any field that decides names or shapes was given."""
    shaping = (field.name for field in family.model_defining_fields if field.role is Role.ARCHITECTURE)
    return any(one.source in ("override", "checkpoint", "config") for name in shaping for one in origins.get(name, ()))


def _of_the_file(weights: Weights, family: Family, described: bool) -> Iterator[Problem]:
    """Yield what is wrong with the weights themselves; `described` where a configuration claims to be theirs."""
    header, evidence = weights.header, weights.evidence
    if header.truncated is not None:
        yield header.truncated
    for problem in evidence.problems if family.tensors is not None else ():
        if problem.code != "dialect":
            yield problem
        elif not described:
            yield problem._replace(severity="warning")
        else:
            message = f"{problem.message}; nothing of this configuration is in these weights"
            yield problem._replace(message=message)
    yield from (note._replace(severity="warning") for note in evidence.notes)
    if family.tensors is not None and evidence.dialect is not None and not describes(family, evidence.dialect):
        message = f"are of {evidence.dialect.title}, which a configuration of {family.name} does not describe"
        severity = "error" if described else "info"
        yield Problem("dialect", f"the weights {message}", place=header.name, severity=severity)
    if weights.beside:
        message = f"{', '.join(weights.beside)} beside {header.name} was not read"
        advice = "give its path to check the configuration against it"
        yield Problem("weights", message, advice=advice, severity="warning")


def _contradictions(named: list[tuple[str, Verdict]], origins: Mapping[str, tuple[Origin, ...]]) -> Iterator[Problem]:
    for name, one in named:
        if one.outcome == "contradicted" and one.advice:
            place = one.place or (origins[name][0].place if name in origins else "")
            yield Problem("contradiction", f"is {one.configured}, but {one.shown}", name, place, advice=one.advice)


def _refuted(family: Family, training: Any, origins: Mapping[str, tuple[Origin, ...]]) -> Iterator[Problem]:
    """Yield everything in a configuration file that the tensors refute, where the tensors' value is used."""
    for name, (used, *overridden) in origins.items():
        given = next((one for one in overridden if one.source == "config"), None)
        if used.source == "weights" and given is not None and given.value != family.fields[name].get(training):
            message = f"is {quote(used.value)}, as {used.where} proves, not {quote(plain(given.value))}"
            yield Problem("restored", message, name, given.place, severity="warning")
