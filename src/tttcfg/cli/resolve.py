"""`tttcfg resolve`: one effective configuration from everything that was given."""

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from tttcfg.api import placed
from tttcfg.api import resolve as resolve_api
from tttcfg.cli.options import CONFIG, FAMILY, MODEL_CONFIG, OVERRIDES, RESTORE, SET, STRICT_EXTENSIONS, Restore
from tttcfg.cli.terminal import ascii_only, effective_of, fail, ink, print_err, print_json, print_out
from tttcfg.documents.effective import Effective
from tttcfg.documents.save import document_bytes
from tttcfg.errors import ContradictionError, InputError, Problem
from tttcfg.family.family import Family
from tttcfg.files.storage import write_atomically
from tttcfg.report import render
from tttcfg.report.explain import explanation, fields_named
from tttcfg.resolving.arguments import override_texts
from tttcfg.resolving.families import as_document, chosen_family
from tttcfg.urls import address
from tttcfg.version import __version__

SETTINGS: dict[str, Any] = {"context_settings": {"ignore_unknown_options": True}}


OPTIONS = (
    *("checkpoint", "config", "set", "restore", "model-config", "train", "require-ttt", "output", "explain", "write"),
    *("family", "strict-extensions", "help"),
)


class Output(str, Enum):
    yaml = "yaml"
    json = "json"


def resolve(
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
    restore: RESTORE = Restore.auto,
    model_config: MODEL_CONFIG = None,
    train: Annotated[bool, typer.Option("--train", help="Demand what a training run needs (run_dir, data).")] = False,
    require_ttt: Annotated[
        bool, typer.Option("--require-ttt", help="Demand that the layers' configuration is known.")
    ] = False,
    family: FAMILY = None,
    strict_extensions: STRICT_EXTENSIONS = False,
    output: Annotated[Output, typer.Option("--output", help="Form of the result.")] = Output.yaml,
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
      tttcfg resolve --config base.yaml --config mine.yaml ttt.layers=[28,29,30] --train

    \b
    Values: KEY=VALUE, KEY=@FILE (the value in a YAML, JSON or TOML file), KEY.0=VALUE (an item
    of a list), KEY=null, KEY=!default, KEY=!config (take that source's value).
    """
    if explain is not None and output is Output.json:
        raise InputError(
            Problem("override", "--explain and --output json exclude each other; the JSON has all origins")
        )
    chosen = chosen_family(family)
    texts = [*override_texts(overrides or [], OPTIONS, family=chosen), *(set_ or [])]
    contradiction: ContradictionError | None = None
    try:
        effective = resolve_api(
            checkpoint,
            config,
            texts,
            restore=restore.value,
            model_config=model_config,
            require_ttt=require_ttt,
            require_training=train,
            strict_extensions=strict_extensions,
            family=chosen,
        )
    except ContradictionError as error:
        contradiction, effective = error, effective_of(error)
    _show(effective, chosen, output, explain, _header(checkpoint, config))
    if contradiction is not None and output is Output.json:
        fail(contradiction)
    if contradiction is not None:  # the findings report it
        raise typer.Exit(contradiction.exit_code)
    if write is not None:
        data = _file_bytes(effective, chosen, write, _header(checkpoint, config))
        write_atomically(write, data, backup=f"{write}.bak" if write.is_file() else None)


def _header(checkpoint: str | None, config: list[str] | None) -> list[str]:
    given = [*([("checkpoint", checkpoint)] if checkpoint else []), *(("config", path) for path in config or ())]
    sources = [f"{kind} {address(path)}" for kind, path in given]
    return [f"resolved by tttcfg {__version__} from {', '.join(sources) or 'defaults'}"]


def _show(effective: Effective, family: Family, output: Output, explain: str | None, header: list[str]) -> None:
    colours = ink(sys.stdout)
    findings: Sequence[Problem] = effective.findings
    if output is Output.json:
        print_json(render.effective_json(effective, family))
        return
    if explain is None and effective.is_contradicted:
        pass  # there is no configuration to use
    elif explain is None:
        print_out(render.effective_yaml(effective, header, ascii_only=ascii_only(sys.stdout)))
    elif explain == "*":
        print_out(render.origins_table(effective.shown_origins, colours))
    else:
        names = fields_named(effective, explain)
        print_out(explanation(effective, names, colours))
        findings = [one for one in findings if one.key in names or one.severity == "error"]
    print_err(render.findings_text(findings, ink(sys.stderr)))


def _file_bytes(effective: Effective, family: Family, path: Path, header: list[str]) -> bytes:
    if path.suffix == ".json":
        return document_bytes(placed(as_document(effective, family), path))
    return render.effective_yaml(effective, header).encode()
