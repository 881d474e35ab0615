"""The commands on a folder of torch.distributed.checkpoint, which is checked against its `.metadata`."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from video_dit_config.family import FAMILY
from video_dit_config.job_config import JobConfig
from video_dit_config.sidecar import sidecar

import tttcfg
from tests.cli.process import Result, run
from tests.examples_families.conftest import VIDEO

DEBUG = JobConfig.model_validate({"model": {"size": "debug"}})


def command(name: str, *arguments: str | Path) -> Result:
    return run(name, "--family", "video_dit_config.family:FAMILY", *arguments, cwd=VIDEO)


def test_verify_holds_the_document_against_it(step: Path) -> None:
    sidecar(step, DEBUG)
    done = command("verify", step)
    assert done.code == 0, done.err
    assert f"{step}/.metadata: 292 tensors, names of ttt-video-dit" in done.out
    assert "verified model.name, model.size, model.ssm_layer\n" in done.out
    assert f"bound: {step}/training_config.json carries the digest of {step}/.metadata" in done.out


def test_verify_refuses_a_configuration_of_other_tensors(step: Path) -> None:
    """The published job is of another size."""
    done = command("verify", step, "--config", "configs/train.toml", "--restore", "none")
    assert done.code == 1
    assert "model.size: is '5B'" in done.err


def test_verify_reports_what_is_missing(step: Path) -> None:
    sidecar(step, DEBUG)
    (step / "__0_0.distcp").unlink()
    done = command("verify", step)
    assert done.code == 1
    assert "__0_0.distcp is not there" in done.err


@pytest.mark.parametrize("inside", [".metadata", "__0_0.distcp"])
def test_any_file_of_it_leads_to_it(step: Path, inside: str) -> None:
    assert "names of ttt-video-dit" in command("verify", step / inside).out


def test_a_file_that_asks_for_more_is_a_plain_error(step: Path) -> None:
    (step / ".metadata").unlink()
    (step / ".metadata").write_bytes(pickle.dumps(print, 4))
    done = command("verify", step)
    assert done.code == 2
    assert "asks for '__builtin__.print'" in done.err or "asks for 'builtins.print'" in done.err
    assert "Traceback" not in done.err


def test_inspect_reports_what_is_proved_and_adopts_it(step: Path, tmp_path: Path) -> None:
    """A document that is written so names its weights as one of the trainer's does."""
    (tmp_path / "mine.toml").write_text("[model]\nmini_batch_size = 64\n", encoding="utf-8")
    done = command("inspect", step, "--write", "--config", tmp_path / "mine.toml")
    assert done.code == 0, done.err
    assert "model.size       debug" in done.out
    document = json.loads((step / "training_config.json").read_bytes())
    assert document["model"]["size"] == "debug"
    assert document["provenance"]["adopted"]["the tensors prove it"] == {
        "model.size": "debug",
        "model.ssm_layer": "ttt_mlp",
    }
    assert tttcfg.verify(step, family=FAMILY).binding == "bound"


def test_resolve_believes_the_tensors_where_there_is_no_document(step: Path) -> None:
    done = command("resolve", "--checkpoint", step, "--config", "configs/eval.toml")
    assert done.code == 0, done.err
    assert "  size: debug\n" in done.out
    assert "[restored] model.size: is 'debug', as" in done.err


def test_binding_it_is_refused_and_what_writes_the_document_is_named(step: Path) -> None:
    with pytest.raises(tttcfg.InputError, match=r"no safetensors.*python -m video_dit_config.sidecar FOLDER CONFIG"):
        tttcfg.bind(step, DEBUG, family=FAMILY)
    assert not (step / "training_config.json").exists()


def test_another_family_finds_no_checkpoint_there(step: Path) -> None:
    done = run("verify", step)
    assert done.code == 2
    assert "holds neither weights" in done.err


def test_its_own_layer_configuration_is_not_reported_as_disabled(step: Path) -> None:
    done = command("resolve", "--checkpoint", step, "--require-ttt")
    assert done.code == 2
    assert "no layer configuration: ttt_video_dit derives none" in done.err
