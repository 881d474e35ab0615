"""`tttcfg verify`: the effective configuration checked against a checkpoint's tensors."""

import sys
from typing import Annotated, Any

import typer

from tttcfg.api import verified
from tttcfg.cli.options import (
    CHECKPOINT,
    CONFIG,
    FAMILY,
    MODEL_CONFIG,
    OVERRIDES,
    RESTORE,
    SET,
    STRICT_EXTENSIONS,
    Restore,
)
from tttcfg.cli.terminal import Output, answer, effective_of, ink
from tttcfg.errors import ContradictionError
from tttcfg.report import render
from tttcfg.resolving.arguments import override_texts
from tttcfg.resolving.families import chosen_family
from tttcfg.resolving.resolver import resolve_family

SETTINGS: dict[str, Any] = {"context_settings": {"ignore_unknown_options": True}}
OPTIONS = ("config", "set", "restore", "model-config", "family", "strict-extensions", "output", "help")


def verify(
    checkpoint: CHECKPOINT,
    overrides: OVERRIDES = None,
    config: CONFIG = None,
    set_: SET = None,
    restore: RESTORE = Restore.auto,
    model_config: MODEL_CONFIG = None,
    family: FAMILY = None,
    strict_extensions: STRICT_EXTENSIONS = False,
    output: Annotated[Output, typer.Option("--output", help="Form of the result.")] = Output.text,
) -> None:
    """Check the effective configuration against the names and shapes of the checkpoint's tensors.

    No tensor is loaded. Every architecture and computation field is verified, contradicted, or not
    verifiable from tensors, with the reason. The exit code is 1 where anything is contradicted, or the
    tensors are of no known program. A checkpoint's own configuration, or where it has none what its tensors prove,
    takes precedence over --config, and what that changes is reported; --restore none checks --config alone.

    \b
    Examples:
      tttcfg verify runs/exp
      tttcfg verify runs/exp --config any.yaml ttt.layers=all
      tttcfg verify weights/lora.safetensors --config any.yaml --output json
    """
    chosen = chosen_family(family)
    texts = [*override_texts(overrides or [], OPTIONS, family=chosen), *(set_ or [])]
    code = 0
    try:
        effective = resolve_family(
            chosen,
            checkpoint=checkpoint,
            config=config,
            overrides=texts,
            restore=restore.value,
            model_config=model_config,
            strict_extensions=strict_extensions,
        )
    except ContradictionError as error:
        effective, code = effective_of(error), error.exit_code
    verification = verified(effective, checkpoint)
    text = render.verification_text(verification, ink(sys.stdout))
    answer(effective, output, render.verification_json(verification, effective), text)
    raise typer.Exit(code)
