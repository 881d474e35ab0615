"""`tttcfg resolve`: one effective configuration from everything that was given."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tttcfg.api import placed
from tttcfg.cli.options import CONFIG, FAMILY, MODEL_CONFIG, OVERRIDES, RESTORE, SET, STRICT_EXTENSIONS, option_names
from tttcfg.cli.terminal import ascii_only, fail, ink, print_err, print_json, print_out
from tttcfg.documents.effective import Effective, attempted
from tttcfg.documents.replaced import replaced_by_writing
from tttcfg.documents.save import document_bytes
from tttcfg.documents.secret_values import keeping, secrets_of_file
from tttcfg.errors import InputError, Problem, printable
from tttcfg.files.storage import write_atomically
from tttcfg.report import render
from tttcfg.resolving.families import BUILT_IN, as_document, chosen_family
from tttcfg.resolving.overrides import CommandLine
from tttcfg.resolving.resolver import resolve_family
from tttcfg.urls import address
from tttcfg.version import __version__

SETTINGS: dict[str, Any] = {"context_settings": {"ignore_unknown_options": True}}
Form = Literal["yaml", "json"]


def resolve(
    context: typer.Context,
    overrides: OVERRIDES = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            "--checkpoint_dir",
            "--checkpoint-dir",
            metavar="PATH",
            help="Any path into a checkpoint or run folder.",
        ),
    ] = None,
    config: CONFIG = None,
    set_: SET = None,
    restore: RESTORE = "auto",
    model_config: MODEL_CONFIG = None,
    train: Annotated[bool, typer.Option("--train", help="Demand what a training run needs (run_dir, data).")] = False,
    require_ttt: Annotated[
        bool, typer.Option("--require-ttt", help="Demand that the layers' configuration is known.")
    ] = False,
    family: FAMILY = None,
    strict_extensions: STRICT_EXTENSIONS = False,
    output: Annotated[Form, typer.Option("--output", help="Form of the result.")] = "yaml",
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="[KEY]", help="Show where values come from, or everything about one value."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Write the result: a document to *.json, YAML to anything else."),
    ] = None,
) -> None:
    """Merge override > checkpoint > config file > default into one validated configuration.

    \b
    Examples:
      tttcfg resolve --checkpoint runs/exp --config any.yaml
      tttcfg resolve --checkpoint_dir runs/exp/checkpoints/checkpoint_001000 --config any.yaml --batch_size 4
      tttcfg resolve --checkpoint runs/exp ttt.mini_batch_size=16 --explain ttt.mini_batch_size
      tttcfg resolve --config base.yaml --config mine.yaml ttt.layers=28,29,30 --train

    \b
    Values: KEY=VALUE, KEY=@FILE (the value in a YAML, JSON or TOML file), KEY.0=VALUE (an item
    of a list), KEY=null, KEY=!default, KEY=!config (take that source's value).
    """
    if explain is not None and output == "json":
        message = "--explain and --output json exclude each other; the JSON has all origins"
        raise InputError(Problem("override", message))
    effective, contradiction = attempted(
        lambda: resolve_family(
            chosen_family(family),
            checkpoint=checkpoint,
            config=config,
            overrides=CommandLine(overrides or (), option_names(context), set_ or ()),
            restore=restore,
            model_config=model_config,
            require_ttt=require_ttt,
            require_training=train,
            strict_extensions=strict_extensions,
        )
    )
    own = effective.family
    replaced = replaced_by_writing(write, own) if write is not None else None
    _show(effective, output, explain, _header(checkpoint, config))
    if contradiction is not None and output == "json":
        fail(contradiction)
    if contradiction is not None:  # the findings report it
        raise typer.Exit(contradiction.exit_code)
    if write is not None:
        if write.suffix == ".json":
            data = document_bytes(placed(as_document(effective), write))
        else:
            data = render.effective_yaml(effective, _header(checkpoint, config)).encode()
        if replaced is None:
            write_atomically(write, data)
            return
        secrets = secrets_of_file(replaced, str(write), own)
        kept = write_atomically(write, data, expected=replaced, backup=f"{write}.bak", private_backup=secrets != [])
        named = family or (own.name if own.name != BUILT_IN else "")
        if note := keeping(secrets, [kept], family=named):
            print_err(printable(f"warning: {write}: {note}"))


def _header(checkpoint: str | None, config: list[str] | None) -> list[str]:
    given = [*([("checkpoint", checkpoint)] if checkpoint else []), *(("config", path) for path in config or ())]
    sources = [f"{kind} {address(path)}" for kind, path in given]
    return [f"resolved by tttcfg {__version__} from {', '.join(sources) or 'defaults'}"]


def _show(effective: Effective, output: Form, explain: str | None, header: list[str]) -> None:
    colours = ink(sys.stdout)
    findings: Sequence[Problem] = effective.findings
    if output == "json":
        print_json(render.effective_json(effective, effective.family))
        return
    if explain is None and effective.is_contradicted:
        pass  # there is no configuration to use
    elif explain is None:
        print_out(render.effective_yaml(effective, header, ascii_only=ascii_only(sys.stdout)))
    elif explain == "*":
        print_out(render.origins_table(effective.shown_origins, colours))
    else:
        names = render.fields_named(effective, explain)
        print_out(render.explanation(effective, names, colours))
        findings = [one for one in findings if one.key in names or one.severity == "error"]
    print_err(render.findings_text(findings, ink(sys.stderr)))
