"""Evaluate a checkpoint with any configuration file: what decides the result comes from the checkpoint.

    python examples/ttt_moshi/eval_from_checkpoint.py --checkpoint_dir runs/exp/checkpoints/checkpoint_001000 \\
        --config configs/any_config.yaml [--eval_type both] [--batch_size 4] [ttt.base_lr=2 ...]

The results are written to standard output as JSON, or to --output. Exit codes: 0 fine; 1 something that was asked for
is missing or contradicts the checkpoint; 2 wrong use, input that cannot be used, or a loss that is not finite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tttcfg
from ttt_moshi import evaluation, standard
from ttt_moshi.data import open_dataset
from ttt_moshi.model import TinyMoshi, build
from ttt_moshi.moshi_model import base_weights
from ttt_moshi.program import deterministic, logger, overrides_of, run, say_findings, say_overrides, ttt_lines
from ttt_moshi.tokenizer import audio_tokenizer
from tttcfg import InputError, Problem, find_checkpoint, read_model_config
from tttcfg import nn as tttnn

STANDARD, PAPER, BOTH = "standard", "paper_metrics", "both"


def main(words: Sequence[str]) -> int:
    parser = argument_parser()
    options, rest = parser.parse_known_args(words)
    overrides = overrides_of(rest, parser)
    if options.batch_size is not None:
        overrides.append(f"batch_size={options.batch_size}")
    results = evaluate(options.checkpoint_dir, options.config, overrides, options.eval_type, options.output)
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
    parser.add_argument("--eval_type", choices=(STANDARD, PAPER, BOTH), default=STANDARD)
    parser.add_argument("--batch_size", metavar="N", help="sequences per batch; left out, that of the training")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results here, and the figures beside")
    return parser


def evaluate(
    checkpoint: str, config: Sequence[str], overrides: Sequence[str], eval_type: str, output: Path | None = None
) -> dict[str, Any]:
    """Return the results of one evaluation, as `evaluation.results` describes them.

    Raises:
        InputError: Something that was given cannot be used, data that is asked for is missing, or a loss is not finite.
        ContradictionError: The configuration is not this checkpoint's.
    """
    if output is not None:
        evaluation.require_writable(output)
    device = deterministic()
    model_config = _model_config(checkpoint)

    def built(found: Mapping[str, Any], effective: tttcfg.Effective) -> TinyMoshi:
        announce(effective)
        return build(found, effective, _base(found, effective, checkpoint)).to(device)

    restored = tttnn.restore(checkpoint, config, overrides, build=built)
    model = cast(TinyMoshi, restored.model)  # or moshi's own, as `build` says
    effective, training = restored.effective, restored.effective.training
    parts: dict[str, Any] = {}
    if eval_type in (STANDARD, BOTH):
        given = effective.origins["data.eval_data"]
        data = open_dataset(training.data.eval_data, "data.eval_data", model_config, training, given)
        say_data(effective)
        parts["standard"] = standard.evaluate(model, data, training)
        say_standard(parts["standard"])
    if eval_type in (PAPER, BOTH):
        tokenizer = audio_tokenizer(model_config, training)
        figures = output.parent if output is not None else None
        parts["paper_metrics"] = evaluation.evaluate(model, tokenizer, effective, figure_dir=figures)
    results = evaluation.assemble(effective, checkpoint=checkpoint, **parts)
    for line in evaluation.describe(results):
        logger.info("%s", line)
    return results


def announce(effective: tttcfg.Effective) -> None:
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
    whose = {"checkpoint": "original training", "override": "overridden"}.get(origins["batch_size"][0].source, "given")
    logger.info("🔧 Using %s batch_size: %d", whose, training.batch_size)
    say_overrides(effective)
    say_findings(effective)


def say_data(effective: tttcfg.Effective) -> None:
    """Log which data the standard evaluation is of, and who named them: unlike the layers' settings, any file may."""
    given = effective.origins["data.eval_data"]
    trained = next((str(one.value) for one in given if one.source == "checkpoint"), None)
    path = effective.training.data.eval_data
    other = f"; the training's was {trained or 'none'}" if trained is not None and trained != path else ""
    logger.info("Data: %s (%s%s)", path, given[0].where, other)


def say_standard(found: Mapping[str, Any]) -> None:
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


def _base(model_config: Mapping[str, Any], effective: tttcfg.Effective, checkpoint: str) -> str | None:
    """Return the base model's weights where the checkpoint holds adapters only.

    Raises:
        InputError: It does, and nothing names them.
    """
    weights = find_checkpoint(checkpoint).weights
    if not weights or Path(weights[0]).name != "lora.safetensors":
        return None
    path = base_weights(model_config, effective.training)
    if path is None:
        message = f"names no base model, and {weights[0]} holds adapters only"
        raise InputError(Problem("missing", message, "moshi_paths.moshi_path"))
    return path


if __name__ == "__main__":
    run(main)
