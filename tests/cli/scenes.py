"""What people see, as golden texts: one command each, run in a folder that is made anew."""

from __future__ import annotations

import shlex
from pathlib import Path

import tttcfg
from tests.builders import HEAD, MODEL, SECRET, SEED_EXCERPT, checkpoint, old_document, trained, write_json
from tests.cli.process import run
from tests.evidence.dialects import tensors
from tests.safetensors.files import weights_file

GOLDEN = Path(__file__).parent / "golden"
TYPER = GOLDEN / "typer.version"
"""The version of typer that made the help texts; another one lays them out in its own way."""

TYPERS = {
    "help": "--help",
    "help_resolve": "resolve --help",
    "help_verify": "verify --help",
    "help_inspect": "inspect --help",
    "help_migrate": "migrate --help",
    "help_scrub": "scrub --help",
    "help_diff": "diff --help",
    "help_fields": "fields --help",
    "help_history": "history --help",
    "wrong_command": "resolv",
}
"""Texts that typer lays out."""
OUTPUT = {
    "resolve": "resolve --checkpoint_dir seed/checkpoints/checkpoint_001000 --config any.yaml --batch_size 4 "
    "--ttt.base_lr=0.1 --set seed=1",
    "resolve_unconfirmed": "resolve --checkpoint bare --config any.yaml --explain batch_size",
    "resolve_contradiction": "resolve --checkpoint now ttt.layers=[1,99] full_finetuning=true lora.enable=true "
    "--explain ttt.layers",
    "resolve_mistakes": "resolve --checkpoint nowhere --config mistakes.yaml --bach_size 4 ttt.base_lr=fast",
    "explain_key": "resolve --checkpoint now --config any.yaml batch_size=2 --explain batch_size",
    "explain_section": "resolve --checkpoint now ttt.mlp.layers=3 --explain ttt.mlp",
    "migrate_plan": f"migrate old --to {HEAD}",
    "migrate_down": "migrate now --to 6",
    "migrate_failures": "migrate seed broken",
    "scrub_plan": "scrub leaking",
    "verify": "verify held",
    "verify_contradiction": "verify held --config any.yaml --restore none ttt.layers=all lora.enable=true",
    "verify_json": "verify held --output json",
    "verify_refuted": "verify lost --config wrong.yaml",
    "inspect": "inspect held",
    "inspect_refuted": "inspect lost --write --config wrong.yaml",
    "inspect_unknown": "inspect strange/model.safetensors",
    "diff": "diff now seed=2 ttt.layers=[1,2] seed",
    "fields_key": "fields ttt.mlp.layers",
    "fields_section": "fields optim",
    "fields_gone": "fields ttt.target_output_norm",
    "history": "history 4",
    "wrong_option": "resolve --restor all",
}
SCENES = {**TYPERS, **OUTPUT}

ANY = """\
# any configuration file
batch_size: 8
run_dir: runs/elsewhere
ttt:
  mini_batch_size: 64
"""
MISTAKES = """\
ttt:
  bse_lr: 0.5
  layers: [1, two]
sed: 3
"""
WRONG = """\
ttt:
  enable: true
  layers: all
  mini_batch_size: 64
"""


def prepare(folder: Path) -> None:
    """Make the files that the scenes are about."""
    checkpoint(folder / "seed", SEED_EXCERPT, {**MODEL, "num_layers": 32})
    (folder / "bare").mkdir()
    write_json(folder / "bare" / "config.json", MODEL)
    old = old_document(5, {"ttt.enable": True, "ttt.layers": "1,2", "ttt.use_rope": True, "batch_size": 4})
    checkpoint(folder / "old", old)
    trained(folder / "now", {"ttt.enable": True, "ttt.layers": [1, 2, 3], "batch_size": 4})
    hybrid = {"ttt.enable": True, "ttt.layers": [1, 2], "param_dtype": "float32"}
    held = trained(folder / "held", hybrid, {**MODEL, "num_layers": 4})
    shapes = tensors.consolidated(tensors.Size(), [1, 2], [64])
    lost = checkpoint(folder / "lost", None, {**MODEL, "num_layers": 4})
    for made in (held, lost):
        file = made / "consolidated" / "consolidated.safetensors"
        weights_file(file, {name: ("F32", one) for name, one in shapes.items()})
    weights_file(folder / "strange" / "model.safetensors", {"blocks.0.w": ("F32", (4, 4))})
    write_json(folder / "leaking" / "training_config.json.v6.bak", old_document(6, {"wandb.key": SECRET}))
    (folder / "leaking" / "args.yaml").write_text(f"wandb:\n  key: {SECRET}\nhub: {{token: {SECRET}}}\n")
    (folder / "any.yaml").write_text(ANY)
    (folder / "mistakes.yaml").write_text(MISTAKES)
    (folder / "wrong.yaml").write_text(WRONG)
    for name, text in (("foreign", '{"a": 1}'), ("newer", '{"schema_version": 99}'), ("text", "no json")):
        (folder / "broken" / name).mkdir(parents=True)
        (folder / "broken" / name / "training_config.json").write_text(text)


def perform(name: str, folder: Path) -> str:
    """Run a scene in a prepared folder and return all there is to see."""
    result = run(*shlex.split(SCENES[name]), cwd=folder)
    text = f"$ tttcfg {SCENES[name]}\n{result.out}"
    text += "".join(f"stderr: {line}\n" for line in result.err.splitlines())
    return f"{text}exit code: {result.code}\n".replace(f"tttcfg {tttcfg.__version__}", "tttcfg VERSION")
