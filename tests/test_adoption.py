"""The changes that docs/adopt.md shows are made to a miniature trainer, which trains and evaluates before and after."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from tests.launcher import launch, python
from tttcfg import verify

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(shutil.which("git") is None, reason="the lines are applied by git"),
]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "adopt.md"
CHECKPOINT = "runs/tiny/checkpoints/checkpoint_000008/consolidated"
TRAIN = "train.py example/tiny.yaml"
OWN, OTHER = (f"evaluate.py {CHECKPOINT} example/{name}.yaml" for name in ("tiny", "other"))
PROMPT = "$ next program\n"
RUN = f"""
import runpy, sys
for line in sys.argv[1:]:
    sys.stderr.write({PROMPT!r})
    sys.argv = line.split()
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
CORE = ("Resolve in place of load", "Build the layers from what was resolved", "Restore in place of load_state_dict")
SWAPPED, KEPT, LAYERS = "Save: take the Checkpointer", "Save: or keep your own", "Take the layers too"


def changes() -> dict[str, list[str]]:
    """Return the changes of each section of the page."""
    found, heading = defaultdict(list), ""
    for title, diff in re.findall(r"(?ms)^## ([^\n]*)$|^```diff\n(.*?)^```$", PAGE.read_text("utf-8")):
        heading = title or heading
        if diff:
            found[heading].append(diff)
    return found


def miniature(folder: Path, *sections: str) -> Path:
    """Return a copy of the trainer to which the changes of some sections were made."""
    shutil.copytree(ROOT / "examples" / "adopting", folder, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    for section in sections:
        change(folder, section)
    return folder


def change(folder: Path, section: str) -> None:
    for diff in changes()[section]:
        env = {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
        launch("git", "apply", "--whitespace=nowarn", "-", cwd=folder, env=env, given=diff)
    if section == CORE[-1]:
        (folder / "finetune" / "args.py").unlink()


def run(folder: Path, *lines: str) -> tuple[int, list[str]]:
    """Run programs of the trainer one after the other, as importing torch takes longest; return the output of each."""
    done = python("-c", RUN, *lines, cwd=folder, env={"PYTHONDONTWRITEBYTECODE": "1"}, code=None)
    return done.code, done.err.split(PROMPT)[1:]


def trained(folder: Path, *evaluations: str) -> list[str]:
    """Train, evaluate, and return the output of each evaluation; its last line is the loss."""
    code, output = run(folder, TRAIN, *evaluations)
    assert code == 0, output[-1]
    return [one.strip() for one in output[1:]]


def loss(output: str) -> str:
    return output.splitlines()[-1]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / CHECKPOINT / "lora.safetensors")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = miniature(tmp_path_factory.mktemp("before") / "trainer")
    return folder, trained(folder, OWN, OTHER)


def test_before_another_experiments_file_changes_the_loss_silently(before: tuple[Path, list[str]]) -> None:
    folder, (own, other) = before
    assert {path.name for path in (folder / CHECKPOINT).iterdir()} == {"config.json", "lora.safetensors"}
    assert loss(own) != loss(other)
    assert len(own.splitlines()) == len(other.splitlines()) == 1


@pytest.mark.parametrize("saving", [SWAPPED, KEPT])
def test_after_the_same_is_trained_and_any_file_evaluates_it_to_the_last_bit(
    saving: str, before: tuple[Path, list[str]], tmp_path: Path
) -> None:
    after = miniature(tmp_path / "trainer", *CORE, saving)
    own, other = trained(after, OWN, OTHER)
    old, new = tensors(before[0]), tensors(after)
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert (after / CHECKPOINT / "training_config.json").is_file()
    assert verify(after / CHECKPOINT).binding == "bound"
    assert loss(other) == loss(own) == loss(before[1][0])
    for restored in (
        "ttt.mini_batch_size: is 8",
        "ttt.base_lr: is 8.0",
        "ttt.layers: is [1, 3]",
        "duration_sec: is 2.56",
    ):
        place = r"\(example/other\.yaml:\d+:\d+\)"
        assert re.search(rf"(?m)^info \[restored\] {re.escape(restored)} from the checkpoint, not .* {place}$", other)


def test_after_what_is_overridden_is_reported_and_what_cannot_be_is_refused(tmp_path: Path) -> None:
    after = miniature(tmp_path / "trainer", *CORE, SWAPPED)
    own, changed = trained(after, OWN, f"{OTHER} ttt.base_lr=0.1")
    assert loss(own) != loss(changed)
    assert "ttt.base_lr: is 0.1, but" in changed
    code, (refused,) = run(after, f"{OWN} ttt.layers=middle")
    assert code
    assert "ttt.layers: is 'middle', which means [1,2]" in refused


def test_other_layers_train_and_restore_and_do_not_pass_for_the_old_ones(tmp_path: Path) -> None:
    folder = miniature(tmp_path / "trainer", *CORE, SWAPPED)
    trained(folder)
    change(folder, LAYERS)
    (folder / "finetune" / "ttt.py").unlink()
    code, (refused,) = run(folder, OWN)
    assert code
    assert "does not compute" in refused
    shutil.rmtree(folder / "runs")
    assert "computes what was saved" in trained(folder, OTHER)[0]


def test_the_page_counts_its_lines() -> None:
    lines = [line for section in (*CORE, SWAPPED) for diff in changes()[section] for line in diff.splitlines()]
    new = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    gone = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    assert f"{new} lines are added, {gone} removed" in PAGE.read_text("utf-8")
