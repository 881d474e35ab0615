"""`Checkpointer`: every checkpoint with its configuration, written whole or not at all."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tttcfg.documents.checkpoint import MODEL_CONFIG_NAME
from tttcfg.documents.convert import extended
from tttcfg.documents.effective import Effective
from tttcfg.documents.save import recording, save_document, weights_record
from tttcfg.errors import InputError, Problem, quote, some
from tttcfg.family.family import Family
from tttcfg.nn.checkpoints.contents import Contents, configuration_of, contents_of_save, kept, plain_config
from tttcfg.nn.checkpoints.folders import STEPS, RunFolder, write_json
from tttcfg.nn.checkpoints.resume import Resumed, resume
from tttcfg.nn.checkpoints.tensor_file import digest_of_sample, write_tensors
from tttcfg.nn.checkpoints.training_state import (
    PARAMETERS,
    STATE_NAME,
    STATE_TENSORS_NAME,
    TENSORS,
    WEIGHTS,
    Stepped,
    TrainingRun,
    state_tensors,
    state_values,
)
from tttcfg.nn.checkpoints.ttt_moshi import training_side
from tttcfg.nn.fingerprints.fingerprints import FINGERPRINT_NAME, NOT_FINITE, fingerprint, unavailable
from tttcfg.nn.ranks.gather import gathered, plain_name, tensors_of, unwrapped
from tttcfg.nn.ranks.ranks import agree, log_once, on_first, rank, same, together
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import Section
from tttcfg.schema.paths import Tree
from tttcfg.verification.tags import tag_for

logger = logging.getLogger(__name__)
_PATIENCE_SECONDS = 60.0


class Checkpointer:
    """Saves a run's checkpoints, each with everything that is needed to use it and to resume from it.

        run_dir/checkpoints/run_….json                     the starts of this run, whose checkpoints it may prune
        run_dir/checkpoints/checkpoint_001000/consolidated/
            lora.safetensors or consolidated.safetensors   what was trained, or the whole model with adapters merged
            config.json                                    the model's
            training_config.json                           the effective configuration; bound to the weights both ways
            fingerprint.json                               what the model returns for a fixed input
            training_state.json, .safetensors              optimiser, schedule, random numbers, unrounded parameters
            manifest.json                                  the run, and of every file its size and a digest of a sample
                                                           of its bytes: where these differ, a checkpoint is not pruned

    Constructing one tries a save of everything but tensors, so that none fails after hours for what could be known
    before. Under torchrun every rank constructs it, once the model is wrapped or sharded, and every rank saves.

    Args:
        model: The model, in DistributedDataParallel, sharded by `fully_shard`, or as it is.
        state: Anything with a whole number `step`.
        run_dir: The folder of the run.
        config: The model's config.json; it is not changed.
        optimizer: What trains it; without one, the checkpoint holds no optimiser's state.
        num_ckpt_keep: How many checkpoints stay, the newest by step; None keeps all. Those with non-finite
            numbers are counted apart: a run that diverges removes none from before.
        full_finetuning: Whether the whole model is trained; an error where the configuration has it otherwise.
        training_args: What `tttcfg.resolve` returned; or a model of any family, `Effective`, `Document`, dataclass
            instance, namespace or mapping.
        scheduler: The learning rate's schedule, whose state is saved with the optimiser's.
        fingerprint: Whether checkpoints keep what the model returns for a fixed input.
        extensions: The settings of extensions, where `training_args` does not hold them already.
        family: As in `tttcfg.resolve`.

    Raises:
        InputError: Something that was given cannot be saved.
        ContradictionError: The model is not of this configuration; every contradiction is named.
        RankError: The ranks hold different configurations.
        WriteError: The run's folder cannot be written.
    """

    def __init__(
        self,
        model: nn.Module,
        state: Stepped,
        run_dir: str | os.PathLike[str],
        config: Mapping[str, Any],
        optimizer: torch.optim.Optimizer | None = None,
        num_ckpt_keep: int | None = None,
        full_finetuning: bool = False,
        training_args: Any = None,
        *,
        scheduler: Any = None,
        fingerprint: bool = True,
        extensions: Iterable[Section] = (),
        family: Family[Any, Any] | None = None,
    ) -> None:
        self.run = TrainingRun(unwrapped(model), state, optimizer, scheduler)
        self.folder = RunFolder(Path(run_dir) / STEPS)
        self.model_config = together(lambda: plain_config(config))
        self.keep, self.has_fingerprint = together(lambda: kept(num_ckpt_keep)), fingerprint
        self.document = together(lambda: extended(configuration_of(training_args, full_finetuning, family), extensions))
        self.configuration = training_args if isinstance(training_args, Effective) else self.document
        agree(self.document)
        save, _ = self._agreed()  # everything of a save but the tensors is done, on a folder that is removed again
        on_first(lambda: self._write_trial(save))

    def save_checkpoint(self, save_only_lora: bool | None = None, dtype: torch.dtype | None = None) -> Path:
        """Save a checkpoint of this step, and remove the oldest.

        Args:
            save_only_lora: Save what was trained and not the base model; False saves everything, adapters merged; None
                takes the configuration's `save_adapters`, unless the whole model is trained; of a family without a
                `training_side`, everything.
            dtype: The type of the weights in the file; None takes the configuration's `param_dtype`, or, where the
                family has no such field, the model's own types.

        Returns:
            The checkpoint's folder, which every rank then sees.

        Raises:
            ContradictionError: The model is not of this configuration any more; nothing was written.
            RankError: The ranks do not save the same; nothing was written.
            WriteError: The disk would not take it, and nothing was changed; or it was saved, and may be lost if the
                power fails: the message says which.
        """
        save, own = self._agreed(save_only_lora, dtype)
        tensors = tensors_of(self.run.model)
        weights = gathered({name: tensors[name] for name in save.contents.sources})
        state = gathered(own)
        folder = Path(on_first(lambda: str(self._write(save, weights, state))))
        together(lambda: _wait_for(folder))
        in_type = "" if save.contents.dtype is None else f" in {save.contents.dtype}"
        log_once(logger, logging.INFO, "saved %s: %d tensors%s", folder, len(save.contents.header), in_type)
        return folder

    def resume(self, path: str | os.PathLike[str]) -> Resumed:
        """Restore weights, optimiser, schedule, random numbers and step, as they were when a checkpoint was saved.

        The configuration's `reset_optimizer` leaves optimiser and schedule as they are, `reset_step` starts at step 0;
        another family's `TrainingSide` names its own fields.
        Merged weights hold no adapters: those come from the training state, the base model stays as it was built.

        Args:
            path: Any path that leads to the checkpoint; see `tttcfg.find_checkpoint`.

        Raises:
            InputError: The checkpoint holds no training state, has non-finite parameters, or cannot be read.
            ContradictionError: It is of another configuration, model or optimiser; every problem is named, and nothing
                was changed.
        """
        return resume(self.run, self.configuration, path)

    def _agreed(
        self, save_only_lora: bool | None = None, dtype: torch.dtype | None = None
    ) -> tuple[_Save, dict[str, torch.Tensor]]:
        """Return a save, and the tensors of its training state, of which all ranks have the same. A collective.

        Any difference is found here: in what follows ranks would wait for each other, or mix up tensors.
        """

        def own() -> tuple[Contents, dict[str, torch.Tensor]]:
            step = self.run.state.step
            if type(step) is not int or step < 0:
                message = f"must be an integer of at least 0, not {quote(step)}"
                raise InputError(Problem("rejected", message, "state.step"))
            contents = contents_of_save(self.run.model, self.document, self.model_config, save_only_lora, dtype)
            return contents, state_tensors(self.run, contents)

        contents, state = together(own)
        values: Tree = {
            "state.step": self.run.state.step,
            "num_ckpt_keep": self.keep,
            "save_only_lora": contents.trained_only,
            "dtype": str(contents.dtype),
            "fingerprint": self.has_fingerprint,
            "optimizer": _kind(self.run.optimizer),
            "scheduler": _kind(self.run.scheduler),
            "weights": contents.header.digest,
        }
        values |= {f"config.{name}": value for name, value in contents.model_config.items()}
        same({**values, **{name: list(tensor.shape) for name, tensor in state.items()}})
        return _Save(self.run.state.step, contents, self._fingerprint(contents), state_values(self.run)), state

    def _fingerprint(self, contents: Contents) -> Tree | None:
        """Return the fingerprint; one that cannot be made on any rank costs no checkpoint.

        A sharded model whose forward pass fails on some ranks only does: the others wait for them in the middle of it,
        until the group of processes gives up.
        """
        if not self.has_fingerprint:
            return None
        try:
            found = fingerprint(self.run.model, contents.model_config, contents.ttt, dtype=contents.dtype)
        except Exception as error:
            found = unavailable(f"the model cannot be run on the probe's input: {error!r}")
        if "unavailable" in found:
            log_once(logger, logging.WARNING, "checkpoints have no fingerprint: %s", found["unavailable"])
        return {**found, "weights": contents.header.digest}

    def _write_trial(self, save: _Save) -> str:
        self.folder.sweep()
        with self.folder.writing(save.step) as (inside, _):
            save.write_json_files(inside)
        if foreign := self.folder.foreign(save.step):
            message = "%s: not checkpoints of this run, or changed: %s; they are not pruned, and are renamed %s"
            logger.warning(message, self.folder.path, ", ".join(foreign), "where this run saves the same step")
        return ""

    def _write(self, save: _Save, weights: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> Path:
        contents = save.contents
        with self.folder.writing(save.step) as (inside, put):
            side, tag = training_side(contents.document.family), tag_for(contents.document)
            chosen = side.tensors(self.run.model, weights, contents.trained_only)
            non_finite = write_tensors(str(inside / contents.header.name), chosen, tag, contents.dtype)
            non_finite_state = write_tensors(str(inside / STATE_TENSORS_NAME), state, {"format": "pt"})
            save.values[WEIGHTS] = digest_of_sample(chosen.items(), contents.dtype)
            save.values[TENSORS] = digest_of_sample(state.items())
            save.write_json_files(inside, contents.header)
            defect, doubt = _defects(self.run.model, non_finite, non_finite_state, save.fingerprint)
            target = put(defect, doubt)
        if defect or doubt:
            logger.warning("%s: %s; num_ckpt_keep counts it apart", target, defect or doubt)
        self.folder.prune(save.step, self.keep)
        self.folder.sweep()
        return target


@dataclass(frozen=True)
class _Save:
    """One save: the step, what it holds, its fingerprint if there is one, and the JSON values of the training state."""

    step: int
    contents: Contents
    fingerprint: Tree | None
    values: Tree

    def write_json_files(self, inside: Path, *headers: Header) -> None:
        """Write everything but tensors; the document names the weights of `headers`."""
        write_json(inside / MODEL_CONFIG_NAME, self.contents.model_config)
        save_document(inside, recording(self.contents.document, map(weights_record, headers)))
        write_json(inside / STATE_NAME, self.values, indent=None)
        if self.fingerprint is not None:
            write_json(inside / FINGERPRINT_NAME, self.fingerprint)


def _defects(
    model: nn.Module, non_finite: list[str], non_finite_state: list[str], found: Tree | None
) -> tuple[str, str]:
    """Return what is wrong with the parameters that were saved, and what is odd beside them; empty if nothing is.

    Buffers may be infinite on purpose, as masks are. So may logits of tokens that never occur, and what an optimiser
    keeps: training can be resumed from those.

    Args:
        found: The fingerprint.
    """
    buffers = {plain_name(name) for name, _ in model.named_buffers(remove_duplicate=False)}
    own = [name.removeprefix(PARAMETERS) for name in non_finite_state if name.startswith(PARAMETERS)]
    defect = _not_finite([name for name in (*non_finite, *own) if name not in buffers])
    doubt = _not_finite([name for name in non_finite_state if not name.startswith(PARAMETERS)])
    overflows = found is not None and found.get("unavailable") == NOT_FINITE
    return defect, doubt or (NOT_FINITE if overflows else "")


def _not_finite(names: list[str]) -> str:
    return f"{some(names, 1)} had non-finite numbers" if names else ""


def _kind(one: object) -> str | None:
    return None if one is None else type(one).__name__


def _wait_for(folder: Path) -> None:
    """Wait until this machine sees what rank 0 has put on a shared file system."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not folder.is_dir():
        if time.monotonic() > end:
            logger.warning("rank %d does not see %s; is run_dir on a shared file system?", rank(), folder)
            return
        time.sleep(0.05)
