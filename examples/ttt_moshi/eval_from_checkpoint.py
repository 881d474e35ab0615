"""Evaluate a checkpoint with any configuration file: model-defining settings are restored from the checkpoint.

    python examples/ttt_moshi/eval_from_checkpoint.py --checkpoint_dir runs/exp/checkpoints/checkpoint_001000 \\
        --config configs/any_config.yaml [--eval_type both] [--batch_size 4] [ttt.base_lr=2 ...]

With --recover it does not evaluate but finds the settings that the checkpoint was trained with, from its weights and
its training's data (docs/recovery.md); --write records them.

The results are written as JSON to standard output, or to --output. Exit codes: 0 fine; 1 a requested result is missing,
a setting was not recovered, or the configuration contradicts the checkpoint; 2 wrong usage, invalid input, or a
non-finite loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import typer

import tttcfg
from ttt_moshi import evaluation, standard
from ttt_moshi.data import open_dataset
from ttt_moshi.model import TinyMoshi, build
from ttt_moshi.moshi_model import base_weights
from ttt_moshi.program import deterministic_device, log_findings, log_overrides, logger, parse_overrides, run, ttt_lines
from ttt_moshi.recovery import DEFAULT_BATCHES, MOST_PASSES, Trained
from ttt_moshi.tokenizer import audio_tokenizer
from tttcfg import InputError, Problem, Role, find_checkpoint, read_model_config
from tttcfg import nn as tttnn

STANDARD, PAPER, BOTH = "standard", "paper_metrics", "both"
LEGACY = "legacy"
DRAWN = (".png", ".svg", ".pdf")


def main(words: Sequence[str]) -> int:
    parser = argument_parser()
    options, rest = parser.parse_known_args(words)
    overrides = parse_overrides(rest, parser)
    if options.batch_size is not None:
        overrides.append(f"batch_size={options.batch_size}")
    for name in ("write", "plot", "batches") if options.recover is None else ("eval_type",):
        if getattr(options, name) is not None and getattr(options, name) is not False:
            parser.error(f"--{name} goes {'with' if options.recover is None else 'without'} --recover")
    if options.recover is not None:
        fields = [name for name in map(str.strip, options.recover.split(",")) if name] or None
        for path in filter(None, (options.output, options.plot)):
            evaluation.require_writable(path)  # a search takes minutes
        if options.plot is not None and options.plot.suffix not in DRAWN:
            parser.error(f"--plot {options.plot}: its name has to end in {', '.join(DRAWN)}")
        if options.plot is not None and find_spec("matplotlib") is None:
            parser.error('--plot needs matplotlib: pip install "tttcfg[plot]"')
        number = DEFAULT_BATCHES if options.batches is None else options.batches
        found = recover(options.checkpoint_dir, options.config, overrides, fields, number, write=options.write)
        return report(found, options.checkpoint_dir, options.output, options.plot, write=options.write)
    eval_type = options.eval_type or STANDARD
    results = evaluate(options.checkpoint_dir, options.config, overrides, eval_type, options.output)
    if options.output is None:
        sys.stdout.write(evaluation.as_text(results))
    else:
        evaluation.write(results, options.output)
        logger.info("Results written to %s", options.output)
    return evaluation.exit_code(results)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Evaluate a checkpoint with any configuration file.",
        epilog="Every other KEY=VALUE, --KEY=VALUE or --KEY VALUE overrides a setting.",
        allow_abbrev=False,
    )
    parser.add_argument("--checkpoint_dir", required=True, metavar="PATH", help="any path into a checkpoint")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="may be repeated")
    parser.add_argument("--eval_type", choices=(STANDARD, PAPER, BOTH), help=f"by default {STANDARD}")
    parser.add_argument("--batch_size", metavar="N", help="sequences per batch; left out, that of the training")
    parser.add_argument(
        "--recover",
        nargs="?",
        const="",
        metavar="KEY,…",
        help="find these settings, or all that are in doubt, from weights and training data, instead of evaluating",
    )
    parser.add_argument(
        "--batches", type=int, metavar="N", help=f"with --recover: so many, by default {DEFAULT_BATCHES}"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="with --recover: draw what every value showed")
    parser.add_argument(
        "--write", action="store_true", help="with --recover: write what is recovered into the checkpoint"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results here, and the figures beside")
    return parser


def evaluate(
    checkpoint: str, config: Sequence[str], overrides: Sequence[str], eval_type: str, output: Path | None = None
) -> dict[str, Any]:
    """Return the results of one evaluation, as `evaluation.results` describes them.

    Raises:
        InputError: A file or a setting cannot be used, requested data are missing, or a loss is not finite.
        ContradictionError: The configuration contradicts the checkpoint.
    """
    if output is not None:
        evaluation.require_writable(output)
    device = deterministic_device()
    if Path(checkpoint).is_dir():  # all that follows is of this step, though a run may save another one meanwhile
        checkpoint = find_checkpoint(checkpoint).folder
    model_config = _model_config(checkpoint)

    def build_model(model_config: Mapping[str, Any], effective: tttcfg.Effective) -> TinyMoshi:
        log_configuration(effective)
        return build(model_config, effective, _base_weights(model_config, effective, checkpoint)).to(device)

    restored = tttnn.restore(checkpoint, config, overrides, build=build_model)
    model = cast(TinyMoshi, restored.model)  # or moshi's own model: see `build`
    effective, training = restored.effective, restored.effective.training
    parts: dict[str, Any] = {}
    if eval_type in (STANDARD, BOTH):
        given = effective.origins["data.eval_data"]
        data = open_dataset(training.data.eval_data, "data.eval_data", model_config, training, given)
        log_data(effective)
        parts["standard"] = standard.evaluate(model, data, training)
        log_standard_evaluation(parts["standard"])
    if eval_type in (PAPER, BOTH):
        tokenizer = audio_tokenizer(model_config, training)
        figures = output.parent if output is not None else None
        parts["paper_metrics"] = evaluation.evaluate(model, tokenizer, effective, figure_dir=figures)
    results = evaluation.assemble(effective, checkpoint=checkpoint, **parts)
    for line in evaluation.describe(results):
        logger.info("%s", line)
    return results


def recover(
    checkpoint: str,
    config: Sequence[str],
    overrides: Sequence[str],
    fields: Sequence[str] | None,
    batches: int,
    *,
    write: bool,
) -> tttnn.Recovery:
    """Return what the gradients of the training's loss say about settings.

    Args:
        fields: Dotted names; by default all that are in doubt.
        write: Whether the values are going to be written.

    Raises:
        InputError: A file or a setting cannot be used, nothing is in doubt, or what is asked for is recorded and would
            not be written.
        ContradictionError: The configuration contradicts the checkpoint.
    """
    if Path(checkpoint).is_dir():
        checkpoint = find_checkpoint(checkpoint).folder
    model_config = _model_config(checkpoint)
    effective = tttcfg.resolve(checkpoint, config, overrides)
    known = tttcfg.resolve().settings()
    unknown = [name for name, value in effective.settings(Role.COMPUTATION).items() if value == LEGACY]
    if unknown:  # with which no model can be built
        effective = tttcfg.resolve(checkpoint, config, [*overrides, *(f"{name}={known[name]}" for name in unknown)])
    log_configuration(effective)
    if write:
        tttnn.require_unrecorded(checkpoint, fields or (), effective)
    trained = Trained(checkpoint, effective, _base_weights(model_config, effective, checkpoint))
    if sys.stderr.isatty():
        label = f"batches, {MOST_PASSES:,} at most"
        with typer.progressbar(length=MOST_PASSES, label=label, show_pos=True, show_eta=False, file=sys.stderr) as bar:
            found = trained.recover(fields, batches=batches, most_passes=MOST_PASSES, progress=bar.update)
    else:
        found = trained.recover(fields, batches=batches)
    if write:
        trained.check(found, checkpoint)
    return found


def report(found: tttnn.Recovery, checkpoint: str, output: Path | None, plot: Path | None, *, write: bool) -> int:
    """Print what was found, draw it and write it into the checkpoint where that is asked for; return the exit code."""
    logger.info("%s", found.table())
    if output is None:
        sys.stdout.write(evaluation.as_text(found.to_dict()))
    else:
        evaluation.write(found.to_dict(), output)
        logger.info("Results written to %s", output)
    if write:
        logger.info("%s", tttnn.write_recovered(checkpoint, found).reason)
    if plot is not None:
        found.draw(plot)
        logger.info("Drawn in %s", plot)
    return 0 if all(answer.outcome == "recovered" for answer in found.answers.values()) else 1


def log_configuration(effective: tttcfg.Effective) -> None:
    """Log which configuration is used, what was restored and what was overridden."""
    training, origins = effective.training, effective.origins
    if not any(given[0].source == "checkpoint" for given in origins.values()):
        logger.warning("📋 No training config in the checkpoint: using the given configuration")
        source = "the given configuration and the weights"
    else:
        logger.info("📋 Loading training config from checkpoint")
        source = "checkpoint"
    logger.info("🔧 Using TTT configuration from %s...", source)
    for name, value in ttt_lines(effective):
        logger.info("   TTT %s: %s", name, value)
    if not training.ttt.enable:
        logger.info("   TTT is off")
    kind = {"checkpoint": "original training", "override": "overridden"}.get(origins["batch_size"][0].source, "given")
    logger.info("🔧 Using %s batch_size: %d", kind, training.batch_size)
    log_overrides(effective)
    log_findings(effective)


def log_data(effective: tttcfg.Effective) -> None:
    """Log the data of the standard evaluation and their source: a run setting, so configuration files may change it."""
    given = effective.origins["data.eval_data"]
    trained = next((str(one.value) for one in given if one.source == "checkpoint"), None)
    path = effective.training.data.eval_data
    other = f"; the training's was {trained or 'none'}" if trained is not None and trained != path else ""
    logger.info("Data: %s (%s%s)", path, given[0].where, other)


def log_standard_evaluation(found: Mapping[str, Any]) -> None:
    """Log the standard evaluation."""
    spread = f" ± {found['loss_standard_error']:.6f}" if found["loss_standard_error"] is not None else ""
    logger.info("Loss: %.6f%s over %d sequences", found["loss"], spread, found["sequences"])
    streams = [("text", found["text"]), ("audio", found["audio"])]
    streams += [(f"codebook {index}", one) for index, one in enumerate(found["codebooks"])]
    for name, one in streams:
        if one["tokens"]:
            logger.info("   %s: loss %.6f, perplexity %.4f, %d tokens", name, *one.values())


def _model_config(checkpoint: str) -> Mapping[str, Any]:
    found = find_checkpoint(checkpoint).model_config
    if found is None:
        raise InputError(Problem("model_config", "the checkpoint has no config.json", place=checkpoint))
    return read_model_config(found)


def _base_weights(model_config: Mapping[str, Any], effective: tttcfg.Effective, checkpoint: str) -> str | None:
    """Return the path of the base model's weights if the checkpoint holds adapters only, else None.

    Raises:
        InputError: It holds adapters only, and the base model is not configured.
    """
    weights = find_checkpoint(checkpoint).weights
    if not weights or Path(weights[0]).name != "lora.safetensors":
        return None
    path = base_weights(model_config, effective.training)
    if path is None:
        message = f"is not set, and {weights[0]} holds adapters only, which need their base model"
        raise InputError(Problem("missing", message, "moshi_paths.moshi_path"))
    return path


if __name__ == "__main__":
    run(main)
