"""`tttcfg diff` as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import SECRET, document_file, old_document, trained, write_json
from tests.cli.process import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("diff")
    trained(made / "a", {"seed": 1})
    trained(made / "b", {"seed": 1, "ttt.layers": [1], "ttt.base_lr": 0.5, "run_dir": "r"})
    write_json(made / "any.json", {"seed": 1, "wandb": {"key": SECRET}})
    write_json(made / "old.json", {"ttt": {"use_rope": False}, "seed": 1})
    write_json(made / "training_config.json", old_document(6, {"seed": 1}))
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
    assert (result.code, result.out, result.err) == (0, "", "no difference\n")


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
    assert "ttt.kernel  auto  ->  torch" in result.out
    assert "use_rope" not in result.out


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (["a", "nowhere"], "nowhere: there is no such"),
        (["a"], "diff compares two sides, not 1: a"),
        (["a", "b", "a"], "diff compares two sides, not 3: a, b, a"),
        (["a", "b", "bach_size=1"], "bach_size: no setting has this name (did you mean batch_size?)"),
        ([], "Missing argument"),
    ],
    ids=["nowhere", "one", "three", "key", "none"],
)
def test_wrong_use(folder: Path, sides: list[str], said: str) -> None:
    """What cannot be compared exits with 2: trouble is not a difference."""
    result = run("diff", *sides, cwd=folder)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
