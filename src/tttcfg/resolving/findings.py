"""What to know about a result: where it departs from the checkpoint, and what nobody can vouch for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tttcfg.documents.document import DOCUMENT_NAME, Document
from tttcfg.documents.effective import UNVOUCHED, Finding, Origin, finding
from tttcfg.errors import quote
from tttcfg.family.family import Family
from tttcfg.migration.record import LEGACY
from tttcfg.resolving.config import Given
from tttcfg.resolving.sources import Sources
from tttcfg.schema.fields import ConfigField, Role, Section, plain
from tttcfg.urls import is_url, shown

STANDS_IN = "its version's default stands in"


def source_findings(
    family: Family, sources: Sources, training: Any, unknown: Iterable[str], origins: Mapping[str, tuple[Origin, ...]]
) -> list[Finding]:
    """Return what the sources give to know; `unknown` names what nobody can vouch for."""
    found = [*sources.config.notes, *sources.overrides.notes]
    if sources.checkpoint is not None:
        found += [
            finding("warning", problem) for problem in (*sources.checkpoint.unread, *sources.checkpoint.passed_over)
        ]
    found += _other_model(sources)
    found += _revealing(family, training)
    for field in family.model_defining_fields:
        file = sources.config.documents.get(field.name)
        if file is not None and origins[field.name][0].source == "config":
            found += _uncertain(field, file, training)
            if field.name in file.assumed and training_uses(field, training):
                found.append(Finding("warning", "assumed", field.name, f"is missing from {file.path}; {STANDS_IN}"))
    document = sources.document
    if document is None:
        alone = sources.checkpoint is None
        message = unvouched_reason(sources)
        doubtful = [Finding("warning", "unvouched", name, message) for name in unknown]
        return found + (_fragment(family, sources.config) if alone else doubtful)
    found += _assumed(family, document, training)
    found += _restored(sources.config, origins)
    for field in family.model_defining_fields:
        name, trained, effective = field.name, field.get(document.training), field.get(training)
        found += _uncertain(field, document, training)
        known = not _is_unknown(field, document) and name not in document.assumed
        if known and effective != trained and origins[name][0].source != "weights":
            message = f"is {quote(plain(effective))}, but the weights were trained with {quote(plain(trained))}"
            found.append(Finding("warning", "deviation", name, f"{message} ({document.path})"))
    return found


def _restored(config: Given, origins: Mapping[str, tuple[Origin, ...]]) -> Iterator[Finding]:
    """Name everything that a configuration file says and the checkpoint says otherwise, where the checkpoint counts."""
    for name, given in config.values.items():
        winner = origins[name][0] if name in origins else None
        if winner is not None and winner.source == "checkpoint" and winner.value != given:
            message = f"is {quote(plain(winner.value))} from the checkpoint, not {quote(plain(given))}"
            yield Finding("info", "restored", name, f"{message} ({config.places[name]})")


def _other_model(sources: Sources) -> list[Finding]:
    """Say so where the model configuration that was given is not the checkpoint's own."""
    given, own = dict(sources.model or {}), dict(sources.own_model or {})  # of which not all is read elsewhere
    differing = [key for key in own if key in given and given[key] != own[key]]
    if not differing:
        return []
    shown = ", ".join(f"{key} {quote(given[key])} for {quote(own[key])}" for key in differing[:5])
    return [
        Finding("warning", "model_config", "", f"{sources.model_name} is not the checkpoint's own config.json: {shown}")
    ]


def _revealing(family: Family, training: Any) -> list[Finding]:
    """Warn of URLs among the settings that may give access away: settings are shown and saved as they stand."""
    told = ((field.name, field.get(training)) for field in family.public_fields if field.is_free_text)
    message = "is a URL with a login or a query, and is shown and saved as it stands; keep what gives access out of it"
    return [
        Finding("warning", "secret", name, message)
        for name, value in told
        if isinstance(value, str) and is_url(value) and shown(value) != value
    ]


def _assumed(family: Family, document: Document, training: Any) -> list[Finding]:
    """Name what the document lacks: each decisive setting by itself, the others together."""
    if not document.assumed:
        return []
    model_defining = {field.name: field for field in family.model_defining_fields if field.name in document.assumed}
    message = f"is missing from {document.path}; {STANDS_IN}"
    found = [
        Finding("warning", "assumed", name, message)
        for name, field in model_defining.items()
        if field.get(training) == field.get(document.training) and training_uses(field, training)
    ]
    others = ", ".join(name for name in document.assumed if name not in model_defining)
    if others:
        found.append(
            Finding("info", "assumed", "", f"missing from {document.path}, and left to other sources: {others}")
        )
    return found


def _is_unknown(field: ConfigField, document: Document) -> bool:
    return field.get(document.training) == LEGACY or field.name in document.record.doubted


def _uncertain(field: ConfigField, document: Document, training: Any) -> Iterator[Finding]:
    """Say so where a document's value is not what the program obeyed, or where nobody knows what it obeyed."""
    if not training_uses(field, training):
        return
    entry = document.record.converted.get(field.name)
    if entry is not None and field.name not in document.record.filled:
        now, then = quote(plain(field.get(document.training))), quote(entry["value"])
        yield Finding("info", "converted", field.name, f"is {now}, and {then} was written: {entry['reason']}")
    if _is_unknown(field, document):
        yield _unknown(field, document, training)


def unvouched(family: Family, sources: Sources, training: Any) -> dict[str, Any]:
    """Return the computation fields of a checkpoint without a document, as they are taken and nobody can vouch for."""
    if sources.checkpoint is None or sources.document is not None:
        return {}
    overridden = {override.name for override in sources.overrides.entries}
    proved = sources.weights.proved if sources.weights else {}
    return {
        field.name: plain(field.get(training))
        for field in family.model_defining_fields
        if field.role is Role.COMPUTATION and field.name not in overridden and field.name not in proved
    }


def unvouched_reason(sources: Sources) -> str:
    """Return why nobody can vouch for values: no saved configuration is there, or nobody may read it."""
    folder, unread = (sources.checkpoint.folder, sources.checkpoint.unread) if sources.checkpoint else ("", ())
    told = f"{folder} has no {DOCUMENT_NAME}"
    if any(str(problem.place).endswith(DOCUMENT_NAME) for problem in unread):
        told = f"{DOCUMENT_NAME} in {folder} could not be read"
    return f"{UNVOUCHED}: {told}"


def _fragment(family: Family, config: Given) -> list[Finding]:
    """Say so where configuration files alone could not start a run: they are a fragment of a configuration."""
    lacking = [name for name in family.required_to_train if not config.values.get(name)]
    if not config.values or not lacking:
        return []
    return [
        Finding("info", "fragment", "", f"the configuration files give no {' and no '.join(lacking)}; a run needs them")
    ]


def _unknown(field: ConfigField, document: Document, training: Any) -> Finding:
    """Say what nobody knows of what the weights were trained with, or who has decided it now."""
    value, effective = field.get(document.training), field.get(training)
    if value == LEGACY:
        reason = document.record.filled.get(field.name, {}).get("reason", "the old program did not record it")
        if effective != value:
            message = f"is taken as {quote(plain(effective))}; what the weights were trained with is unknown: {reason}"
            return Finding("info", "legacy", field.name, message)
        message = f"is unknown for this checkpoint: {reason}; override it if you know"
        return Finding("warning", "legacy", field.name, message)
    doubt = document.record.doubted[field.name]["reason"]
    if effective != value:
        doubt = f"is {quote(plain(effective))}, recorded as {quote(plain(value))}: {doubt}"
    return Finding("warning", "doubt", field.name, doubt)


def training_uses(field: ConfigField, training: Any) -> bool:
    """Whether the section of `field` is switched on, where it has a switch."""
    section: Section = training
    for part in field.path[:-1]:
        section = getattr(section, part)
    return bool(getattr(section, section.SWITCH, True))


def rule_findings(family: Family, training: Any) -> list[Finding]:
    return [finding(rule.severity, rule.problem) for rule in family.check(training)]
