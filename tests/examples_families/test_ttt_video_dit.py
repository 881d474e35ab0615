"""ttt-video-dit: its two configurations contradict each other, and the document beside a checkpoint decides."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import safetensors.numpy
from numpy import zeros
from video_dit_config.family import FAMILY

import tttcfg
from tests.cli.process import run
from tests.conftest import GOLDEN as MOSHI
from tests.evidence.dialects.tensors import Size, in_place, video_dit
from tests.examples_families.conftest import VIDEO

REFERENCE = "video_dit_config.family:FAMILY"
GOLDEN, CONFIGS = VIDEO / "tests" / "golden", VIDEO / "configs"
TRAIN, EVAL = CONFIGS / "train.toml", CONFIGS / "eval.toml"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder in which training has left its configuration, and nothing that tttcfg reads besides."""
    shutil.copy(GOLDEN / "v0001.json", tmp_path / "training_config.json")
    (tmp_path / "__0_0.distcp").touch()
    return tmp_path


def test_diff_names_what_the_two_files_contradict_each_other_in() -> None:
    done = run("diff", "configs/train.toml", "configs/eval.toml", "--family", REFERENCE, cwd=VIDEO)
    assert done.code == 1
    assert "computation\n  model.mini_batch_size  64  ->  16\n" in done.out


def test_the_checkpoint_overrides_the_file_that_samples_from_it(trained: Path) -> None:
    effective = tttcfg.resolve(trained, EVAL, family=FAMILY)
    assert effective.training.model.mini_batch_size == 64
    (restored,) = (one for one in effective.findings if one.code == "restored")
    assert (restored.key, restored.message) == ("model.mini_batch_size", "is 64 from the checkpoint, not 16")
    assert str(EVAL) in str(restored.place)


def test_sampling_follows_the_file(trained: Path) -> None:
    """The weights do not depend on how they are sampled, so the file overrides the checkpoint."""
    config = {"eval": {"sampling_num_frames": 37}, "parallelism": {"dp_sharding": 1}}
    effective = tttcfg.resolve(trained, [EVAL, config], family=FAMILY)
    assert effective.training.eval.sampling_num_frames == 37
    assert effective.training.parallelism.dp_sharding == 1


def test_sampling_in_mini_batches_of_16_on_purpose_is_a_deviation(trained: Path) -> None:
    effective = tttcfg.resolve(trained, EVAL, {"model.mini_batch_size": 16}, family=FAMILY)
    found = {one.code: one.message for one in effective.findings if one.key == "model.mini_batch_size"}
    assert "trained with 64" in found["deviation"]
    assert "the kernel of ttt_mlp reads 64 tokens at a time" in found["kernel"]


@pytest.mark.parametrize(("size", "reported"), [(16, False), (64, False), (24, True), (8, True)])
def test_the_kernel_of_the_linear_model_needs_a_power_of_two(size: int, reported: bool) -> None:
    config = {"model": {"ssm_layer": "ttt_linear", "mini_batch_size": size}}
    assert (
        bool([one for one in tttcfg.resolve(config=config, family=FAMILY).findings if one.code == "kernel"]) is reported
    )


def test_sharing_inputs_among_one_rank_is_impossible() -> None:
    """The program asserts it after it has started."""
    with pytest.raises(tttcfg.ContradictionError, match=r"needs parallelism.tp_sharding of 2 or more"):
        tttcfg.resolve(config={"remat": {"shard_transformer_inputs": True}}, family=FAMILY)


def test_a_whole_number_may_be_written_as_the_published_files_write_it() -> None:
    """1e6 mini-batches per checkpoint; a half is still refused."""
    assert tttcfg.resolve(config=EVAL, family=FAMILY).training.remat.scan_checkpoint_group_size == 1_000_000
    with pytest.raises(tttcfg.InputError, match=r"remat.scan_checkpoint_group_size: 0.5 is refused"):
        tttcfg.resolve(config={"remat": {"scan_checkpoint_group_size": 0.5}}, family=FAMILY)


def test_settings_that_no_program_read_are_named_where_a_file_has_them() -> None:
    removed = {one.key for one in tttcfg.resolve(config=EVAL, family=FAMILY).findings if one.code == "removed"}
    assert removed == {"eval.scale_factor", "guider.num_steps"}


def test_the_constants_of_old_layers_are_reported(tmp_path: Path) -> None:
    """As a job wrote it into its log before checkpoints held a configuration."""
    shutil.copy(GOLDEN / "training_job.json", tmp_path / "training_config.json")
    model = tttcfg.resolve(tmp_path, family=FAMILY)
    assert model.training.model.layer_norm_eps == 1e-6
    assert "was a constant" in model.origins["model.attn_length"][0].where


def test_migrating_the_document_of_a_distributed_checkpoint(trained: Path) -> None:
    shutil.copy(GOLDEN / "training_job.json", trained / "training_config.json")
    (trained / ".metadata").write_bytes(b"untouched")
    done = run("migrate", trained, "--family", REFERENCE, "--write", cwd=VIDEO)
    assert done.code == 0, done.err
    assert tttcfg.load_document(trained / "training_config.json", family=FAMILY).version == FAMILY.head
    assert (trained / ".metadata").read_bytes() == b"untouched"


def test_an_export_to_safetensors_is_verified_as_well(trained: Path) -> None:
    """The names are the same; this one is of a size that the program does not have."""
    shapes = video_dit(Size(heads=2, head_dim=8, layers=2), (32,))
    safetensors.numpy.save_file({name: zeros(shape) for name, shape in shapes.items()}, trained / "model.safetensors")
    with pytest.raises(tttcfg.ContradictionError, match="have width 16") as raised:
        tttcfg.verify(trained, family=FAMILY)
    assert [problem.key for problem in raised.value.problems] == ["model.size"]
    verdicts = raised.value.effective.verification.verdicts
    assert {name for name, one in verdicts.items() if one.outcome == "verified"} == {"model.name", "model.ssm_layer"}
    assert verdicts["model.mini_batch_size"].outcome == "not_determined"


def test_weights_of_another_program_verify_nothing(tmp_path: Path) -> None:
    shapes = in_place(Size(layers=2), (1,))
    safetensors.numpy.save_file({name: zeros(shape) for name, shape in shapes.items()}, tmp_path / "model.safetensors")
    with pytest.raises(tttcfg.ContradictionError, match="a configuration of ttt_video_dit does not describe") as raised:
        tttcfg.verify(tmp_path, family=FAMILY)
    verdicts = raised.value.effective.verification.verdicts
    assert {one.outcome for one in verdicts.values()} == {"not_determined"}


def test_a_moshi_configuration_is_no_job() -> None:
    with pytest.raises(tttcfg.ForeignDocumentError, match="it configures a language model; give --family ttt_moshi"):
        tttcfg.load_document(MOSHI / "v0003.json", family=FAMILY)
