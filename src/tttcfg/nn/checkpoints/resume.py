"""Resuming a run from a checkpoint, bit for bit as if it had never stopped."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

from tttcfg.documents.checkpoint import Checkpoint
from tttcfg.documents.document import DOCUMENT_NAME, load_document
from tttcfg.documents.effective import Effective
from tttcfg.errors import ContradictionError, InputError, Place, Problem, TttcfgError, quote
from tttcfg.files.open_folder import inside, is_there
from tttcfg.files.storage import read_bytes
from tttcfg.nn.checkpoints.contents import CHANGED
from tttcfg.nn.checkpoints.load import Loaded, load_checkpoint
from tttcfg.nn.checkpoints.manifests import MANIFEST_NAME, defect_and_doubt
from tttcfg.nn.checkpoints.opened import opened_together, place_of
from tttcfg.nn.checkpoints.tensor_file import digest_of_stored, reading
from tttcfg.nn.checkpoints.training_side import TrainingSide
from tttcfg.nn.checkpoints.training_state import (
    FORMAT,
    PARAMETERS,
    STATE_NAME,
    STATE_TENSORS_NAME,
    TENSORS,
    WEIGHTS,
    TrainingRun,
    check_optimizer,
    random_state,
    restore_optimizer,
    restore_random_state,
)
from tttcfg.nn.checkpoints.ttt_moshi import training_side
from tttcfg.nn.ranks.gather import put, tensors_of
from tttcfg.nn.ranks.ranks import log_once, rank, together, world_size
from tttcfg.resolving.families import as_document
from tttcfg.safetensors.header import Header, read_header
from tttcfg.safetensors.shards import read_weights
from tttcfg.schema.paths import Tree

logger = logging.getLogger(__name__)
_CAP = 1 << 28


class Resumed(NamedTuple):
    """Where a run resumes.

    Attributes:
        step: The step that was done last.
        loaded: The weights that were loaded; None of merged ones, where the adapters came from the training state.
        optimizer: Whether the optimiser's state was restored.
        random: Whether the states of this rank's random generators were.
    """

    step: int
    loaded: Loaded | None
    optimizer: bool
    random: bool


def resume(run: TrainingRun, configuration: Any, path: str | os.PathLike[str]) -> Resumed:
    """Bring a run to where it was when a checkpoint was saved; see `Checkpointer.resume`."""
    document = as_document(configuration)
    side = training_side(document.family)
    if side.setting(document.training, side.reset_optimizer):  # what stays as it is might as well not be there
        run = replace(run, optimizer=None, scheduler=None)
    with opened_together(path) as found:
        saved = together(lambda: _checked(run, side, found))
        merged, as_saved = together(lambda: _as_saved(configuration, found.folder))
        loaded = None if merged else load_checkpoint(run.model, place_of(found, path), as_saved)
        if merged and (odd := defect_and_doubt(found.folder)[1]):
            log_once(logger, logging.WARNING, "%s: when it was saved, %s", found.folder, odd)
        known = together(lambda: _restored(run, saved, inside(found.folder, STATE_TENSORS_NAME)))
    if len(saved["random"]) != world_size():
        message = "was saved by %d ranks and is resumed by %d: random numbers are not those of a run without a stop"
        log_once(logger, logging.WARNING, message, len(saved["random"]), world_size())
    run.state.step = 0 if side.setting(document.training, side.reset_step) else saved["step"]
    log_once(logger, logging.INFO, "resumed from %s at step %d", found.folder, run.state.step)
    return Resumed(run.state.step, loaded, run.optimizer is not None, known)


def _restored(run: TrainingRun, saved: Tree, tensors: str) -> bool:
    """Restore everything but weights and step; return whether this rank's random generators were."""
    targets = tensors_of(run.model)
    with reading(tensors) as file:
        names = file.header.names
        for name in (name for name in names if name.startswith(PARAMETERS)):
            put(targets[name.removeprefix(PARAMETERS)], file.tensor(name))
        if run.optimizer is not None:
            restore_optimizer(run.model, run.optimizer, saved["optimizer"], names, file.tensor)
    if run.scheduler is not None:
        run.scheduler.load_state_dict(saved["scheduler"])
    known = rank() < len(saved["random"])
    if known:
        restore_random_state(saved["random"][rank()])
    return known


def _checked(run: TrainingRun, side: TrainingSide, found: Checkpoint) -> Tree:
    """Return the training state of a checkpoint, having checked that all of it can be restored."""
    folder = found.folder
    name, place = inside(folder, STATE_NAME), Place(folder)
    if not is_there(name):
        message, advice = "has no training state to resume from", "load its weights alone with load_checkpoint"
        raise InputError(Problem("not_found", message, place=place, advice=advice))
    if found_defect := defect_and_doubt(folder)[0]:
        advice = f"resume from an earlier checkpoint, or delete {MANIFEST_NAME} to resume from this one all the same"
        raise InputError(Problem("rejected", f"when it was saved, {found_defect}", place=place, advice=advice))
    saved = _read_state(name)
    try:
        _check_form(saved)
        problems = list(_misfits(run, side, saved))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, TttcfgError):
            raise
        raise _broken(name, f"is not a training state ({type(error).__name__}: {error})") from None
    tensors = read_header(inside(folder, STATE_TENSORS_NAME))
    problems += _mismatched(run, tensors)
    if rank() == 0:  # what all ranks share need not be read by each of them
        problems += _of_another_save(saved[TENSORS], tensors)
        for one in found.weights[:1]:
            problems += _of_another_save(saved[WEIGHTS], read_weights(one))
    if problems:
        raise ContradictionError(problems)
    return saved


def _read_state(name: str) -> Tree:
    data = read_bytes(name, _CAP)
    try:
        saved: Tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _broken(name, f"is not JSON ({error})") from None
    if isinstance(saved, dict) and saved.get("format") != FORMAT:
        message = f"has format {quote(saved.get('format'))}, of another version of tttcfg; this one reads {FORMAT}"
        advice = "resume with the version that wrote it, or load its weights alone with load_checkpoint"
        raise InputError(Problem("version", message, place=Place(name), advice=advice))
    return saved


def _broken(name: str, message: str) -> InputError:
    advice = "resume from another checkpoint, or load its weights alone with load_checkpoint"
    return InputError(Problem("syntax", message, place=Place(name), advice=advice))


def _of_another_save(digest: str, header: Header) -> Iterator[Problem]:
    """Yield that tensors are not those which were written with the training state, if so."""
    if header.truncated is not None:
        raise InputError(header.truncated)
    with ExitStack() as stack:
        parts = header.parts or (header,)
        found = digest_of_stored([stack.enter_context(reading(part.name)) for part in parts])
    if found != digest:
        message = f"was not saved together with the {STATE_NAME} beside it: one of the two was replaced or copied here"
        advice = "put back what belongs there, or load the weights alone with load_checkpoint"
        yield Problem("binding", message, place=Place(header.name), advice=advice)


def _check_form(saved: Tree) -> None:
    """Fail, in one of many ways, where a training state lacks what restoring is going to read."""
    [str.strip(saved[key]) for key in (WEIGHTS, TENSORS)]
    if type(saved["step"]) is not int or saved["step"] < 0:
        raise ValueError("step is not an integer of at least 0")
    if (optimizer := saved["optimizer"]) is not None:
        [dict.items(group) for group in optimizer["groups"]]
        [dict.items(state) for state in dict.values(optimizer["state"])]
    if saved["scheduler"] is not None:
        dict.items(saved["scheduler"])
    if not isinstance(saved["random"], list):
        raise TypeError("random is not a list")
    if rank() < len(saved["random"]):
        now = random_state()
        try:
            restore_random_state(saved["random"][rank()])
        finally:
            restore_random_state(now)


def _misfits(run: TrainingRun, side: TrainingSide, saved: Tree) -> Iterator[Problem]:
    """Yield where the optimiser and schedule of a run cannot be restored from what was saved."""
    if run.optimizer is not None and saved["optimizer"] is not None:
        yield from check_optimizer(run.model, run.optimizer, saved["optimizer"])
    afresh = f"override {side.reset_optimizer}=true to start afresh" if side.reset_optimizer else ""
    advice = afresh or "construct the Checkpointer without it"
    for name, trained_by in (("optimizer", run.optimizer), ("scheduler", run.scheduler)):
        if trained_by is not None and saved[name] is None:
            yield Problem("missing", "the checkpoint has none", name, advice=advice)


def _mismatched(run: TrainingRun, header: Header) -> Iterator[Problem]:
    """Yield what was saved unrounded and is no tensor of the model."""
    targets = tensors_of(run.model)
    for name in (name for name in header.names if name.startswith(PARAMETERS)):
        own, shape = name.removeprefix(PARAMETERS), header.shape(name)
        if own not in targets or tuple(targets[own].shape) != shape:
            yield Problem("contradiction", f"is not a tensor of the model with the shape {list(shape)}", own)


def _as_saved(configuration: Any, folder: str) -> tuple[bool, Any]:
    """Return whether a checkpoint's weights are merged, and the configuration as it was when they were saved.

    Saving changes settings that the saved weights no longer have; training is resumed with those that it had.
    """
    saved = load_document(inside(folder, DOCUMENT_NAME), as_document(configuration).family)
    changed = saved.provenance.get(CHANGED) or {}
    if not changed:
        return False, configuration
    document = as_document(configuration)
    merged = any(name != training_side(document.family).dtype for name in changed)
    sections = {name.partition(".")[0] for name in changed}
    training = document.training.model_copy(update={name: getattr(saved.training, name) for name in sections})
    if isinstance(configuration, Effective):
        return merged, replace(configuration, training=training)
    return merged, replace(document, source=training)
