"""`tttcfg inspect`: what a checkpoint's tensors prove, beside the values in its files."""

import sys
from typing import Annotated

import typer

from tttcfg.api import adopt_resolved, resolved_without_demands, verified
from tttcfg.cli.options import CHECKPOINT, CONFIG, FAMILY, OUTPUT
from tttcfg.cli.terminal import answer, ink, print_err
from tttcfg.documents.effective import attempted
from tttcfg.errors import InputError, Problem
from tttcfg.report import render
from tttcfg.resolving.families import chosen_family


def inspect(
    checkpoint: CHECKPOINT,
    write: Annotated[
        bool,
        typer.Option("--write", help="Adopt it: write training_config.json from what is proved, and --config."),
    ] = False,
    config: CONFIG = None,
    family: FAMILY = None,
    output: OUTPUT = "text",
) -> None:
    """Print what a checkpoint's tensors prove, and how config.json and the saved configuration agree with it.

    No tensor is loaded. With --write, a checkpoint without training_config.json gets one: from what the
    tensors prove, and the configuration files that you assert; it records which is which, and writes
    nothing where the tensors refute a file. The exit code is 1 where the checkpoint contradicts itself.

    \b
    Examples:
      tttcfg inspect runs/exp
      tttcfg inspect weights/lora.safetensors --output json
      tttcfg inspect runs/old --write --config the_one_it_was_trained_with.yaml
    """
    if config and not write:
        message = "goes with --write; to check a configuration against weights, use tttcfg verify"
        raise InputError(Problem("override", message, "--config"))
    effective, contradiction = attempted(
        lambda: resolved_without_demands(checkpoint, config, family=chosen_family(family))
    )
    verification = verified(effective, checkpoint)
    written = adopt_resolved(effective, checkpoint) if write and contradiction is None else None
    text = render.inspection_text(verification, effective.family, ink(sys.stdout))
    answer(effective, output, render.verification_json(verification, effective), text)
    if written is not None:
        print_err(f"wrote {written}")
    raise typer.Exit(contradiction.exit_code if contradiction else 0)
