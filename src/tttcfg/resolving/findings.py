"""What to report of a result: where it departs from the checkpoint, and which values cannot be confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tttcfg.documents.document import DOCUMENT_NAME, Document, supporting
from tttcfg.documents.effective import UNCONFIRMED, Origin
from tttcfg.errors import Place, Problem, quote
from tttcfg.family.family import Family
from tttcfg.migration.record import LEGACY
from tttcfg.resolving.config import Given
from tttcfg.resolving.sources import Sources
from tttcfg.schema.defining import defining_value
from tttcfg.schema.fields import UNSET, ConfigField, Role, Section, plain, present
from tttcfg.urls import is_url, shown

DEFAULT_USED = "the default of its version is used"


def source_findings(
    family: Family, sources: Sources, training: Any, unknown: Iterable[str], origins: Mapping[str, tuple[Origin, ...]]
) -> list[Problem]:
    """Return what to report of the sources; `unknown` names the fields that cannot be confirmed."""
    found = [*sources.config.notes, *sources.overrides.notes]
    if sources.checkpoint is not None:
        problems = (*sources.checkpoint.unread, *sources.checkpoint.passed_over)
        found += [problem._replace(severity="warning") for problem in problems]
    found += _other_model(sources)
    found += _revealing(family, training)
    for field in present(family.model_defining_fields, training):
        file = sources.config.documents.get(field.name)
        if file is not None and origins[field.name][0].source == "config":
            found += _uncertain(field, file, training)
            if field.name in file.assumed and training_uses(field, training):
                found.append(_absent(field.name, file))
    document = sources.document
    documents = [*sources.config.documents.values(), *([] if document is None else [document])]
    found += dict.fromkeys(_written(one, one.written) for one in documents if one.written is not None)
    if document is None:
        if sources.checkpoint is None:
            return found + _fragment(family, sources.config)
        reason = unconfirmed_reason(sources)
        return found + [Problem("unconfirmed", reason, name, severity="warning") for name in unknown]
    found += _assumed(family, document, training)
    found += _restored(sources.config, origins)
    for field in present(family.model_defining_fields, training):
        name, trained, effective = field.name, field.get(document.training), field.get(training)
        found += _uncertain(field, document, training)
        supported = document.recovered.get(name)
        if supported is not None and effective == trained and training_uses(field, training):
            found.append(
                Problem("recovered", f"is {quote(plain(effective))}, {supporting(supported)}", name, severity="info")
            )
        known = not _is_unknown(field, document) and name not in document.assumed and trained is not UNSET
        differs = effective != trained and defining_value(field, effective) != defining_value(field, trained)
        if known and differs and origins[name][0].source != "weights":
            how = "were trained with" if supported is None else "are supposed to have been trained with"
            message = f"is {quote(plain(effective))}, but the weights {how} {quote(plain(trained))}"
            message += "" if supported is None else f" ({supporting(supported)})"
            found.append(Problem("deviation", message, name, Place(document.path), severity="warning"))
    return found


def _written(document: Document, theirs: Document) -> Problem:
    """Report that a document is of a parent of the family, and what the family's own fields were filled in with."""
    family = document.family
    own = [name for name in document.record.filled if name in family.fields and name not in theirs.family.fields]
    values = ", ".join(f"{name} {quote(plain(family.fields[name].get(document.training)))}" for name in own) or "-"
    message = f"{document.path} is of {theirs.family.name}, version {theirs.version}, and read as one of {family.name}"
    return Problem("family", f"{message}; the absence of its own settings meant: {values}", severity="info")


def _restored(config: Given, origins: Mapping[str, tuple[Origin, ...]]) -> Iterator[Problem]:
    """Yield every field that a configuration file gives and the checkpoint has otherwise, where that is used."""
    for name, given in config.values.items():
        used = origins[name][0] if name in origins else None
        if used is not None and used.source == "checkpoint" and used.value != given:
            message = f"is {quote(plain(used.value))} from the checkpoint, not {quote(plain(given))}"
            yield Problem("restored", message, name, config.places[name], severity="info")


def _other_model(sources: Sources) -> list[Problem]:
    """Report a model configuration that was given and is not the checkpoint's own."""
    given, own = dict(sources.model or {}), dict(sources.own_model or {})  # of which not all is read elsewhere
    differing = [key for key in own if key in given and given[key] != own[key]]
    if not differing:
        return []
    changes = ", ".join(f"{key} {quote(given[key])} for {quote(own[key])}" for key in differing[:5])
    message = f"is not the checkpoint's own config.json: {changes}"
    return [Problem("model_config", f"{sources.model_name} {message}", severity="warning")]


def _revealing(family: Family, training: Any) -> list[Problem]:
    """Warn of URLs among the settings that may hold credentials: settings are shown and saved as they are."""
    values = ((field.name, field.get(training)) for field in family.public_fields if field.is_free_text)
    message = "is a URL with a login or a query, and is shown and saved as it is"
    return [
        Problem("secret", message, name, advice="leave credentials out of it", severity="warning")
        for name, value in values
        if isinstance(value, str) and is_url(value) and shown(value) != value
    ]


def _absent(name: str, document: Document) -> Problem:
    return Problem("assumed", f"is missing from {document.path}; {DEFAULT_USED}", name, severity="warning")


def _assumed(family: Family, document: Document, training: Any) -> list[Problem]:
    """Report what is missing from the document: one by one where it defines the model, the others together."""
    if not document.assumed:
        return []
    model_defining = {field.name: field for field in family.model_defining_fields if field.name in document.assumed}
    found = [
        _absent(name, document)
        for name, field in model_defining.items()
        if field.get(training) == field.get(document.training) and training_uses(field, training)
    ]
    others = ", ".join(name for name in document.assumed if name not in model_defining)
    if others:
        message = f"missing from {document.path}, and taken from other sources: {others}"
        found.append(Problem("assumed", message, severity="info"))
    return found


def _is_unknown(field: ConfigField, document: Document) -> bool:
    return field.get(document.training) == LEGACY or field.name in document.record.doubted


def _uncertain(field: ConfigField, document: Document, training: Any) -> Iterator[Problem]:
    """Report a document's value that is not what the program used, or of which that is not known."""
    if not training_uses(field, training):
        return
    entry = document.record.converted.get(field.name)
    if entry is not None and field.name not in document.record.filled:
        now, then = quote(plain(field.get(document.training))), quote(entry["value"])
        message = f"is {now}, and was written as {then}: {entry['reason']}"
        yield Problem("converted", message, field.name, severity="info")
    if _is_unknown(field, document):
        yield _unknown(field, document, training)
    elif field.get(document.training) == field.get(training):
        for name, entry in document.record.doubted.items():
            if name.startswith(f"{field.name}."):
                yield Problem("doubt", entry["reason"], name, severity="warning")


def unconfirmed(family: Family, sources: Sources, training: Any) -> dict[str, Any]:
    """Return the values of computation fields that nothing confirms: those of a checkpoint without a document."""
    if sources.checkpoint is None or sources.document is not None:
        return {}
    overridden = {override.name for override in sources.overrides.entries}
    proved = sources.weights.proved if sources.weights else {}
    return {
        field.name: plain(field.get(training))
        for field in present(family.model_defining_fields, training)
        if field.role is Role.COMPUTATION and field.name not in overridden and field.name not in proved
    }


def unconfirmed_reason(sources: Sources) -> str:
    """Return why values cannot be confirmed: there is no saved configuration, or it cannot be read."""
    folder, unread = (sources.checkpoint.folder, sources.checkpoint.unread) if sources.checkpoint else ("", ())
    if any(str(problem.place).endswith(DOCUMENT_NAME) for problem in unread):
        return f"{UNCONFIRMED}: {DOCUMENT_NAME} in {folder} could not be read"
    return f"{UNCONFIRMED}: {folder} has no {DOCUMENT_NAME}"


def _fragment(family: Family, config: Given) -> list[Problem]:
    """Report configuration files that could not start a run alone."""
    missing = [name for name in family.required_to_train if not config.values.get(name)]
    if not config.values or not missing:
        return []
    message = f"the configuration files do not set {' or '.join(missing)}, which a training run needs"
    return [Problem("partial", message, severity="info")]


def _unknown(field: ConfigField, document: Document, training: Any) -> Problem:
    """Report a value that the weights were trained with and that is not known, or what was decided about it now."""
    name, value, effective = field.name, field.get(document.training), field.get(training)
    if value == LEGACY:
        reason = document.record.filled.get(name, {}).get("reason", "the old program did not record it")
        if effective != value:
            message = f"is taken as {quote(plain(effective))}; what the weights were trained with is unknown: {reason}"
            return Problem("legacy", message, name, severity="info")
        message = f"is unknown for this checkpoint: {reason}"
        return Problem("legacy", message, name, advice="override it if you know it", severity="warning")
    doubt = document.record.doubted[name]["reason"]
    if effective != value:
        doubt = f"is {quote(plain(effective))}, recorded as {quote(plain(value))}: {doubt}"
    return Problem("doubt", doubt, name, severity="warning")


def training_uses(field: ConfigField, training: Any) -> bool:
    """Whether the section of `field` is there and switched on, where it has a switch."""
    section: Section | None = training
    for part in field.path[:-1]:
        section = getattr(section, part, None)
    return section is not None and bool(getattr(section, section.SWITCH, True))
