"""`tttcfg verify`: the effective configuration checked against a checkpoint's tensors."""

import sys
from typing import Any

import typer

from tttcfg.api import verified
from tttcfg.cli.options import (
    CHECKPOINT,
    CONFIG,
    FAMILY,
    MODEL_CONFIG,
    OUTPUT,
    OVERRIDES,
    RESTORE,
    SET,
    STRICT_EXTENSIONS,
    option_names,
)
from tttcfg.cli.terminal import answer, ink
from tttcfg.documents.effective import attempted
from tttcfg.report import render
from tttcfg.resolving.families import chosen_family
from tttcfg.resolving.overrides import CommandLine
from tttcfg.resolving.resolver import resolve_family

SETTINGS: dict[str, Any] = {"context_settings": {"ignore_unknown_options": True}}


def verify(
    context: typer.Context,
    checkpoint: CHECKPOINT,
    overrides: OVERRIDES = None,
    config: CONFIG = None,
    set_: SET = None,
    restore: RESTORE = "auto",
    model_config: MODEL_CONFIG = None,
    family: FAMILY = None,
    strict_extensions: STRICT_EXTENSIONS = False,
    output: OUTPUT = "text",
) -> None:
    """Check the effective configuration against the names and shapes of the checkpoint's tensors.

    No tensor is loaded. Every architecture and computation field is verified, contradicted, or not
    determined by the tensors, with the reason. The exit code is 1 where anything is contradicted, or the
    tensors are of no known program. A checkpoint's own configuration, or where it has none what its tensors prove,
    takes precedence over --config, and what that changes is reported; --restore none checks --config alone.

    \b
    Examples:
      tttcfg verify runs/exp
      tttcfg verify runs/exp --config any.yaml ttt.layers=all
      tttcfg verify weights/lora.safetensors --config any.yaml --output json
    """
    effective, contradiction = attempted(
        lambda: resolve_family(
            chosen_family(family),
            checkpoint=checkpoint,
            config=config,
            overrides=CommandLine(overrides or (), option_names(context), set_ or ()),
            restore=restore,
            model_config=model_config,
            strict_extensions=strict_extensions,
        )
    )
    verification = verified(effective, checkpoint)
    text = render.verification_text(verification, ink(sys.stdout))
    answer(effective, output, render.verification_json(verification, effective), text)
    raise typer.Exit(contradiction.exit_code if contradiction else 0)
