"""The models: strict, closed, finite and deeply frozen."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.builders import tree
from tttcfg import TrainingArgs, TTTConfig
from tttcfg.schema.fields import Role, Section, config_fields
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.ttt_moshi.ttt_settings import MLPArgs

MODEL: dict[str, Any] = {
    "model_dim": 4096,
    "num_heads": 32,
    "head_dim": 128,
    "num_layers": 32,
    "layer_indices": [30, 31],
    "inner_layer_sizes": [128, 512, 128],
    "ttt_layer_context": 3000,
    "non_ttt_layer_context": 3000,
    "dtype": "bfloat16",
}


@pytest.mark.parametrize(
    "name", ["enable", "mini_batch_size", "layers", "base_lr", "persistent_states", "initial_gating_alpha"]
)
def test_the_names_of_the_seed_stay(name: str) -> None:
    assert f"ttt.{name}" in TTT_MOSHI.fields


@pytest.mark.parametrize("name", [field.name for field in TTT_MOSHI.fields.values()])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {"nested": 1}])
def test_no_field_takes_what_no_file_can_keep(name: str, value: Any) -> None:
    tree: Any = value
    for part in reversed(name.split(".")):
        tree = {part: tree}
    with pytest.raises(ValidationError):
        TrainingArgs.model_validate(tree)


@pytest.mark.parametrize("value", [True, False, "1", 1.0])
def test_a_whole_number_is_no_truth_value_text_or_fraction(value: Any) -> None:
    with pytest.raises(ValidationError):
        TrainingArgs.model_validate({"batch_size": value})


def test_a_number_may_be_written_without_a_point() -> None:
    assert TrainingArgs.model_validate({"duration_sec": 10}).duration_sec == 10.0


@pytest.mark.parametrize("value", ["1e-4", True, None])
def test_a_number_is_no_text(value: Any) -> None:
    with pytest.raises(ValidationError):
        TrainingArgs.model_validate({"optim": {"lr": value}})


def test_an_unknown_field_is_refused_in_every_section() -> None:
    for section in ("", *TTT_MOSHI.sections):
        tree: Any = {"unheard_of": 1}
        for part in reversed(section.split(".") if section else []):
            tree = {part: tree}
        with pytest.raises(ValidationError, match="unheard_of"):
            TrainingArgs.model_validate(tree)


def test_text_is_bounded() -> None:
    assert TrainingArgs(run_dir="x" * 4096).run_dir
    with pytest.raises(ValidationError, match="4096"):
        TrainingArgs(run_dir="x" * 4097)


@pytest.mark.parametrize(
    ("name", "largest", "beyond"),
    [
        ("duration_sec", 1_000_000, 1e308),
        ("ttt.mlp.layers", 1024, 200_000_000),
        ("ttt.mlp.expansion_factor", 10_000, 1e300),
    ],
)
def test_what_sizes_are_computed_from_is_bounded(name: str, largest: int, beyond: float) -> None:
    """Beyond every use, and before a computation overflows or takes all memory."""
    get = TTT_MOSHI.fields[name].get
    assert get(TrainingArgs.model_validate(tree({name: largest}))) == largest
    for value in (largest + 1, beyond):
        with pytest.raises(ValidationError, match="less than or equal to"):
            TrainingArgs.model_validate(tree({name: value}))


@pytest.mark.parametrize("betas", [[0.9], [0.9, 1.0], [-0.1, 0.9], [0.9, 0.95, 0.99], "0.9,0.95"])
def test_betas_are_two_numbers_below_one(betas: Any) -> None:
    with pytest.raises(ValidationError):
        TrainingArgs.model_validate({"optim": {"betas": betas}})


def test_each_hidden_layer_needs_one_width() -> None:
    assert MLPArgs.model_validate({"layers": 3, "hidden_dims": [8, 4]}).hidden_dims == (8, 4)
    with pytest.raises(ValidationError, match="hidden_dims has 1 widths, but 3 layers have 2 hidden ones"):
        MLPArgs.model_validate({"layers": 3, "hidden_dims": [8]})


def test_a_layers_configuration_is_frozen_and_hashable() -> None:
    config = TTTConfig.model_validate(MODEL)
    assert config.layer_indices == (30, 31)
    assert hash(config) == hash(TTTConfig.model_validate(MODEL))
    with pytest.raises(ValidationError, match="frozen"):
        config.head_dim = 64


def test_a_layers_configuration_guesses_no_dimension() -> None:
    for name in MODEL:
        with pytest.raises(ValidationError, match=name):
            TTTConfig.model_validate({key: value for key, value in MODEL.items() if key != name})


@pytest.mark.parametrize("model", [TrainingArgs, TTTConfig])
def test_a_secret_is_the_only_field_that_is_not_shown(model: type[Section]) -> None:
    for field in config_fields(model).values():
        assert (field.role is Role.SECRET) == (not field.info.repr) == bool(field.info.exclude)


def test_no_value_of_a_default_can_be_changed() -> None:
    """Sections are shared between configurations, so nothing inside them may be a list or a mapping."""
    for field in TTT_MOSHI.fields.values():
        assert not isinstance(field.get(TrainingArgs()), (list, dict, set)), field.name
