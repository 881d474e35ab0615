"""`tttcfg diff` as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

import tttcfg
from tests.builders import HEAD, SECRET, checkpoint, document_file, old_document, trained, write_json
from tests.cli.process import run
from tests.evidence.dialects.tensors import Size, consolidated
from tests.safetensors.files import weights_file
from tests.verification.bound import made, sidecar


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("diff")
    (trained(made / "a", {"seed": 1}) / "consolidated" / "consolidated.safetensors").touch()
    trained(made / "b", {"seed": 1, "ttt.layers": [1], "ttt.base_lr": 0.5, "run_dir": "r"})
    write_json(made / "any.json", {"seed": 1, "wandb": {"key": SECRET}})
    write_json(made / "old.json", {"ttt": {"use_rope": False}, "seed": 1})
    write_json(made / "training_config.json", old_document(6, {"seed": 1}))
    write_json(made / "generation_3_ttt.json", old_document(3, {"seed": 1}))
    write_json(made / "training_config.json.v3.bak", old_document(3, {"seed": 1}))
    write_json(made / "numbered.json", {"schema_version": HEAD, "seed": 1})
    write_json(made / "half.json", {**old_document(0, {"seed": 1}), "ttt": {"rope_theta": 1.0}})
    (made / "any.yaml").write_text(f"seed: 1\nschema_version: {HEAD}\n")
    shapes = consolidated(Size(), [1], [64])
    weights = checkpoint(made / "bare") / "consolidated" / "consolidated.safetensors"
    weights_file(weights, {name: ("F32", shape) for name, shape in shapes.items()})
    write_json(made / "broken" / "config.json", [])
    write_json(made / "broken" / "training_config.json", old_document(3, {"seed": 1}))
    return made


@pytest.mark.parametrize(
    "sides",
    [
        ["a", "a"],
        ["a", "any.json"],
        ["a", "a/checkpoints/checkpoint_001000/consolidated/consolidated.safetensors"],
        ["a", "old.json"],
        ["a", "seed=2", "any.json", "seed=2"],
    ],
    ids=" ".join,
)
def test_nothing_differs(folder: Path, sides: list[str]) -> None:
    """Equal configurations, whatever holds them, exit with 0 and leave standard output empty."""
    result = run("diff", *sides, cwd=folder)
    assert (result.code, result.out, result.err.splitlines()[2:]) == (0, "", ["no difference"])


CONFIG = "configuration file, completed with defaults"
INSIDE = "checkpoints/checkpoint_001000/consolidated"


@pytest.mark.parametrize(
    ("side", "how"),
    [
        ("a", f"checkpoint a/{INSIDE}, version {HEAD}"),
        (f"a/{INSIDE}/config.json", CONFIG),
        (f"a/{INSIDE}/consolidated.safetensors", f"checkpoint a/{INSIDE}, version {HEAD}"),
        (
            "bare",
            f"checkpoint bare/{INSIDE} without training_config.json, from its weights, completed with defaults",
        ),
        ("training_config.json", "saved document, version 6"),
        ("generation_3_ttt.json", "saved document, version 3"),
        ("training_config.json.v3.bak", "saved document, version 3"),
        ("numbered.json", CONFIG),
        ("half.json", CONFIG),
        ("old.json", CONFIG),
        ("any.json", CONFIG),
        ("any.yaml", CONFIG),
    ],
)
def test_how_a_side_was_read_is_reported(folder: Path, side: str, how: str) -> None:
    result = run("diff", side, "a", cwd=folder)
    if side.endswith("config.json") and side.startswith("a/"):  # a model's, and no setting of ours in it
        assert (result.code, "dim: no setting" in result.err) == (2, True)
        return
    assert result.err.splitlines()[:2] == [f"A: {how}", f"B: checkpoint a/{INSIDE}, version {HEAD}"]


@pytest.mark.parametrize("name", ["generation_3_ttt.json", "training_config.json.v3.bak"])
def test_a_saved_document_means_the_same_under_any_name(folder: Path, name: str) -> None:
    """What is absent is filled in by its version's programs, not by today's defaults; overrides go on top of that."""
    assert run("diff", name, "broken/training_config.json", cwd=folder).code == 0
    shown = run("diff", name, "any.json", cwd=folder).out
    assert ["ttt.rope_mode", "legacy", "->", "off"] in [line.split() for line in shown.splitlines()]
    result = run("diff", name, "ttt.base_lr=0.5", "ttt.rope_mode=off", "broken/training_config.json", cwd=folder)
    assert [line.split() for line in result.out.splitlines()] == [
        ["computation"],
        ["ttt.base_lr", "0.5", "->", "1.0"],
        ["ttt.rope_mode", "off", "->", "legacy"],
    ]


def test_differences_are_grouped_by_role(folder: Path) -> None:
    """Differences exit with 1, the gravest role first."""
    result = run("diff", "a", "b", cwd=folder)
    assert result.code == 1
    assert [line.split() for line in result.out.splitlines()] == [
        ["architecture"],
        ["ttt.layers", "middle", "->", "[1]"],
        ["computation"],
        ["ttt.base_lr", "1.0", "->", "0.5"],
        ["run"],
        ["run_dir", "null", "->", "r"],
    ]


def test_overrides_belong_to_the_side_before_them(folder: Path) -> None:
    result = run("diff", "a", "seed=5", "b", "ttt.layers=middle", "ttt.base_lr=1.0", "run_dir=null", cwd=folder)
    assert [line.split() for line in result.out.splitlines()] == [["training"], ["seed", "5", "->", "1"]]


def test_json_is_a_list_of_differences(folder: Path) -> None:
    result = run("diff", "a", "a", "seed=2", "--output", "json", cwd=folder)
    assert (result.code, result.json) == (1, [{"key": "seed", "role": "training", "left": 1, "right": 2}])


def test_json_of_equals_is_an_empty_list(folder: Path) -> None:
    assert run("diff", "a", "a", "--output", "json", cwd=folder).json == []


def test_old_document_is_compared_as_what_it_means(folder: Path) -> None:
    """An old document is upgraded first: its programs' constants show, its spelling does not."""
    result = run(
        "diff", document_file(folder / "a" / "checkpoints" / "checkpoint_001000"), "training_config.json", cwd=folder
    )
    assert result.code == 1
    assert ["ttt.kernel", "auto", "->", "torch"] in [line.split() for line in result.out.splitlines()]
    assert "use_rope" not in result.out


def test_a_configuration_that_is_only_in_the_weights_is_compared(tmp_path: Path) -> None:
    weights = made(tmp_path / "a", {"ttt.base_lr": 0.25, "seed": 5})
    tttcfg.bind(weights, embed=True)
    training = tttcfg.load_document(sidecar(weights)).training
    tttcfg.save_document(tmp_path / "b.json", training)
    sidecar(weights).unlink()
    for side in (tmp_path / "a", weights):
        result = run("diff", side, tmp_path / "b.json")
        assert (result.code, result.out) == (0, "")
        assert "without training_config.json, as embedded in its weights" in result.err


def test_a_truncated_checkpoint_is_trouble_and_no_difference(tmp_path: Path) -> None:
    weights = made(tmp_path)
    sidecar(weights).unlink()
    weights.write_bytes(weights.read_bytes()[:20])
    result = run("diff", weights, weights)
    assert result.code != 0
    assert "Traceback" not in result.err
    assert "ends inside its header" in result.err


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (["a", "nowhere"], "nowhere: there is no such"),
        (["a", ""], "the path is empty"),
        (["a"], "diff compares two sides, not 1;"),
        (["a", "b", "a"], "diff compares two sides, not 3;"),
        (["a", "b", "bach_size=1"], "(did you mean batch_size?)"),
        ([], "Missing argument"),
    ],
    ids=["nowhere", "empty", "one", "three", "key", "none"],
)
def test_wrong_use(folder: Path, sides: list[str], message: str) -> None:
    """What cannot be compared exits with 2: trouble is not a difference."""
    result = run("diff", *sides, cwd=folder)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
