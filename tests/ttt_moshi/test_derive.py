"""What the TTT layers read, from the configuration and the model's dimensions."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg import Problem, TrainingArgs
from tttcfg.family.family import Derived
from tttcfg.ttt_moshi.derive import derive, inner_layer_sizes
from tttcfg.ttt_moshi.ttt_settings import TTTArgs

MODEL = {"dim": 4096, "num_heads": 32, "num_layers": 32, "context": 3000}


def training(**ttt: Any) -> TrainingArgs:
    return TrainingArgs.model_validate({"ttt": {"enable": True, **ttt}})


def wrong(found: Derived) -> list[Problem]:
    """Return what keeps the layers from being built, without what is only to be known."""
    return [problem for problem in found.problems if problem.severity != "info"]


def test_dimensions_come_from_the_model() -> None:
    config = derive(training(layers=[30, 31]), MODEL, "config.json").config
    assert (config.model_dim, config.num_heads, config.head_dim, config.num_layers) == (4096, 32, 128, 32)
    assert config.layer_indices == (30, 31)
    assert config.inner_layer_sizes == (128, 512, 128)


def test_contexts_that_are_not_set_are_the_models() -> None:
    config = derive(training(ttt_layer_context=50), MODEL, "config.json").config
    assert (config.ttt_layer_context, config.non_ttt_layer_context) == (50, 3000)


def test_a_models_context_is_not_asked_for_where_both_are_set() -> None:
    model = {key: value for key, value in MODEL.items() if key != "context"}
    assert derive(training(ttt_layer_context=50, non_ttt_layer_context=60), model, "config.json").config is not None
    assert [problem.key for problem in wrong(derive(training(), model, "config.json"))] == ["context"]


def test_every_setting_of_the_layers_is_carried_over() -> None:
    config = derive(training(mini_batch_size=8, base_lr=0.25, rope_mode="mini_batch"), MODEL, "m").config
    assert (config.mini_batch_size, config.base_lr, config.rope_mode, config.dtype) == (
        8,
        0.25,
        "mini_batch",
        "bfloat16",
    )


@pytest.mark.parametrize("change", [{"enable": False}, {"layers": "none"}])
def test_nothing_is_derived_where_ttt_is_off(change: dict[str, Any]) -> None:
    found = derive(training(**change), None, "")
    assert (found.config, found.problems) == (None, ())


def test_unknown_dimensions_are_never_guessed() -> None:
    found = derive(training(), None, "")
    assert found.config is None
    assert "--model-config" in found.problems[0].advice


@pytest.mark.parametrize("value", [0, -1, 1.5, "4096", True, None, 4096.0])
def test_an_unusable_dimension_is_named(value: Any) -> None:
    found = derive(training(), MODEL | {"dim": value}, "config.json")
    assert [(problem.key, str(problem.place)) for problem in wrong(found)] == [("dim", "config.json")]


def test_heads_must_divide_the_width() -> None:
    found = derive(training(), MODEL | {"num_heads": 30}, "config.json")
    assert "cannot be split into 30 heads" in found.problems[0].message


def test_layers_must_exist_and_all_problems_come_at_once() -> None:
    found = derive(training(layers=[0, 32, 40]), MODEL | {"num_heads": 30}, "config.json")
    assert found.config is None
    assert [problem.key for problem in wrong(found)] == ["ttt.layers", "num_heads"]
    assert "layers [32, 40] do not exist" in found.problems[0].message


@pytest.mark.parametrize(
    ("ttt", "sizes"),
    [
        ({"inner_model": "linear"}, (128, 128)),
        ({}, (128, 512, 128)),
        ({"mlp": {"layers": 4, "expansion_factor": 1.5}}, (128, 192, 192, 192, 128)),
        ({"mlp": {"layers": 3, "hidden_dims": [256, 64]}}, (128, 256, 64, 128)),
        ({"mlp": {"layers": 3, "expansion_factor": 0.3}}, (128, 38, 38, 128)),
    ],
)
def test_inner_layers_are_as_wide_as_the_trainer_builds_them(ttt: dict[str, Any], sizes: tuple[int, ...]) -> None:
    assert inner_layer_sizes(TTTArgs.model_validate(ttt), 128) == sizes


def test_a_width_of_nothing_is_a_contradiction() -> None:
    found = derive(training(mlp={"layers": 3, "expansion_factor": 0.001}), MODEL, "config.json")
    assert found.config is None
    assert [problem.key for problem in wrong(found)] == ["ttt.mlp.expansion_factor"]


def test_every_derived_value_has_an_origin() -> None:
    found = derive(training(), MODEL, "config.json")
    assert found.origins["ttt.head_dim"] == "config.json (dim / num_heads)"
    assert {f"ttt.{name}" for name in ("model_dim", "layer_indices", "inner_layer_sizes", "dtype")} <= set(
        found.origins
    )


def test_contexts_taken_from_the_model_have_that_origin() -> None:
    origins = derive(training(ttt_layer_context=50), MODEL, "config.json").origins
    assert origins["ttt.non_ttt_layer_context"] == "config.json (context)"
    assert "ttt.ttt_layer_context" not in origins


@pytest.mark.parametrize(
    ("key", "largest"), [("dim", 2**20), ("num_heads", 2**20), ("num_layers", 10_000), ("context", 2**31)]
)
@pytest.mark.parametrize("layers", ["all", "middle", [1]], ids=str)
def test_a_dimension_beyond_every_model_is_refused_by_name_value_and_bound(key: str, largest: int, layers: Any) -> None:
    for value in (largest + 1, 10**32, 10**400):
        found = derive(training(layers=layers), MODEL | {key: value}, "config.json")
        (problem,) = wrong(found)
        assert (found.config, problem.code, problem.key) == (None, "model_config", key)
        assert f"is more than {largest}" in problem.message
        assert str(largest + 1) in problem.message or value > largest + 1
    found = derive(training(layers=layers), {**MODEL, "dim": 2**20, "num_heads": 1, key: largest}, "config.json")
    assert found.config is not None


def test_the_largest_inner_model_of_the_largest_model_is_derived() -> None:
    model = {"dim": 2**20, "num_heads": 1, "num_layers": 10_000, "context": 2**31}
    config = derive(training(layers="all", mlp={"layers": 1024, "expansion_factor": 10_000}), model, "m").config
    assert len(config.inner_layer_sizes) == 1025
    assert config.inner_layer_sizes[1] == 2**20 * 10_000


def test_the_middle_of_one_layer_is_none_and_is_reported() -> None:
    found = derive(training(layers="middle"), MODEL | {"num_layers": 1}, "config.json")
    assert found.config is None
    assert [(problem.code, problem.key) for problem in wrong(found)] == [("model_config", "ttt.layers")]
    assert "middle is no layer at all where num_layers is 1" in found.problems[0].message


def test_many_layers_that_do_not_exist_are_counted() -> None:
    found = derive(training(layers=list(range(1000))), MODEL, "config.json")
    assert "layers [32, 33, 34, 35, 36, 37, 38, 39] and 960 more do not exist" in found.problems[0].message


def test_what_the_layers_cannot_read_is_a_problem_and_no_exception() -> None:
    unchecked = training().model_copy(update={"param_dtype": "int4"})
    found = derive(unchecked, MODEL, "config.json")
    assert [(problem.code, problem.key) for problem in wrong(found)] == [("model_config", "ttt.dtype")]
