"""Loading a checkpoint's tensors into a model: verified first, strictly, one tensor at a time.

`restore` goes from a path to a model that computes what was saved, in one call.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import nn

from tttcfg.documents.checkpoint import ADAPTERS_NAME, Checkpoint, read_model_config
from tttcfg.documents.document import Document, load_document
from tttcfg.documents.effective import Effective, deciding
from tttcfg.errors import ContradictionError, InputError, Place, Problem, quote, some
from tttcfg.evidence.evidence import Proof
from tttcfg.family.family import Derived, Family, family_of
from tttcfg.nn.checkpoints.contents import CHANGED, contradictions, departures
from tttcfg.nn.checkpoints.manifests import MANIFEST_NAME, defect_and_doubt, is_edited
from tttcfg.nn.checkpoints.opened import opened_together, place_of
from tttcfg.nn.checkpoints.tensor_file import dtype_named, reading
from tttcfg.nn.checkpoints.training_side import BASE
from tttcfg.nn.checkpoints.ttt_moshi import training_side
from tttcfg.nn.fingerprints.fingerprints import Computation, check_computation
from tttcfg.nn.ranks.gather import put, tensors_of, unwrapped
from tttcfg.nn.ranks.ranks import log_once, resolve_together, together
from tttcfg.resolving.families import as_document
from tttcfg.resolving.overrides import Overriding
from tttcfg.resolving.sources import Config
from tttcfg.safetensors.header import Header
from tttcfg.safetensors.shards import read_weights
from tttcfg.schema.defining import defining_value
from tttcfg.schema.fields import UNSET, plain
from tttcfg.urls import Url
from tttcfg.verification.tags import embedded_document
from tttcfg.verification.verify import weights_in

logger = logging.getLogger(__name__)
_SHOWN = 4


@dataclass(frozen=True)
class Loaded:
    """What was loaded.

    Attributes:
        path: The weights file, or the index of several.
        adapters: Whether the file holds only what was trained, so that the base model stayed as it was built.
        tensors: How many tensors were loaded.
        groups: The same by what they belong to: ttt, lora, base; the family names the groups.
        kept: How many tensors of the model are not in the file.
        dtype: What floating-point tensors are stored in; None where they differ.
        deviations: Settings that were changed on purpose, and that decide what the model computes.
    """

    path: str
    adapters: bool
    tensors: int
    groups: Mapping[str, int]
    kept: int
    dtype: str | None
    deviations: tuple[str, ...]

    def __str__(self) -> str:
        parts = ", ".join(f"{count} {group}" for group, count in sorted(self.groups.items()))
        kept = f"; {self.kept} tensors of the base model stay as they were built" if self.kept else ""
        changed = f"; changed on purpose: {', '.join(self.deviations)}" if self.deviations else ""
        return f"{self.tensors} tensors ({parts}) in {self.dtype or 'several types'} from {self.path}{kept}{changed}"


def load_checkpoint(
    model: nn.Module, path: str | os.PathLike[str], effective: Any, *, family: Family[Any, Any] | None = None
) -> Loaded:
    """Load the tensors of a checkpoint into a model that was built of a configuration.

    Before a tensor is read, the configuration is checked against the tensors, against what the checkpoint was saved
    with, and against the model; and the model's tensors against the file's. A file with the whole model must hold
    exactly the tensors of the model; one of adapters all adapters and all of TTT, and nothing that the model has not.

    Under adapters the base model stays as it was built. Of it is checked only that the file's tensors fit by name and
    shape, and not what its own tensors hold: adapters load onto any base model of the same shapes. `check_computation`,
    which `restore` calls, shows whether it is the one that they were trained on.

    config.json must have the values that the checkpoint's manifest.json records, if there is one: the delays, for
    example, are not determined by the tensors. Where other values are meant, delete manifest.json; the checkpoint is
    then not pruned either.

    Args:
        model: The model, in DistributedDataParallel, sharded by `fully_shard`, or as it is.
        path: Any path into a checkpoint.
        effective: What `tttcfg.resolve` returned for this checkpoint; or a model of any family, `Effective`,
            `Document`, dataclass instance, namespace or mapping.
        family: As in `tttcfg.resolve`.

    A checkpoint of a model that had non-finite numbers is loaded with a warning.

    Raises:
        InputError: There are no weights, or they cannot be read, by any rank; the model may hold some of them by then.
        ContradictionError: Checkpoint, configuration and model contradict each other; every problem is named, and
            the model is as it was.
    """
    model = unwrapped(model)
    with opened_together(path) as found:
        header, planned = together(lambda: _planned(model, found, effective, family))
        tensors = tensors_of(model)
        done = together(lambda: _filled(tensors, header))
        loaded = replace(planned, kept=len({id(one) for one in tensors.values()} - done))
        log_once(logger, logging.INFO, "loaded %s", loaded)
        defect, doubt = defect_and_doubt(found.folder)
        if defect or doubt:
            log_once(logger, logging.WARNING, "%s: when it was saved, %s", header.name, defect or doubt)
    return loaded


def _filled(tensors: Mapping[str, torch.Tensor], header: Header) -> set[int]:
    """Read the tensors of a header into a model's tensors, each once; return their identities."""
    done = set[int]()
    for part in header.parts or (header,):
        with reading(part.name) as file:
            for name in part.names:
                if id(tensors[name]) not in done:
                    put(tensors[name], file.tensor(name))
                    done.add(id(tensors[name]))
    return done


def _planned(
    model: nn.Module, found: Checkpoint, effective: Any, family: Family[Any, Any] | None
) -> tuple[Header, Loaded]:
    """Return the header of what is to be loaded, and what will have been; which tensors are kept is not known yet."""
    header = _header(found)
    given = as_document(effective, family)
    training, family = given.training, given.family
    weights = weights_in(header, family)
    evidence = weights.evidence
    shown = family.tensors is not None and evidence.dialect is not None and evidence.dialect.base.whole
    adapters = not evidence.whole if shown else os.path.basename(header.name) == ADAPTERS_NAME
    saved = load_document(found.document, family) if found.document else embedded_document(header, family)
    origins = effective.origins if isinstance(effective, Effective) else None
    config = read_model_config(found.model_config) if found.model_config is not None else None
    named = (config, found.model_config or "")
    if config is None and isinstance(effective, Effective):
        derived = Derived(effective.ttt, {}, ())
    else:
        derived = family.derive(training, *named, weights.proved)
    merged: Mapping[str, Proof] = {}
    if saved is not None:
        merged = family.knowledge.as_saved(lambda name: family.fields[name].get(saved.training), evidence)
    problems, deviations = _changed(effective, given, saved, {name: one.value for name, one in merged.items()})
    if found.model_config is not None and is_edited(found.model_config):
        message = "was changed since the checkpoint was saved"
        advice = f"put it back, or delete {MANIFEST_NAME} if it is meant"
        problems.append(Problem("binding", message, place=Place(found.model_config), advice=advice))
    problems += contradictions(training, family, weights, named, derived, document=saved, origins=origins)
    problems += departures(model, family, training, derived, _trained_in(saved))
    group_of = training_side(family).group_of
    problems += _names(header, tensors_of(model), adapters, group_of)
    if problems:
        raise ContradictionError(dict.fromkeys(problems), effective)
    dtype = evidence.dtype.value if evidence.dtype is not None else None
    groups = Counter(map(group_of, header.names))
    return header, Loaded(str(header.name), adapters, len(header), dict(groups), 0, dtype, tuple(deviations))


def _trained_in(saved: Document | None) -> torch.dtype | None:
    """Return the type that the weights had in training, where they were saved in another one."""
    changed = saved.provenance.get(CHANGED) if saved is not None else None
    return dtype_named(changed.get(training_side(saved.family).dtype)) if saved and isinstance(changed, dict) else None


def _header(found: Checkpoint) -> Header:
    if not found.weights:
        raise InputError(Problem("not_found", "has no weights to load", place=Place(found.folder)))
    if isinstance(found.weights[0], Url):
        advice = "download it, and load what was downloaded"
        raise InputError(Problem("unreadable", "is a URL", place=found.weights[0], advice=advice))
    header = read_weights(found.weights[0])
    if header.truncated is not None:
        raise InputError(header.truncated)
    return header


def _changed(
    effective: Any, given: Document, saved: Document | None, merged: Mapping[str, Any]
) -> tuple[list[Problem], list[str]]:
    """Return where a configuration is not what the weights were saved with: by mistake, and on purpose.

    Args:
        merged: What saving has changed, as the saved configuration has it.
    """
    problems: list[Problem] = []
    deviations: list[str] = []
    for field in given.family.model_defining_fields if saved is not None else ():
        now, then = field.get(given.training), field.get(saved.training)  # type: ignore[union-attr]
        if UNSET in (now, then):
            continue  # of another variant, the name of which is compared
        if now in (then, merged.get(field.name, then)) or field.name in saved.assumed:  # type: ignore[union-attr]
            continue
        if defining_value(field, now) == defining_value(field, then):
            continue  # but for what is inside and defines nothing
        origin = deciding(effective.origins[field.name]) if isinstance(effective, Effective) else None
        if origin is not None and origin.source == "override":
            deviations.append(field.name)
            continue
        where = f" ({origin.where})" if origin is not None and origin.where else ""
        message = f"is {quote(plain(now))}{where}, but the weights were saved with {quote(plain(then))}"
        advice = "resolve the configuration with this checkpoint, or override it there on purpose"
        problems.append(Problem("contradiction", message, field.name, advice=advice))
    return problems, deviations


def _names(
    header: Header, tensors: Mapping[str, torch.Tensor], adapters: bool, group_of: Callable[[str], str]
) -> Iterator[Problem]:
    """Yield where the tensors of a file are not those that the model is to get."""
    if adapters:
        first: dict[int, str] = {}
        for name, tensor in tensors.items():
            first.setdefault(id(tensor), name)
        known = {name: tensors[name] for name in first.values()}
        wanted: Collection[str] = {name: one for name, one in known.items() if group_of(name) != BASE}
    else:
        known, wanted = dict(tensors), tensors
    for names, reason in (
        ([name for name in wanted if name not in header], "the model has tensors that are not in the file"),
        ([name for name in header.names if name not in known], "the file has tensors that are not in the model"),
        ([name for name, one in known.items() if one.is_meta and name in wanted], "the model has tensors without data"),
    ):
        if names:
            yield Problem("contradiction", f"{reason}: {some(names, _SHOWN)}", place=Place(header.name))
    for name in header.names:
        if name in known and tuple(known[name].shape) != header.shape(name):
            shapes = f"has the shape {list(header.shape(name))} in the file and {list(known[name].shape)} in the model"
            yield Problem("contradiction", shapes, name, Place(header.name))


class Restored(NamedTuple):
    """A restored model in evaluation mode, its configuration, what was loaded, and whether it computes the same."""

    model: nn.Module
    effective: Effective
    loaded: Loaded
    computation: Computation


def restore(
    path: str | os.PathLike[str],
    config: Config | Iterable[Config] = (),
    overrides: Overriding = (),
    *,
    build: Callable[[Mapping[str, Any], Effective], nn.Module],
    model_config: str | os.PathLike[str] | None = None,
    family: Family[Any, Any] | None = None,
) -> Restored:
    """Resolve a checkpoint's configuration, build its model, load it, and see that it computes what was saved.

    Under torchrun every rank calls it; rank 0 resolves, and all ranks agree.

    Args:
        path: Any path into the checkpoint.
        config: Configuration files; for what decides the computation, the checkpoint overrides them.
        overrides: What is changed on purpose. Where that decides the computation, a difference is only reported.
        build: From the model's config.json and the effective configuration to the model, with TTT and adapters in it
            and, for a checkpoint of adapters only, with the weights of the base model.
        model_config: The model's config.json, where the checkpoint has none.
        family: Of the configuration; None takes that of the checkpoint's document.

    Raises:
        InputError: Something that was given cannot be used.
        ContradictionError: Configuration, model and tensors contradict each other, or it computes something else.
    """
    with opened_together(path) as found:
        place = place_of(found, path)
        effective = resolve_together(place, config, overrides, model_config=model_config, family=family)
        model = together(lambda: build(_model_config(found, model_config), effective))
        loaded = load_checkpoint(model, place, effective)
        model.eval()
        own = family_of(type(effective.training))
        computation = check_computation(model, place, deviations=loaded.deviations, family=own)
    was = "was " if computation.agrees is None else ""
    log_once(logger, logging.INFO if computation.agrees else logging.WARNING, "the model %s%s", was, computation)
    return Restored(model, effective, loaded, computation)


def _model_config(found: Checkpoint, given: str | os.PathLike[str] | None) -> Mapping[str, Any]:
    name = given or found.model_config
    if name is None:
        message = "has no config.json, so the model cannot be built"
        raise InputError(Problem("not_found", message, place=Place(found.folder), advice="give model_config"))
    return read_model_config(name)
