"""The examples run, print what they are there to show, and change nothing in the checkout."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import tttcfg
from tests.builders import HEAD
from tests.launcher import Result, python

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CHECKPOINT = EXAMPLES / "checkpoint"


def run(script: str, *arguments: str, folder: Path, code: int = 0) -> Result:
    env = {"PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return python(EXAMPLES / script, *arguments, cwd=folder, env=env, code=code)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bundled() -> dict[str, bytes]:
    return contents(CHECKPOINT)


def row(output: str, key: str) -> list[str]:
    """Return the cells of the demo's line about `key`."""
    match = re.search(rf"^ +{re.escape(key)}\*? +(.*)$", output, re.MULTILINE)
    assert match, key
    return re.split(r" {2,}", match.group(1))


def test_demo_shows_what_would_have_gone_wrong_and_what_is_resolved(tmp_path: Path) -> None:
    before = bundled()
    done = run("demo.py", folder=tmp_path)
    assert done.err == ""
    assert row(done.out, "ttt.mini_batch_size")[:2] == ["16", "64"]
    assert row(done.out, "ttt.layers")[:2] == ["middle", "[29, 30, 31]"]
    assert row(done.out, "ttt.mlp.layers")[:2] == ["2", "5"]
    assert "16    config      any.yaml:23:3" in done.out
    assert "[deviation] ttt.mini_batch_size: is 16" in done.out
    assert f"3 -> {HEAD}" in done.out
    assert "+ ttt.weight_lr_multiplier  1.0     one learning rate served all parameters" in done.out
    assert "read again, nothing differs: True" in done.out
    assert bundled() == before


def test_demo_is_short_enough_to_be_read(tmp_path: Path) -> None:
    lines = run("demo.py", folder=tmp_path).out.splitlines()
    assert len(lines) < 65
    assert max(map(len, lines)) < 140


def test_bundled_checkpoint_is_what_its_script_builds(tmp_path: Path) -> None:
    run("make_checkpoint.py", str(tmp_path), folder=tmp_path)
    assert contents(tmp_path) == bundled()


def test_bundled_checkpoint_is_small_and_of_generation_3() -> None:
    files = bundled()
    assert sum(map(len, files.values())) < 300_000
    name = next(name for name in files if name.endswith("training_config.json"))
    document = tttcfg.load_document(CHECKPOINT / name)
    assert document.version == 3
    assert not document.missing


def test_bundled_tensors_are_those_of_the_resolved_layers() -> None:
    """Names and shapes in the safetensors header follow from the configuration beside it."""
    data = next(data for name, data in bundled().items() if name.endswith(".safetensors"))
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    assert max(tensor["data_offsets"][1] for tensor in header.values()) == len(data) - 8 - length
    ttt = tttcfg.resolve(CHECKPOINT, require_ttt=True).ttt
    layers = {int(name.split(".")[2]) for name in header}
    assert layers == set(ttt.layer_indices)
    sizes = list(zip(ttt.inner_layer_sizes, ttt.inner_layer_sizes[1:], strict=False))
    for layer in layers:
        prefix = f"transformer.layers.{layer}.seq_modeling_block."
        names = {name.removeprefix(prefix) for name in header if name.startswith(prefix)}
        assert len(names) == 16 + 2 * len(sizes)
        for index, (rows, columns) in enumerate(sizes):
            weights = header[f"{prefix}ttt_layer.ttt.weights.{index}"]
            assert weights["shape"] == [ttt.num_heads, rows, columns]
            assert weights["dtype"] == "BF16"


def test_trainer_saves_a_document_that_evaluation_restores(tmp_path: Path) -> None:
    run("adopt.py", "train", "--run_dir", "runs/mine", "--ttt.mini_batch_size", "8", folder=tmp_path)
    config = str(EXAMPLES / "any.yaml")
    evaluated = run(
        "adopt.py", "evaluate", "--checkpoint_dir", "runs/mine", "--config", config, "batch_size=4", folder=tmp_path
    )
    assert "mini_batch_size: 8\n" in evaluated.out
    assert "layer_indices: (1, 2)\n" in evaluated.out
    assert "batch size 4\n" in evaluated.out


def test_trainer_passes_errors_on_with_their_exit_code(tmp_path: Path) -> None:
    done = run("adopt.py", "train", "--run_dir", "runs/mine", "--ttt.mini_batch_size", "0", folder=tmp_path, code=2)
    assert "ttt.mini_batch_size: 0 is refused" in done.err


def test_examples_need_nothing_but_the_standard_library_and_tttcfg() -> None:
    for script in EXAMPLES.glob("*.py"):
        modules = re.findall(r"^(?:import|from) (\w+)", script.read_text("utf-8"), re.MULTILINE)
        assert {name for name in modules if name not in sys.stdlib_module_names} <= {"tttcfg"}
        assert importlib.util.find_spec(modules[-1]) is not None
