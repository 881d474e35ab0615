"""The document beside a real distributed checkpoint: written after saving, bound to it, and to no other."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from video_dit_config.family import FAMILY
from video_dit_config.job_config import JobConfig
from video_dit_config.sidecar import sidecar

import tttcfg
from tests.evidence.dialects.tensors import Size, video_dit
from tests.examples_families.conftest import VIDEO, save_distributed
from tests.launcher import Result, python

EVAL = VIDEO / "configs" / "eval.toml"
DEBUG = {"model": {"size": "debug"}}


def debug(**model: object) -> JobConfig:
    return JobConfig.model_validate({"model": {"size": "debug", **model}})


def again(folder: Path, hidden: tuple[int, ...] = ()) -> Path:
    """Save a small model that is of none of the program's sizes."""
    return save_distributed(folder, video_dit(Size(heads=2, head_dim=8, layers=2), hidden))


def program(*arguments: str | Path, code: int = 0) -> Result:
    return python("-m", "video_dit_config.sidecar", *arguments, cwd=VIDEO, code=code)


def check(folder: Path) -> tttcfg.Verification:
    return tttcfg.verify(folder, family=FAMILY)


def test_what_was_written_belongs_to_the_checkpoint_and_is_restored(step: Path) -> None:
    assert sidecar(step, debug()) == step / "training_config.json"
    checked = check(step)
    assert checked.binding == "bound"
    assert checked.proved == {"model.ssm_layer": "ttt_mlp", "model.size": "debug"}
    effective = tttcfg.resolve(step, [EVAL, DEBUG], family=FAMILY)
    assert effective.training.model.mini_batch_size == 64
    assert [one.key for one in effective.findings if one.code == "restored"] == ["model.mini_batch_size"]


def test_torch_loads_the_checkpoint_as_before(step: Path) -> None:
    from torch.distributed import checkpoint

    sidecar(step, debug())
    name = "dit.layers.0.seq_modeling_block.ssm.ttt.W1"
    state = {"model": {name: torch.ones(8, 64, 256, dtype=torch.bfloat16)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a single process
        checkpoint.load(state, checkpoint_id=step, no_dist=True)
    assert not state["model"][name].any()


def test_a_document_of_another_save_is_refused(step: Path, tmp_path: Path) -> None:
    """Even one of the same model with the same configuration: torch gives every save names of its own."""
    document = sidecar(step, debug()).read_bytes()
    other = save_distributed(tmp_path / "other", video_dit(Size(heads=8, head_dim=64, layers=6), (256,)))
    (other / "training_config.json").write_bytes(document)
    with pytest.raises(
        tttcfg.ContradictionError, match=r"was saved with another \.metadata .*video_dit_config.sidecar"
    ):
        check(other)
    sidecar(other, debug())
    assert check(other).binding == "bound"


def test_a_document_that_names_no_weights_is_not_taken_for_theirs(step: Path) -> None:
    tttcfg.save_document(step, debug(), family=FAMILY)
    checked = check(step)
    assert checked.binding == "unbound"
    assert checked.binding_reason.endswith("does not name the .metadata that it belongs to")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"ssm_layer": "ttt_linear"}, "model.ssm_layer: is 'ttt_linear', but the weights have 'ttt_mlp'"),
        ({"size": "5B"}, "model.size: is '5B', but the weights have 'debug'"),
    ],
)
def test_a_configuration_that_the_tensors_refute_is_not_written(
    step: Path, model: dict[str, str], message: str
) -> None:
    with pytest.raises(tttcfg.ContradictionError, match=message):
        sidecar(step, debug(**model))
    assert not (step / "training_config.json").exists()


def test_a_document_that_was_edited_is_refused(step: Path) -> None:
    path = sidecar(step, debug())
    path.write_text(path.read_text("utf-8").replace('"ttt_mlp"', '"ttt_linear"'), "utf-8")
    with pytest.raises(tttcfg.ContradictionError, match="the weights have 'ttt_mlp'"):
        check(step)


def test_a_model_of_no_known_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tttcfg.ContradictionError, match="the weights have width 16, 2 heads and 2 layers"):
        sidecar(again(tmp_path / "small"), debug(ssm_layer="ttt_linear"))


def test_tensors_that_are_not_there_are_refused(step: Path) -> None:
    sidecar(step, debug())
    (step / "__0_0.distcp").unlink()
    with pytest.raises(tttcfg.ContradictionError, match=r"__0_0.distcp is not there"):
        check(step)
    (step / "__0_0.distcp").write_bytes(b"half")
    with pytest.raises(tttcfg.ContradictionError, match=r"__0_0.distcp has 4 bytes of"):
        check(step)


def test_a_run_that_goes_on_writes_a_record_of_its_own(step: Path, tmp_path: Path) -> None:
    """What was restored from one checkpoint and saved with another belongs to the other."""
    sidecar(step, debug(ttt_base_lr=0.5))
    resumed = tttcfg.resolve(step, family=FAMILY)
    later = save_distributed(tmp_path / "step-16", video_dit(Size(heads=8, head_dim=64, layers=6), (256,)))
    sidecar(later, resumed)
    assert check(later).binding == check(step).binding == "bound"
    assert tttcfg.load_document(later / "training_config.json", family=FAMILY).training.model.ttt_base_lr == 0.5


def test_saving_the_same_configuration_again_leaves_the_record_standing(step: Path) -> None:
    sidecar(step, debug())
    tttcfg.save_document(step, tttcfg.resolve(step, family=FAMILY), family=FAMILY)
    assert check(step).binding == "bound"


def test_saving_another_configuration_leaves_none(step: Path) -> None:
    sidecar(step, debug())
    tttcfg.save_document(step, debug(ttt_base_lr=0.5), family=FAMILY)
    assert check(step).binding == "unbound"


def test_a_document_that_is_saved_elsewhere_names_no_weights_there(step: Path, tmp_path: Path) -> None:
    document = tttcfg.load_document(sidecar(step, debug()), family=FAMILY)
    other = save_distributed(tmp_path / "other", video_dit(Size(heads=8, head_dim=64, layers=6), (256,)))
    tttcfg.save_document(other, document, family=FAMILY)
    assert check(other).binding == "unbound"


def test_the_program_writes_what_its_user_asserts(step: Path) -> None:
    program(step, "configs/train.toml", "model.size=debug")
    assert check(step).binding == "bound"
    assert "override model.size=debug" in program(step, "configs/train.toml", "model.size=5B", code=1).err
    assert json.loads((step / "training_config.json").read_bytes())["model"]["size"] == "debug"


def test_the_program_prints_its_usage() -> None:
    assert "FOLDER CONFIG.toml" in program(code=2).err
