"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tttcfg.resolving import Restore

Output = Literal["text", "json"]
"""The forms of a command's result."""

OVERRIDES = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Overrides, also written --KEY VALUE; see below.", show_default=False),
]
CONFIG = Annotated[
    list[str] | None,
    typer.Option("--config", metavar="FILE", help="Configuration file; several merge left to right."),
]
SET = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An override; may be repeated.")]
RESTORE = Annotated[
    Restore,
    typer.Option("--restore", help="What the checkpoint decides: by role (auto), everything (all), nothing (none)."),
]
MODEL_CONFIG = Annotated[
    str | None,
    typer.Option("--model-config", metavar="FILE", help="The model's config.json, where the checkpoint has none."),
]
OUTPUT = Annotated[Output, typer.Option("--output", help="Form of the result.")]
FAMILY = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="NAME",
        help="An installed family, or module:NAME; by default what $schema names, or else ttt_moshi.",
    ),
]
STRICT_EXTENSIONS = Annotated[
    bool, typer.Option("--strict-extensions", help="Refuse settings of an extension that is not installed.")
]
CHECKPOINT = Annotated[
    str, typer.Argument(metavar="PATH", help="Any path into a checkpoint, a safetensors file, or the URL of one.")
]


def option_names(context: typer.Context) -> list[str]:
    """Return the names of a command's options, without hyphens."""
    names = (name for one in context.command.get_params(context) for name in one.opts)
    return [name.removeprefix("--") for name in names if name.startswith("--")]
