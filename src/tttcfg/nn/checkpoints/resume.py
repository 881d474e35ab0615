"""Resuming a run from a checkpoint, bit for bit as if it had never stopped."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint
from tttcfg.documents.document import DOCUMENT_NAME, Document, load_document
from tttcfg.documents.effective import Effective
from tttcfg.errors import ContradictionError, InputError, Place, Problem, TttcfgError, quote
from tttcfg.files.storage import read_bytes
from tttcfg.nn.checkpoints.agreement import training_side
from tttcfg.nn.checkpoints.contents import CHANGED
from tttcfg.nn.checkpoints.load import Loaded, load_checkpoint
from tttcfg.nn.checkpoints.manifests import MANIFEST_NAME, defect, doubt
from tttcfg.nn.checkpoints.tensor_file import digest_of_sample, reading
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


class Resets(NamedTuple):
    """What a configuration leaves as it is when a run resumes, and how to leave the optimiser so."""

    optimizer: bool
    step: bool
    advice: str


def resets_of(document: Document) -> Resets:
    """Return what a configuration leaves as it is when a run resumes, by the fields that its family has for that."""
    side = training_side(document.family)
    optimizer, step = (side.setting(document.training, key) for key in (side.reset_optimizer, side.reset_step))
    afresh = f"override {side.reset_optimizer}=true to start afresh" if side.reset_optimizer else ""
    return Resets(bool(optimizer), bool(step), afresh or "construct the Checkpointer without it")


def resume(run: TrainingRun, configuration: Any, path: str | os.PathLike[str]) -> Resumed:
    """Bring a run to where it was when a checkpoint was saved; see `Checkpointer.resume`."""
    document = as_document(configuration)
    resets = resets_of(document)
    found = together(lambda: find_checkpoint(path))
    folder = Path(found.folder)
    saved = together(lambda: _checked(run, resets, found))
    merged, configuration = together(lambda: _as_saved(configuration, folder))
    loaded = None if merged else load_checkpoint(run.model, path, configuration)
    for problem in found.passed_over if merged else ():  # load_checkpoint warns of others
        log_once(logger, logging.WARNING, "%s", problem)
    if merged and (odd := doubt(folder)):
        log_once(logger, logging.WARNING, "%s: when it was saved, %s", folder, odd)
    optimizer, known = together(lambda: _restored(run, resets, saved, str(folder / STATE_TENSORS_NAME)))
    if len(saved["random"]) != world_size():
        message = "was saved by %d ranks and is resumed by %d: random numbers are not those of a run without a stop"
        log_once(logger, logging.WARNING, message, len(saved["random"]), world_size())
    run.state.step = 0 if resets.step else saved["step"]
    log_once(logger, logging.INFO, "resumed from %s at step %d", folder, run.state.step)
    return Resumed(run.state.step, loaded, optimizer, known)


def _restored(run: TrainingRun, resets: Resets, saved: Tree, tensors: str) -> tuple[bool, bool]:
    """Restore everything but weights and step; return whether optimiser and random generators were."""
    targets = tensors_of(run.model)
    optimizer = run.optimizer is not None and not resets.optimizer
    with reading(tensors) as tensor_of:
        names = read_header(tensors).names
        for name in (name for name in names if name.startswith(PARAMETERS)):
            put(targets[name.removeprefix(PARAMETERS)], tensor_of(name))
        if optimizer and run.optimizer is not None:
            restore_optimizer(run.model, run.optimizer, saved["optimizer"], names, tensor_of)
    if run.scheduler is not None and not resets.optimizer:
        run.scheduler.load_state_dict(saved["scheduler"])
    known = rank() < len(saved["random"])
    if known:
        restore_random_state(saved["random"][rank()])
    return optimizer, known


def _checked(run: TrainingRun, resets: Resets, found: Checkpoint) -> Tree:
    """Return the training state of a checkpoint, having checked that all of it can be restored."""
    folder = Path(found.folder)
    name, place = folder / STATE_NAME, Place(str(folder))
    if not name.exists():
        message, advice = "has no training state to resume from", "load its weights alone with load_checkpoint"
        raise InputError(Problem("not_found", message, place=place, advice=advice))
    if found_defect := defect(folder):
        advice = f"resume from an earlier checkpoint, or delete {MANIFEST_NAME} to resume from this one all the same"
        raise InputError(Problem("rejected", f"when it was saved, {found_defect}", place=place, advice=advice))
    saved = _read_state(name)
    try:
        _check_form(saved)
        problems = list(_misfits(run, resets, saved))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, TttcfgError):
            raise
        raise _broken(name, f"is not a training state ({type(error).__name__}: {error})") from None
    tensors = read_header(folder / STATE_TENSORS_NAME)
    problems += _mismatched(run, tensors)
    if rank() == 0:  # what all ranks share need not be read by each of them
        problems += _of_another_save(saved[TENSORS], tensors)
        for one in found.weights[:1]:
            problems += _of_another_save(saved[WEIGHTS], read_weights(one))
    if problems:
        raise ContradictionError(problems)
    return saved


def _read_state(name: Path) -> Tree:
    try:
        saved: Tree = json.loads(read_bytes(name, _CAP))
    except (ValueError, RecursionError) as error:
        if isinstance(error, TttcfgError):
            raise
        raise _broken(name, f"is not JSON ({error})") from None
    if isinstance(saved, dict) and saved.get("format") != FORMAT:
        message = f"has format {quote(saved.get('format'))}, of another version of tttcfg; this one reads {FORMAT}"
        advice = "resume with the version that wrote it, or load its weights alone with load_checkpoint"
        raise InputError(Problem("version", message, place=Place(str(name)), advice=advice))
    return saved


def _broken(name: Path, message: str) -> InputError:
    advice = "resume from another checkpoint, or load its weights alone with load_checkpoint"
    return InputError(Problem("syntax", message, place=Place(str(name)), advice=advice))


def _of_another_save(digest: str, header: Header) -> Iterator[Problem]:
    """Yield that tensors are not those which were written with the training state, if so."""
    if header.truncated is not None:
        raise InputError(header.truncated)
    with ExitStack() as stack:
        parts = [(part, stack.enter_context(reading(part.name))) for part in header.parts or (header,)]
        found = digest_of_sample((name, tensor_of(name)) for part, tensor_of in parts for name in part.names)
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


def _misfits(run: TrainingRun, resets: Resets, saved: Tree) -> Iterator[Problem]:
    """Yield where the optimiser and schedule of a run cannot be restored from what was saved."""
    if run.optimizer is not None and not resets.optimizer:
        if saved["optimizer"] is None:
            yield Problem("missing", "the checkpoint has none", "optimizer", advice=resets.advice)
        else:
            yield from check_optimizer(run.model, run.optimizer, saved["optimizer"])
    if run.scheduler is not None and saved["scheduler"] is None and not resets.optimizer:
        yield Problem("missing", "the checkpoint has none", "scheduler", advice=resets.advice)


def _mismatched(run: TrainingRun, header: Header) -> Iterator[Problem]:
    """Yield what was saved unrounded and is no tensor of the model."""
    targets = tensors_of(run.model)
    for name in (name for name in header.names if name.startswith(PARAMETERS)):
        own, shape = name.removeprefix(PARAMETERS), header.shape(name)
        if own not in targets or tuple(targets[own].shape) != shape:
            yield Problem("contradiction", f"is not a tensor of the model with the shape {list(shape)}", own)


def _as_saved(configuration: Any, folder: Path) -> tuple[bool, Any]:
    """Return whether a checkpoint's weights are merged, and the configuration as it was when they were saved.

    Saving changes settings that the saved weights no longer have; training is resumed with those that it had.
    """
    saved = load_document(folder / DOCUMENT_NAME, as_document(configuration).family)
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
