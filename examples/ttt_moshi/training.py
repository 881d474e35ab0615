"""A training run: from an effective configuration to checkpoints that carry it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

import tttcfg
from tttcfg import InputError, Problem
from tttcfg import nn as tttnn
from tttcfg.nn import on_first, rank, together, world_size

from . import evaluation, standard
from .data import Batch, Dataset, open_dataset
from .losses import token_losses, token_weights, training_loss
from .model import TinyMoshi, build
from .moshi_model import base_weights
from .non_finite import NonFiniteGuard
from .optimizer import (
    choose_trained_parameters,
    continue_schedule,
    gates,
    gradient_norms,
    make_optimizer,
    make_schedule,
    schedule_settings,
)
from .program import logger, run_all, ttt_lines
from .run_folder import RESULTS_NAME, check, evaluation_name, prepare
from .tokenizer import audio_tokenizer
from .tracking import Tracking, require_wandb


@dataclass
class TrainState:
    """The progress of a run: the number of optimiser steps done."""

    step: int = 0


class Run:
    """One training run on this rank.

    Attributes:
        failed_evaluations: The number of evaluations that failed; each was logged.

    Raises:
        InputError: The run's folder cannot be used, data or base weights are missing, or nothing would be trained.
    """

    def __init__(
        self,
        effective: tttcfg.Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig],
        model_config: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        self.effective, self.training, self.model_config = effective, effective.training, model_config
        self.device, self.folder, self.state = device, Path(effective.training.run_dir or ""), TrainState()
        self.model = together(self._build)
        self.optimiser = make_optimizer(self.model, self.training)
        self.schedule = make_schedule(self.optimiser, self.training)
        self.parallel: Any = self.model
        if world_size() > 1:  # some parameters of a TTT layer never get a gradient
            self.parallel = DistributedDataParallel(self.model, find_unused_parameters=True)
        self.checkpointer = tttnn.Checkpointer(
            self.model,
            self.state,
            self.folder,
            model_config,
            optimizer=self.optimiser,
            num_ckpt_keep=self.training.num_ckpt_keep,
            full_finetuning=self.training.full_finetuning,
            training_args=effective,
            scheduler=self.schedule,
        )
        self.tracking: Tracking | None = None
        self.failed_evaluations = 0
        self.before: Batch | None = None
        self.guard, self.logged_saved_settings = NonFiniteGuard(self.folder), False
        on_first(self._open_folder)

    def _build(self) -> TinyMoshi:
        training = self.training
        wandb, folder = partial(require_wandb, training), partial(check, training)
        run_all(folder, wandb, self._open_data, self._open_eval_data)
        base = base_weights(self.model_config, training)
        model = build(self.model_config, self.effective, base).to(self.device)
        choose_trained_parameters(model, training)
        for module in model.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = training.gradient_checkpointing  # type: ignore[assignment]
        return model

    def _open_data(self) -> None:
        self.data = self._opened(self.training.data.train_data, "data.train_data")

    def _open_eval_data(self) -> None:
        wanted = self.training.do_eval
        self.eval_data = self._opened(self.training.data.eval_data, "data.eval_data") if wanted else None

    def _opened(self, path: str, key: str) -> Dataset:
        return open_dataset(path, key, self.model_config, self.training, self.effective.origins[key])

    def _open_folder(self) -> str:
        prepare(self.training)
        self.tracking = Tracking(self.folder, self.effective)
        return ""

    def resume(self, checkpoint: str) -> None:
        """Resume from a checkpoint: its weights, and unless reset by the configuration its optimiser state and step.

        Learning rates and their schedule are those of this run's configuration, which may differ from the checkpoint's.
        """
        settings = schedule_settings(self.schedule)
        resumed = self.checkpointer.resume(checkpoint)
        continue_schedule(self.schedule, settings, resumed.step)
        self.guard.saved(Path(checkpoint))
        logger.info("Resuming from %s at step %d", checkpoint, resumed.step)
        if self.training.ttt.override_gating_alpha_on_resume:
            value = self.training.ttt.initial_gating_alpha
            logger.info("Gating alpha reset to %s", value)
            for name, parameter in self.model.named_parameters():
                if name.endswith("gating_alpha"):
                    torch.nn.init.constant_(parameter, value)

    def train(self) -> None:
        """Do the remaining steps, saving and evaluating in between and at the end.

        An evaluation that fails is logged and counted in `failed_evaluations`; the training continues.

        Raises:
            InputError: A loss, the gradients or the weights are not finite; they were not saved.
        """
        started = time.perf_counter()
        while self.state.step < self.training.max_steps:
            # States carried from batch to batch are not saved, so that a resumed run starts afresh; so does this one.
            with tttnn.carrying_states(self.model):
                self._until_interrupted()
            self._interrupt()
        if self.tracking is not None:
            self.tracking.close()
        logger.info("Trained %d steps in %.1f s", self.state.step, time.perf_counter() - started)

    def _until_interrupted(self) -> None:
        self.before = None
        while True:
            self._step()
            if any(self._due().values()) or self.state.step == self.training.max_steps:
                return

    def _due(self) -> dict[str, bool]:
        """Return what is due after this step."""
        training, step = self.training, self.state.step
        last = step == training.max_steps
        return {
            "save": training.do_ckpt and (last or _every(training.ckpt_freq, step)),
            "eval": training.do_eval and (last or _every(training.eval_freq, step)),
            "benchmarks": training.evaluation.enable and _every(training.evaluation.freq, step),
        }

    def _interrupt(self) -> None:
        due = self._due()
        if due["save"]:  # first: a crash in an evaluation then loses no checkpoint
            self._save()
        for what, action in (("eval", self._evaluate), ("benchmarks", self._benchmarks)):
            if due[what]:
                self.failed_evaluations += bool(on_first(partial(self._attempt, action)))

    def _attempt(self, action: Callable[[], None]) -> str:
        """Return the name of the error that an evaluation failed with, for all ranks; empty if it did not."""
        try:
            action()
        except evaluation.FAILURES as error:
            logger.error("step %d: the evaluation failed, and the training continues: %s", self.state.step, error)
            return type(error).__name__
        return ""

    def _step(self) -> None:
        started = time.perf_counter()
        training = self.training
        self.model.train()
        figures = torch.zeros(2, dtype=torch.float64)
        for micro in range(training.num_microbatches):
            figures += self._backward(micro).cpu() / training.num_microbatches
        trained = [one for one in self.model.parameters() if one.grad is not None]
        norm = float(torch.nn.utils.clip_grad_norm_(trained, training.max_norm))
        together(lambda: self.guard.check_step(self.state.step + 1, figures, norm))
        self.state.step += 1
        if training.ttt.enable and training.ttt.enable_training_diagnostics:
            self._diagnose()
        rate = float(self.schedule.get_last_lr()[0])
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.state.step % training.log_freq == 0 or self.state.step == training.max_steps:
            self._log(figures, norm, rate, time.perf_counter() - started)

    def _backward(self, micro: int) -> Tensor:
        """Add the gradients of one batch, and return its loss of text and of audio."""
        training = self.training
        number = (self.state.step * training.num_microbatches + micro) * world_size() + rank()
        seed = training.seed if training.data.shuffle else None
        batch = self.data.training_batch(number, training.batch_size, seed)
        if training.ttt.reset_on_new_file and not batch.continues(self.before):
            tttnn.reset_states(self.model)
        self.before = batch
        codes = batch.codes.to(self.device)
        losses = token_losses(self.parallel(codes), codes)
        text, audio = training_loss(losses, token_weights(losses, codes, self.model, training))
        ((text + audio) / training.num_microbatches).backward()
        return torch.stack([text, audio]).detach().double()

    def _log(self, figures: Tensor, norm: float, rate: float, seconds: float) -> None:
        text, audio = figures.tolist()
        tokens = self.training.batch_size * self.training.num_microbatches * self.data.tokens * world_size()
        found = {"loss": text + audio, "text_loss": text, "audio_loss": audio, "grad_norm": norm, "lr": rate}
        if self.tracking is not None:
            self.tracking.write("train", self.state.step, {**found, "tokens_per_second": tokens / seconds})
            values = (text + audio, text, audio, norm, rate, tokens / seconds)
            line = "step %d: loss %.4f (text %.4f, audio %.4f), gradient %.3f, learning rate %.2e, %.0f tokens/s"
            logger.info(line, self.state.step, *values)

    def _diagnose(self) -> None:
        if self.state.step % self.training.ttt.training_diagnostic_frequency == 0 and rank() == 0:
            logger.info("gradient norms: %s", json.dumps(gradient_norms(self.model)))
            logger.info("gates, tanh(alpha): %s", json.dumps(gates(self.model)))

    def _save(self) -> None:
        together(lambda: self.guard.check_weights(self.state.step, self.model))
        self.guard.saved(self.checkpointer.save_checkpoint())
        if rank() != 0 or self.logged_saved_settings:
            return
        self.logged_saved_settings = True
        for name, value in ttt_lines(self.effective):
            logger.info("✅ TTT %s saved: %s", name, value)
        logger.info("✅ Batch size saved: %d", self.training.batch_size)
        logger.info("Saved training config to training_config.json")

    def _evaluate(self) -> None:
        found = standard.evaluate(self.model, self.eval_data, self.training) if self.eval_data else None
        if found is not None and self.tracking is not None:
            figures = {"eval_loss": found["loss"], "text_loss": found["text"]["loss"]}
            figures |= {"audio_loss": found["audio"]["loss"], "perplexity": found["audio"]["perplexity"]}
            self.tracking.write("eval", self.state.step, figures)
            logger.info("step %d: evaluation loss %.4f", self.state.step, found["loss"])

    def _benchmarks(self) -> None:
        tokenizer = audio_tokenizer(self.model_config, self.training)
        folder = self.folder / evaluation_name(self.state.step)
        found = evaluation.evaluate(self.model, tokenizer, self.effective, figure_dir=folder)
        results = evaluation.assemble(self.effective, checkpoint=None, paper_metrics=found)
        evaluation.write(results, folder / RESULTS_NAME)
        for line in evaluation.describe(results):
            logger.info("%s", line)
        if evaluation.exit_code(results):
            raise InputError(Problem("missing", "a benchmark failed, or none ran", place=str(folder)))


def _every(frequency: int, step: int) -> bool:
    return frequency > 0 and step % frequency == 0
