"""Merging the sources: one value and one winner per field, by the field's role, and every origin kept.

Migrate first, then merge, then override. A value counts because somebody gave it, never because it
differs from a default.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from tttcfg.checkpoint import Checkpoint, find_checkpoint, read_model_config
from tttcfg.document import Document, load_document
from tttcfg.effective import Effective, Finding, Origin, digest, finding, freeze
from tttcfg.errors import ContradictionError, InputError, Problem, quote
from tttcfg.family import Family
from tttcfg.fields import Leaf, Role, leaves, nested, plain
from tttcfg.record import LEGACY
from tttcfg.sources.config import Given, given, merged, read_config, tree_of
from tttcfg.sources.overrides import Override, Overrides, Overriding, apply_item, read_overrides
from tttcfg.validation import validate

Restore = Literal["auto", "all", "none"]
Config = str | os.PathLike[str] | Mapping[str, Any] | Given
NOTHING = Given({}, {})


class Sources(NamedTuple):
    """Everything that was given, each source read, migrated and validated by itself."""

    overrides: Overrides
    checkpoint: Checkpoint | None
    document: Document | None
    config: Given
    model: Mapping[str, Any] | None
    model_name: str


def read_sources(
    family: Family,
    checkpoint: str | os.PathLike[str] | None,
    config: Config | Iterable[Config] | None,
    overrides: Overriding,
    model_config: str | os.PathLike[str] | None,
) -> Sources:
    """Read every source, or raise one InputError with the problems of all of them."""
    problems: list[Problem] = []

    def attempt(read: Any, *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except InputError as error:
            problems.extend(error.problems)
            return None

    found = attempt(find_checkpoint, checkpoint) if checkpoint is not None else None
    document = attempt(load_document, found.document, family) if found and found.document else None
    configs = [attempt(_read_one, one, family) for one in _listed(config)]
    overriding = attempt(read_overrides, overrides, family)
    model_file = model_config if model_config is not None else found.model_config if found else None
    model = attempt(read_model_config, model_file) if model_file is not None else None
    if problems:
        raise InputError(problems)
    return Sources(overriding, found, document, merged(configs) if configs else NOTHING, model, str(model_file or ""))


def _listed(config: Config | Iterable[Config] | None) -> list[Config]:
    if config is None:
        return []
    return [config] if isinstance(config, (str, os.PathLike, Mapping, Given)) else list(config)


def _read_one(config: Config, family: Family) -> Given:
    if isinstance(config, Given):
        return config
    return given(tree_of(config, "config"), family) if isinstance(config, Mapping) else read_config(config, family)


def resolve_family(
    family: Family,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    config: Config | Iterable[Config] | None = None,
    overrides: Overriding = (),
    restore: Restore = "auto",
    model_config: str | os.PathLike[str] | None = None,
    require_ttt: bool = False,
    require_training: bool = False,
) -> Effective:
    """Return the one effective configuration of `family`; `tttcfg.resolve` tells the rest."""
    sources = read_sources(family, checkpoint, config, overrides, model_config)
    merge = _Merge(family, sources, restore)
    values, origins = merge.run()
    training = validate(family.model, values, lambda path: origins_place(origins, ".".join(path)))
    derived = family.derive(training, sources.model, sources.model_name)
    for name, where in derived.origins.items():
        value = plain(getattr(derived.config, name.rpartition(".")[2]))
        origins[name] = (Origin("derived", value, where),)
    findings = [*_source_findings(family, sources, training), *_rule_findings(family, training)]
    findings += [finding(_severity(problem), problem) for problem in derived.problems]
    effective = Effective(training, derived.config, freeze(origins), tuple(findings), digest(training, family))
    _demand(effective, family, require_ttt, require_training)
    contradictions = [one for one in findings if one.severity == "error"]
    if contradictions:
        raise ContradictionError([Problem(one.code, one.message, one.key) for one in contradictions], effective)
    return effective


def origins_place(origins: Mapping[str, tuple[Origin, ...]], name: str) -> str:
    """Return where the value of `name` stands, or that of a field below it which somebody gave most deliberately."""
    winners = [given[0] for key, given in origins.items() if key == name or key.startswith(f"{name}.")]
    for source in ("override", "checkpoint", "config"):
        for winner in winners:
            if winner.source == source:
                return winner.where
    return ""


class _Merge:
    """Decides every field, and keeps what each source had to say."""

    def __init__(self, family: Family, sources: Sources, restore: Restore) -> None:
        self.family, self.config, self.restore = family, sources.config, restore
        self.document = None if restore == "none" else sources.document
        self.assumed = self.document.assumed if self.document is not None else {}
        self.overrides: dict[str, list[Override]] = {}
        for override in sources.overrides.entries:
            self.overrides.setdefault(override.name, []).append(override)
        self.problems: list[Problem] = []

    def run(self) -> tuple[dict[str, Any], dict[str, tuple[Origin, ...]]]:
        values: dict[str, Any] = {}
        origins: dict[str, tuple[Origin, ...]] = {}
        given, saved, defaults = self.given(), self.saved(), _defaults(self.family)
        for name, leaf in self.family.leaves.items():
            ranked = [defaults[name]]
            if name in given:
                ranked.insert(0, given[name])
            if name in saved:
                yields = (leaf.role is Role.RUN and self.restore == "auto") or name in self.assumed
                ranked.insert(len(ranked) - 1 if yields else 0, saved[name])
            for override in self.overrides.get(name, ()):
                self.override(leaf, override, ranked)
            values[name] = ranked[0].value
            if leaf.role is not Role.SECRET:
                origins[name] = tuple(ranked)
        if self.problems:
            raise InputError(self.problems)
        return nested(values, self.family.model), origins

    def given(self) -> dict[str, Origin]:
        """Return what the configuration files say."""
        places = self.config.places
        return {name: Origin("config", value, places[name]) for name, value in self.config.values.items()}

    def saved(self) -> dict[str, Origin]:
        """Return what the checkpoint says, secrets apart; and where, if a value did not come in as it is."""
        document = self.document
        if document is None:
            return {}
        training, path = document.training, document.path
        leaves = self.family.leaves.values()
        found = {
            leaf.name: Origin("checkpoint", leaf.get(training), path) for leaf in leaves if leaf.role is not Role.SECRET
        }
        for name, story in _stories(document).items():
            if name in found:
                found[name] = found[name]._replace(where=story)
        return found

    def override(self, leaf: Leaf, override: Override, ranked: list[Origin]) -> None:
        if override.action == "set":
            ranked.insert(0, Origin("override", override.value, override.where))
        elif override.action == "item":
            try:
                ranked.insert(0, Origin("override", apply_item(override, ranked[0].value), override.where))
            except InputError as error:
                self.problems.extend(error.problems)
        else:
            self.choose(leaf, override, ranked)

    def choose(self, leaf: Leaf, override: Override, ranked: list[Origin]) -> None:
        """Let `!default` or `!config` put another source's value first."""
        for origin in ranked:
            if origin.source == override.action:
                ranked.remove(origin)
                ranked.insert(0, origin._replace(where=f"{origin.where}, chosen by {override.where}"))
                return
        message = "no configuration file gives it, so !config has nothing to take"
        self.problems.append(Problem("override", message, leaf.name, override.where))


@lru_cache(maxsize=8)
def _defaults(family: Family) -> dict[str, Origin]:
    return {name: Origin("default", leaf.default, "default") for name, leaf in family.leaves.items()}


def _stories(document: Document) -> dict[str, str]:
    """Return where values stand that did not come into the document as they are."""
    record, path = document.record, document.path
    found = dict.fromkeys(document.assumed, f"{path} (absent; the default of version {document.version})")
    for entries, verb in ((record.filled, "filled"), (record.converted, "converted")):
        for name, entry in entries.items():
            found[name] = f"{path} ({verb} when migrated: {entry['reason']})"
    return found


def _source_findings(family: Family, sources: Sources, training: Any) -> list[Finding]:
    found = [*sources.config.notes, *sources.overrides.notes]
    document = sources.document
    if document is None:
        alone = sources.checkpoint is None
        return found + (_fragment(family, sources.config) if alone else _unvouched(family, sources))
    if document.assumed:
        names = ", ".join(list(document.assumed)[:5])
        message = f"{len(document.assumed)} settings are missing from the document ({names}, …)"
        found.append(Finding("info", "assumed", "", f"{message} ({document.path})"))
    decisive = (Role.ARCHITECTURE, Role.COMPUTATION)
    for leaf in family.leaves.values():
        if leaf.role in decisive and leaf.name not in document.assumed:
            found += _compared(leaf, document, sources.config, training)
        if leaf.name in document.record.doubted or leaf.get(document.training) == LEGACY:
            found += _unknown(leaf, document, training)
    return found


def _unvouched(family: Family, sources: Sources) -> list[Finding]:
    folder = sources.checkpoint.folder if sources.checkpoint else ""
    message = f"nobody can vouch that the weights were trained with it: {folder} has no training_config.json"
    overridden = {override.name for override in sources.overrides.entries}
    return [
        Finding("warning", "unvouched", name, message)
        for name, leaf in family.leaves.items()
        if leaf.role is Role.COMPUTATION and name not in overridden
    ]


def _fragment(family: Family, config: Given) -> list[Finding]:
    """Say so where configuration files alone could not start a run: they are a fragment of a configuration."""
    lacking = [name for name in family.required_to_train if not config.values.get(name)]
    if not config.values or not lacking:
        return []
    return [
        Finding("info", "fragment", "", f"the configuration files give no {' and no '.join(lacking)}; a run needs them")
    ]


def _compared(leaf: Leaf, document: Document, config: Given, training: Any) -> list[Finding]:
    """Say where the result departs from what the weights were trained with, or keeps a file from departing."""
    trained, effective = leaf.get(document.training), leaf.get(training)
    if effective != trained:
        message = f"is {quote(plain(effective))}, but the weights were trained with {quote(plain(trained))}"
        return [Finding("warning", "deviation", leaf.name, f"{message} ({document.path})")]
    given = config.values.get(leaf.name, trained)
    if given != trained:
        message = f"is {quote(plain(trained))} from the checkpoint, not {quote(plain(given))}"
        return [Finding("info", "restored", leaf.name, f"{message} ({config.places[leaf.name]})")]
    return []


def _unknown(leaf: Leaf, document: Document, training: Any) -> list[Finding]:
    value, record = leaf.get(document.training), document.record
    if leaf.get(training) != value or not training_uses(leaf, training):
        return []
    if value == LEGACY:
        reason = record.filled.get(leaf.name, {}).get("reason", "the old program did not record it")
        message = f"is unknown for this checkpoint: {reason}; override it if you know"
        return [Finding("warning", "legacy", leaf.name, message)]
    return [Finding("warning", "doubt", leaf.name, record.doubted[leaf.name]["reason"])]


def training_uses(leaf: Leaf, training: Any) -> bool:
    """Whether the section of `leaf` is switched on, where it has a switch."""
    section = training
    for part in leaf.path[:-1]:
        section = getattr(section, part)
    return bool(getattr(section, "enable", True))


def _rule_findings(family: Family, training: Any) -> list[Finding]:
    return [finding(rule.severity, rule.problem) for rule in family.check(training)]


def _severity(problem: Problem) -> str:
    return "error" if problem.code == "contradiction" else "warning"


def _demand(effective: Effective, family: Family, ttt: bool, training: bool) -> None:
    problems = []
    if ttt and effective.ttt is None:
        reasons = [one for one in effective.findings if one.code in ("model_config", "contradiction")]
        message = "; ".join(one.message for one in reasons) or "TTT is off in the effective configuration"
        problems.append(Problem("model_config", f"no layer configuration: {message}", "ttt"))
    known = leaves(family.model)
    message = "is needed to train, and neither file nor override gives it"
    demanded = family.required_to_train if training else ()
    problems += [Problem("missing", message, name) for name in demanded if not known[name].get(effective.training)]
    if problems:
        raise InputError(problems)
