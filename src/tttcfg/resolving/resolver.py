"""Merging the sources: one value per field, by the field's role, and every origin kept.

Migrate first, then merge, then override. A value is given where a source has it, never because it
differs from a default.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from tttcfg.documents.document import Document
from tttcfg.documents.effective import Effective, Origin, Origins, whole_digest
from tttcfg.documents.save import result_provenance
from tttcfg.errors import SEVERITIES, ContradictionError, InputError, Place, Problem, quote
from tttcfg.family.extension import EXTENSIONS, PassedThrough, extensions_of, path_of, within
from tttcfg.family.family import Family, Layers, Model
from tttcfg.formats.text import dotted
from tttcfg.resolving import Restore
from tttcfg.resolving.config import as_field, given, not_installed, tree_of
from tttcfg.resolving.findings import source_findings, unconfirmed, unconfirmed_reason
from tttcfg.resolving.overrides import CommandLine, Depending, Override, Overriding, apply_inside
from tttcfg.resolving.sources import Config, Sources, read_sources
from tttcfg.resolving.variants import with_sections
from tttcfg.schema.fields import UNSET, ConfigField, Role, nested, plain, present
from tttcfg.schema.inside import with_run_settings
from tttcfg.schema.paths import get_path, same, set_path, split
from tttcfg.schema.validation import validate
from tttcfg.secrets import removing, shown_key

if TYPE_CHECKING:
    from tttcfg.migration.chain import Deferred


def resolve_family(
    chosen: Family[Model, Layers] | None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    config: Config | Iterable[Config] | None = None,
    overrides: Overriding | CommandLine = (),
    restore: Restore = "auto",
    model_config: str | os.PathLike[str] | None = None,
    require_ttt: bool = False,
    require_training: bool = False,
    require_weights: bool = True,
    strict_extensions: bool = False,
) -> Effective[Model, Layers]:
    """Return the one effective configuration of a family; see `tttcfg.resolve`.

    Args:
        chosen: By default the family that the sources name; see `read_sources`.
        require_weights: Raise where the weights are none that a configuration of the family describes, even where
            none was given.
    """
    if restore not in get_args(Restore):
        message = f"{quote(restore)} is none of {', '.join(get_args(Restore))}"
        raise InputError(Problem("rejected", message, "restore"))
    given = read_sources(chosen, checkpoint, config, overrides, model_config, restoring=restore != "none")
    family = given.family
    own = _resolved(family, given, restore)
    installed = extensions_of(family)
    parts = {name: within(name, _resolved, one, given.part(one), restore) for name, one in installed.items()}
    training, sources, origins, findings = own.document.training, own.sources, own.origins, own.findings
    model, weights = (sources.model, sources.model_name), sources.weights
    derived = family.derive(training, *model, weights.proved if weights is not None else {})
    for name, place in derived.origins.items():
        value = plain(getattr(derived.config, name.rpartition(".")[2]))
        origins[name] = (Origin("derived", value, place), *origins.get(name, ()))
    findings += derived.problems
    checked = None
    if weights is not None:
        from tttcfg.verification.verify import verification  # only a checkpoint with weights needs it

        checked = verification(
            *(family, weights, training, derived, model, sources.document, origins),
            chosen=own.overridden,
            demanded=require_weights,
        )
        findings += checked.findings
    for name, part in parts.items():
        origins |= {f"{path_of(name)}{key}": ranked for key, ranked in part.origins.items()}
        findings += [one._replace(key=f"{path_of(name)}{one.key}".rstrip(".")) for one in part.findings]
    unread = sources.document.passed_through if sources.document is not None else {}
    findings += [not_installed(name, Place(sources.document.path)) for name in unread if sources.document is not None]
    findings += _passed_on(unread, sources, family)
    refused = [Problem(one.code, one.message, one.key) for one in findings if one.code == "extension"]
    if strict_extensions and refused:
        raise InputError(refused)
    documents = {name: part.document for name, part in parts.items()}
    effective: Effective[Model, Layers] = Effective(
        training,
        cast("Layers | None", derived.config),
        Origins(origins),
        tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity))),
        whole_digest(training, family, documents),
        *(own.document.provenance, checked, documents, unread),
    )
    _demand(effective, family, require_ttt, require_training)
    if effective.is_contradicted:
        raise ContradictionError(effective.contradictions, effective)
    return effective


def _passed_on(unread: Mapping[str, PassedThrough], sources: Sources, family: Family) -> Iterator[Problem]:
    """Yield what looks like a secret in sections that are passed through."""
    if not unread:
        return
    from tttcfg.documents.secret_values import secrets_in  # and all operations, which few runs need

    place = sources.document.path if sources.document is not None else ""
    for name, section in unread.items():
        for path in secrets_in({EXTENSIONS: {name: section.values}}, family):
            message = "looks like a secret, and is passed through with its section"
            key, advice = shown_key(dotted(path)), removing(place)
            yield Problem("secret", message, key, Place(place), advice=advice, severity="warning")


class _Resolved(NamedTuple):
    """What the sources give of a family or of one of its extensions, with keys as it has them."""

    document: Document
    origins: dict[str, tuple[Origin, ...]]
    findings: list[Problem]
    overridden: Collection[str]
    sources: Sources


def _resolved(family: Family, sources: Sources, restore: Restore) -> _Resolved:
    """Merge the sources by the roles of the fields."""
    training, origins, overridden, sources = _merged(family, sources, restore)
    unknown = unconfirmed(family, sources, training)
    findings = [*source_findings(family, sources, training, unknown, origins), *family.check(training)]
    files = {name: one for name, one in sources.config.documents.items() if origins[name][0].source == "config"}
    given = {name for name, ranked in origins.items() if ranked[0].source == "override"}
    provenance = result_provenance(sources.document, training, unknown, unconfirmed_reason(sources), files, given)
    document = Document(training, family, family.head, provenance=provenance)
    return _Resolved(document, origins, findings, overridden, sources)


def _merged(
    family: Family, sources: Sources, restore: Restore
) -> tuple[Any, dict[str, tuple[Origin, ...]], Collection[str], Sources]:
    """Return the configuration that the sources make, the origins of its fields, and which overrides decided.

    The sources come back with nothing deferred.
    """
    merge = _Merge(family, sources, restore)
    values, origins = merge.run()
    training = validate(family.model, values, lambda path: origins_place(origins, ".".join(path)))
    if (weights := sources.weights) is not None:
        known = family.knowledge
        saved = known.as_saved(  # what was recorded is not an override, which is of this run
            lambda name: next(one.value for one in origins[name] if one.source != "override"), weights.evidence
        )
        saved = {name: one for name, one in saved.items() if _differs_from(origins[name], one.value)}
        for name, one in saved.items():
            set_path(values, split(name), one.value)
            given = (origin for origin in origins[name] if origin.source != "weights")
            origins[name] = (Origin("weights", one.value, f"{weights.header.name} ({one.tensor})"), *given)
        if saved:
            training = validate(family.model, values, lambda path: origins_place(origins, ".".join(path)))
            sources = sources._replace(weights=weights._replace(as_saved=saved))
    for field in family.following_fields:
        if field.name not in origins:
            continue
        default = field.default_in(training)
        ranked = origins[field.name]
        origins[field.name] = tuple(one._replace(value=default) if one.source == "default" else one for one in ranked)
    for name in merge.overrides.keys() & origins.keys():  # the value that is used, as the field has it
        used, *overridden = origins[name]
        origins[name] = (used._replace(value=family.fields[name].get(training)), *overridden)
    notes = [*sources.overrides.notes, *merge.unused, *(note for one in merge.depending() for note in one.notes)]
    sources = sources._replace(config=merge.config, overrides=replace(sources.overrides, notes=notes))
    return training, origins, merge.overrides.keys(), sources


def _differs_from(origins: Iterable[Origin], value: Any) -> bool:
    """Whether a saved configuration or a file has another value than `value`, and there is no override."""
    given = {origin.source: origin.value for origin in origins}
    return "override" not in given and any(given.get(source, value) != value for source in ("checkpoint", "config"))


def origins_place(origins: Mapping[str, tuple[Origin, ...]], name: str) -> Place | str:
    """Return the place of the value of `name`, of the most deliberate one below it, or of what it is a part of."""
    used = [given[0] for key, given in origins.items() if given and (key == name or key.startswith(f"{name}."))]
    if not used and "." in name and name not in origins:
        return origins_place(origins, name.rpartition(".")[0])  # an item of a list
    deliberate = ("override", "checkpoint", "config")
    return next((one.place for source in deliberate for one in used if one.source == source), "")


class _Merge:
    """Decides every field, and keeps the value of each source."""

    def __init__(self, family: Family, sources: Sources, restore: Restore) -> None:
        self.family, self.config, self.restore = family, sources.config, restore
        self.document = None if restore == "none" else sources.document
        self.assumed = self.document.assumed if self.document is not None else {}
        self.overrides: dict[str, list[Override]] = {}
        for override in sources.overrides.entries:
            self.overrides.setdefault(override.name, []).append(override)
        self.sources, self.weights = sources, sources.weights
        self.problems: list[Problem] = []
        self.defaults, self.from_document, self.from_weights = _defaults(family), self.saved(), self.shown()
        self.held: dict[str, str | None] = {}
        self.choices: dict[str, tuple[Origin, ...]] = {}
        self.choose_variants()

    def run(self) -> tuple[dict[str, Any], dict[str, tuple[Origin, ...]]]:
        self.convert_deferred()
        equivalent = self.equivalent() if self.from_weights else ()
        fields = [field for field in self.family.fields.values() if self.is_there(field)]
        origins = {one.name: self.choices.get(one.name) or self.ranked(one, equivalent) for one in fields}
        values = {name: ranked[0].value if ranked else UNSET for name, ranked in origins.items()}
        for field in self.family.following_fields:
            if field.name in origins and origins[field.name][0].source == "default":
                values[field.name] = UNSET  # which other fields decide
        for field in self.family.secret_fields:
            del origins[field.name]
        if self.problems:
            raise InputError(self.problems)
        return nested(with_sections(values, fields, self.held), self.family.outline()), origins

    def choose_variants(self) -> None:
        """Decide which variants there are, and leave out overrides of others."""
        for field in self.family.variant_fields:
            if self.is_there(field):
                self.choices[field.name] = ranked = self.ranked(field)
                self.held[field.name] = ranked[0].value if ranked else None
        self.unused = [*self.of_other_variants()]
        for name, overriding in self.overrides.items():
            field = self.family.fields[name]
            self.overrides[name] = [one for one in overriding if not one.held or self.fits(field, one.held)]
        self.overrides = {name: overriding for name, overriding in self.overrides.items() if overriding}
        for one in self.depending():
            self.problems.extend(one.refused)

    def of_other_variants(self) -> Iterator[Problem]:
        """Yield what a file or an override gives of a variant that is not there."""
        fields, found = self.family.fields, dict[tuple[str, str], str]()
        for name in self.config.values:
            for around in fields[name].around:
                if self.config.variants.get(around) != self.held.get(around):
                    found.setdefault((name, str(self.config.places[name])), around)
        inner = [one for overriding in self.overrides.values() for one in overriding if one.held]
        used = {one.position for one in inner if self.is_used(one)}
        for one in inner:
            if one.position not in used:
                found.setdefault((one.name, one.where), next(iter(one.held)))
        for (name, where), around in found.items():
            now = quote(self.held.get(around)) if around in self.held else "not there"
            message = f"is not used: it is given for another variant, and {around} is {now}"
            yield Problem("variant", message, name, where, severity="warning")

    def is_used(self, override: Override) -> bool:
        return self.fits(self.family.fields[override.name], override.held)

    def depending(self) -> list[Depending]:
        """Return what depends on the variants of overrides, where these are the ones that there are."""
        found = self.sources.overrides.depending
        return [one for one in found if all(self.held.get(name) == variant for name, variant in one.held.items())]

    def is_there(self, field: ConfigField) -> bool:
        """Whether the variants that there are have a field."""
        return not field.declared or field.declared_in(self.held) is not None

    def fits(self, field: ConfigField, held: Mapping[str, Any]) -> bool:
        """Whether what a source gives of a field is of the variants that there are."""
        return all(held.get(name) == self.held[name] for name in field.around)

    def ranked(self, field: ConfigField, equivalent: Collection[str] = ()) -> tuple[Origin, ...]:
        """Return the value of every source for a field, the one that is used first."""
        name, values = field.name, self.config.values
        given = name in values and self.fits(field, self.config.variants)
        config = Origin("config", values[name], self.config.places[name]) if given else None
        checkpoint, default = self.from_document.get(name), self.default(field)
        if field.around and not self.fits(field, {one: self.saved_variant(one) for one in field.around}):
            checkpoint = None
        config_first = (self.restore == "auto" and field.role is Role.RUN) or name in self.assumed
        order = (config, checkpoint, default) if config_first else (checkpoint, config, default)
        ranked = tuple(filter(None, (self.from_weights.get(name), *order)))
        if config is not None and name in equivalent:
            ranked = (config, *(one for one in ranked if one is not config))
        if self.restore == "auto" and len(ranked) > 1 and ranked[0].source == "checkpoint" and config in ranked:
            ranked = self.of_this_run(field, ranked, config)
        return self.overridden(field, ranked) if name in self.overrides else ranked

    def of_this_run(self, field: ConfigField, ranked: tuple[Origin, ...], config: Origin) -> tuple[Origin, ...]:
        """Return the checkpoint's value with what a file gives of this run inside of the same sections."""
        value = with_run_settings(field, ranked[0].value, config.value)
        if value is None:
            return ranked
        place = f"{ranked[0].where}, with settings of this run from {config.where}"
        used = Origin("checkpoint", as_field(value, field.name, self.family, "", self.held), place)
        return (used, *ranked[1:])

    def saved_variant(self, name: str) -> Any:
        """Return the variant that a field holds in the checkpoint's document; UNSET where it is not there."""
        return self.from_document[name].value if name in self.from_document else UNSET

    def default(self, field: ConfigField) -> Origin | None:
        """Return the default of a field where fields hold the variants that there are."""
        own = field.declared_in(self.held)
        if own is None:
            return self.defaults.get(field.name)
        return Origin("default", own.default, "default") if own.default is not UNSET else None

    def convert_deferred(self) -> None:
        """Bring values of an older form to today's, by the fields that decide their meaning."""
        values, notes = dict(self.config.values), list(self.config.notes)
        for name, deferred in self.config.deferred.items():
            where = self.config.places[name]
            if (value := self.converted(name, deferred, where, notes)) is not UNSET:
                values[name] = value
        for name, overriding in self.overrides.items():
            for index, one in enumerate(overriding):
                if one.deferred is not None:
                    overriding[index] = one._replace(value=self.converted(name, one.deferred, one.where, notes))
        self.config = replace(self.config, values=values, notes=tuple(notes))

    def current(self, name: str) -> Any:
        """Return what a field is, or those of a section but for what is deferred itself; under any of its names."""
        name = self.family.chain.spellings.get(name, name)
        if name in self.family.fields:
            return plain(self.ranked(self.family.fields[name])[0].value)
        found: dict[str, Any] = {}
        for field in self.family.fields.values():
            is_below = field.name.startswith(f"{name}.") and self.is_there(field)
            if is_below and field.name not in self.config.deferred:
                set_path(found, field.path, plain(self.ranked(field)[0].value))
        return get_path(found, split(name), {})

    def today(self, name: str, deferred: Deferred, where: Place | str) -> tuple[Any, Any]:
        """Return a value of an older form in today's, as plain values have it and as the field does."""
        now = deferred.settled(self.current(deferred.conversion.beside))
        return now, as_field(now, name, self.family, where, self.held)

    def converted(self, name: str, deferred: Deferred, where: Place | str, notes: list[Problem]) -> Any:
        """Return a value of an older form as the field has it today; UNSET where that is refused."""
        try:
            now, value = self.today(name, deferred, where)
        except InputError as error:
            self.problems.extend(error.problems)
            return UNSET
        if not same(now, deferred.value):
            message = f"was written as {quote(deferred.value)}: {deferred.conversion.reason}"
            notes.append(Problem("converted", message, name, where, severity="info"))
        return value

    def saved(self) -> dict[str, Origin]:
        """Return the checkpoint's values but for secrets, each with its place, or with how it came to be."""
        document = self.document
        if document is None:
            return {}
        training, path = document.training, Place(document.path)
        fields = present(self.family.public_fields, training)
        found = {field.name: Origin("checkpoint", field.get(training), path) for field in fields}
        for name, note in document.provenance_notes.items():
            if name in found:
                found[name] = found[name]._replace(place=note)
        return found

    def shown(self) -> dict[str, Origin]:
        """Return what tensors prove of the fields that are not in the checkpoint's document, or of all without one."""
        if self.weights is None or self.restore == "none":
            return {}
        file, silent = self.weights.header.name, self.family.fields if self.sources.document is None else self.assumed
        return {
            name: Origin("weights", proof.value, f"{file} ({proof.tensor})")
            for name, proof in self.weights.proved.items()
            if name in silent
        }

    def equivalent(self) -> Collection[str]:
        """Return the fields that a configuration file writes in another form than tensors, with the same meaning."""
        if self.weights is None:
            return ()
        known = self.family.knowledge
        return set(known.equivalent(self.weights.proved, self.config.values, self.sources.model))

    def overridden(self, field: ConfigField, ranked: tuple[Origin, ...]) -> tuple[Origin, ...]:
        """Return the value of every source with the overrides of `field` applied in turn, the used one first."""
        for override in self.overrides[field.name]:
            if override.action == "set":
                ranked = (Origin("override", override.value, override.where), *ranked)
            elif override.action == "inside":
                try:
                    ranked = (Origin("override", self.with_item(override, ranked[0].value), override.where), *ranked)
                except InputError as error:
                    self.problems.extend(error.problems)
            else:
                ranked = self.chosen(field, override, ranked)
        return ranked

    def with_item(self, override: Override, current: Any) -> Any:
        """Return a value with a part of it changed, read as the older version has it by whose name it was given."""
        items = apply_inside(override, current)
        if not override.old:
            return as_field(items, override.name, self.family, override.where, self.held)
        tree: dict[str, Any] = {}
        set_path(tree, split(override.old), plain(items))
        read = given(tree_of(tree, override.where), self.family)
        if (deferred := read.deferred.get(override.name)) is None:
            return read.values[override.name]
        return self.today(override.name, deferred, override.where)[1]

    def chosen(self, field: ConfigField, override: Override, ranked: tuple[Origin, ...]) -> tuple[Origin, ...]:
        """Return `ranked` with the value that `!default` or `!config` asks for put first."""
        for origin in ranked:
            if origin.source == override.action:
                used = origin._replace(place=f"{origin.where}, chosen by {override.where}")
                return (used, *(other for other in ranked if other is not origin))
        if override.section and any(name.startswith(override.section) for name in self.config.values):
            return ranked  # of a section, !config takes what the file gives
        message = "no configuration file gives it, so !config has nothing to take"
        self.problems.append(Problem("override", message, field.name, override.where))
        return ranked


@lru_cache(maxsize=8)
def _defaults(family: Family) -> dict[str, Origin]:
    return {
        name: Origin("default", field.default, f"default: {field.follows}" if field.follows else "default")
        for name, field in family.fields.items()
        if field.default is not UNSET
    }


def _demand(effective: Effective, family: Family, ttt: bool, training: bool) -> None:
    problems = []
    if ttt and family.layers is None:
        message = f"{family.name} derives none; its layers read the configuration as it is"
        problems.append(Problem("model_config", f"no layer configuration: {message}", "ttt"))
    elif ttt and effective.ttt is None:
        reasons = [one for one in effective.findings if one.code in ("model_config", "contradiction")]
        message = "; ".join(one.sentence for one in reasons) or "TTT is off in the effective configuration"
        problems.append(Problem("model_config", f"no layer configuration: {message}", "ttt"))
    message = "is needed to train, and neither file nor override gives it"
    demanded = (family.fields[name] for name in (family.required_to_train if training else ()))
    problems += [Problem("missing", message, one.name) for one in demanded if not one.get(effective.training)]
    if problems:
        raise InputError(problems)
