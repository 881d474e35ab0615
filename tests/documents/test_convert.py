"""Configurations that live in a running program."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tttcfg import InputError, TrainingArgs

Read = Callable[[str], Any]


class Dtype(Enum):
    FLOAT32 = "float32"


@dataclasses.dataclass
class OldWandb:
    project: str | None = "p"
    key: str | None = None


@dataclasses.dataclass
class OldTTT:
    enable: bool = True
    layers: str = "28,29"
    initial_gating_alpha: float = 0.2


@dataclasses.dataclass
class OldArgs:
    run_dir: Any = "/runs/x"
    param_dtype: Any = "bfloat16"
    ttt: Any = dataclasses.field(default_factory=OldTTT)
    wandb: Any = dataclasses.field(default_factory=OldWandb)


def test_a_dataclass_of_an_old_shape_is_read() -> None:
    training = TrainingArgs.from_any(OldArgs())
    assert training.ttt.layers == (28, 29)
    assert training.ttt.weight_lr_multiplier == 1.0  # what the program of that shape did
    assert training.run_dir == "/runs/x"


def test_a_dataclass_is_saved_as_the_configuration_that_it_holds(tmp_path: Path) -> None:
    path = tttcfg.save_document(tmp_path / "training_config.json", OldArgs())
    assert tttcfg.load_document(path).training == TrainingArgs.from_any(OldArgs())


def test_namespaces_mappings_and_models_give_the_same_document() -> None:
    expected = TrainingArgs.from_any(OldArgs())
    assert TrainingArgs.from_any(Namespace(**vars(OldArgs()))) == expected
    assert TrainingArgs.from_any(dataclasses.asdict(OldArgs())) == expected
    assert TrainingArgs.from_any(expected) is expected


def test_a_current_mapping_needs_no_number() -> None:
    assert TrainingArgs.from_any({"ttt": {"rope_mode": "mini_batch"}}).ttt.rope_mode == "mini_batch"


def test_paths_and_enumerations_become_text() -> None:
    training = TrainingArgs.from_any(OldArgs(run_dir=Path("/runs/y"), param_dtype=Dtype.FLOAT32))
    assert (training.run_dir, training.param_dtype) == ("/runs/y", "float32")


def test_a_live_secret_stays_with_the_configuration_and_out_of_its_text() -> None:
    training = TrainingArgs.from_any(OldArgs(wandb=OldWandb(key="an-invented-key")))
    assert training.wandb.key is not None
    assert training.wandb.key.get_secret_value() == "an-invented-key"
    assert "invented" not in repr(training)


@pytest.mark.parametrize("value", [3, "text", [1], None])
def test_what_holds_no_settings_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="not a TrainingArgs; "):
        TrainingArgs.from_any(value)


def test_a_value_that_cannot_be_saved_is_named() -> None:
    with pytest.raises(InputError) as caught:
        TrainingArgs.from_any(OldArgs(ttt={"layers": object()}))
    assert [problem.key for problem in caught.value.problems] == ["ttt.layers"]


def test_the_live_object_stays_as_it_is(golden: Read) -> None:
    live, before = golden("v0003"), golden("v0003")
    TrainingArgs.from_any(live)
    assert live == before


@pytest.mark.parametrize("beside", [{"seed": 1}, {"ttt": {"rope_mode": "off"}}], ids=["old", "current"])
@pytest.mark.parametrize("key", [12345, ["invented"], "an-invented-key"], ids=["number", "list", "text"])
def test_a_secret_is_taken_or_refused_without_being_shown(key: Any, beside: dict[str, Any]) -> None:
    live = {**beside, "wandb": {"key": key}}
    if isinstance(key, str):
        assert TrainingArgs.from_any(live).wandb.key is not None
        return
    with pytest.raises(InputError) as caught:
        TrainingArgs.from_any(live)
    assert [(problem.code, problem.key) for problem in caught.value.problems] == [("rejected", "wandb.key")]
    assert "12345" not in str(caught.value)
    assert "invented" not in str(caught.value)


def test_dotted_names_of_a_flat_namespace_mean_their_sections() -> None:
    flat = Namespace(**{"ttt.mini_batch_size": 8, "ttt.layers": "1,2", "seed": 3, "wandb.key": "an-invented-key"})
    training = TrainingArgs.from_any(flat)
    assert (training.ttt.mini_batch_size, training.ttt.layers, training.seed) == (8, (1, 2), 3)
    assert training.wandb.key is not None
    assert TrainingArgs.from_any({"ttt": {"layers": "1,2"}, "ttt.mini_batch_size": 8}).ttt.mini_batch_size == 8
    assert TrainingArgs.from_any({"ttt": None, "ttt.mini_batch_size": 8}).ttt.mini_batch_size == 8


@pytest.mark.parametrize(
    "live",
    [
        {"ttt": {"base_lr": 1.0}, "ttt.base_lr": 2.0},
        {"ttt": 3, "ttt.base_lr": 2.0},
        {"ttt.base_lr": 2.0, "ttt.base_lr.x": 1},
    ],
)
def test_a_dotted_name_beside_its_section_is_a_conflict(live: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        TrainingArgs.from_any(live)
    assert [problem.code for problem in caught.value.problems] == ["conflict"]


def test_an_unknown_dotted_name_is_named_whole() -> None:
    with pytest.raises(InputError) as caught:
        TrainingArgs.from_any({"seed": 1, "ttt.no_such": 2})
    assert [problem.key for problem in caught.value.problems] == ["ttt.no_such"]
