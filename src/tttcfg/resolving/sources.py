"""Reading everything that was given, and raising the problems of all of it at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint, read_model_config, weight_names
from tttcfg.documents.document import Document, load_document
from tttcfg.documents.effective import Weights
from tttcfg.errors import InputError, Problem
from tttcfg.family.extension import Extension, all_fields
from tttcfg.family.family import Family
from tttcfg.resolving.config import Given, given, merged, read_config, tree_of
from tttcfg.resolving.overrides import Overrides, Overriding, read_overrides
from tttcfg.schema.fields import Role
from tttcfg.urls import address

Config = str | os.PathLike[str] | Mapping[str, Any] | Given
NOTHING = Given({}, {})


class Sources(NamedTuple):
    """Everything that was given, each source read, migrated and validated alone."""

    overrides: Overrides
    checkpoint: Checkpoint | None
    document: Document | None
    config: Given
    model: Mapping[str, Any] | None
    model_name: str
    own_model: Mapping[str, Any] | None = None
    weights: Weights | None = None

    def part(self, extension: Extension) -> Sources:
        """Return the sources of an extension; problems of the checkpoint itself are reported with the family."""
        checkpoint = None if self.checkpoint is None else self.checkpoint._replace(unread=(), passed_over=())
        document = None if self.document is None else self.document.part(extension)
        name = extension.name
        overrides, config = self.overrides.parts.get(name, Overrides()), self.config.parts.get(name, NOTHING)
        return Sources(overrides, checkpoint, document, config, None, "")


def read_sources(
    family: Family,
    checkpoint: str | os.PathLike[str] | None,
    config: Config | Iterable[Config] | None,
    overrides: Overriding,
    model_config: str | os.PathLike[str] | None,
    *,
    restoring: bool = True,
) -> Sources:
    """Read every source, or raise one InputError with the problems of all of them.

    Args:
        restoring: Whether the checkpoint's saved configuration is used.
    """
    problems: list[Problem] = []

    def attempt(read: Any, *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except InputError as error:
            problems.extend(error.problems)
            return None

    overriding = attempt(read_overrides, overrides, family)
    last, problems = problems, []
    overridden = set(overriding.names) if overriding else set()
    found = attempt(find_checkpoint, checkpoint, weight_names(family)) if checkpoint is not None else None
    document = attempt(_saved, found.document, family, overridden, restoring) if found and found.document else None
    configs = [attempt(_read_one, one, family) for one in _listed(config)]
    problems += last
    model_file = address(model_config) if model_config is not None else found.model_config if found else None
    model = attempt(read_model_config, model_file) if model_file is not None else None
    replaced = found.model_config if found and model_config is not None else None
    own = attempt(read_model_config, replaced) if replaced is not None else None
    weights = attempt(_weights_of, found.weights, family) if found and found.weights else None
    if found is not None and found.document is None and weights is not None:
        document = attempt(_embedded_in, weights, family)
    if problems:
        raise InputError(problems)
    files = merged(configs) if configs else NOTHING
    return Sources(overriding, found, document, files, model, str(model_file or ""), own, weights)


_REFUSED_VALUES = ("rejected", "not_finite", "too_large", "encoding")


def _saved(path: str, family: Family, overridden: Collection[str], restoring: bool) -> Document:
    """Read a checkpoint's configuration, skipping refused values that define nothing and are not used."""
    try:
        return load_document(path, family)
    except InputError as error:
        refused = error.problems
    left: list[Problem] = []
    past: set[str] = set()
    for one in refused:
        fields = _harmless(one.key, family) if one.code in _REFUSED_VALUES else set()
        if fields and (not restoring or fields.issubset(overridden)):
            past |= {one.key, *fields}
        elif fields:
            what = one.key if len(fields) == 1 else f"all of {one.key}"
            advice = f"override {what} to go on, or leave the saved configuration out with --restore none"
            left.append(one._replace(advice=advice))
        else:
            left.append(one)
    if left:
        raise InputError(left)
    return load_document(path, family, past)


def _harmless(key: str, family: Family) -> set[str]:
    """Return the fields that a value at `key` is of, or those below it, if none of them is model-defining."""
    fields, key = all_fields(family), family.chain.spellings.get(key, key)
    while key:
        found = {name for name in fields if name == key or name.startswith(f"{key}.")}
        if found:
            return found if all(fields[name].role not in _MODEL_DEFINING for name in found) else set()
        key = key.rpartition(".")[0]  # an item of a list
    return set()


_MODEL_DEFINING = (Role.ARCHITECTURE, Role.COMPUTATION)


def _weights_of(paths: tuple[str, ...], family: Family) -> Weights:
    from tttcfg.verification.verify import weights_of  # and what reads tensors: only a checkpoint with weights needs it

    return weights_of(paths, family)


def _embedded_in(weights: Weights, family: Family) -> Document | None:
    """Return the configuration that is embedded in weights, if one is."""
    from tttcfg.verification.tags import embedded_document  # only weights that are tagged need it

    return embedded_document(weights.header, family)


def _listed(config: Config | Iterable[Config] | None) -> list[Config]:
    if config is None:
        return []
    return [config] if isinstance(config, (str, os.PathLike, Mapping, Given)) else list(config)


def _read_one(config: Config, family: Family) -> Given:
    if isinstance(config, Given):
        return config
    return given(tree_of(config, "config"), family) if isinstance(config, Mapping) else read_config(config, family)
