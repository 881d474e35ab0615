"""From pydantic's errors to ours: every problem at once, with key, place and the nearest name."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg import InputError, TrainingArgs
from tttcfg.errors import Problem
from tttcfg.schema.paths import Path
from tttcfg.schema.validation import validate
from tttcfg.ttt_moshi.ttt_config import TTTConfig


def problems(tree: Any, **options: Any) -> tuple[Problem, ...]:
    def where(path: Path) -> str:
        return f"file:{'/'.join(path)}"

    with pytest.raises(InputError) as caught:
        validate(TrainingArgs, tree, where, **options)
    return caught.value.problems


def test_all_problems_come_at_once_with_their_places() -> None:
    found = problems({"seed": -1, "ttt": {"base_lr": 0, "mlp": {"layers": 1}}})
    assert [(problem.key, problem.place) for problem in found] == [
        ("seed", "file:seed"),
        ("ttt.mlp.layers", "file:ttt/mlp/layers"),
        ("ttt.base_lr", "file:ttt/base_lr"),
    ]


def test_an_unknown_key_gets_the_nearest_name() -> None:
    (problem,) = problems({"ttt": {"mini_batch_sise": 3}})
    assert (problem.code, problem.suggestion) == ("unknown_key", "ttt.mini_batch_size")


def test_old_spellings_are_suggested_too() -> None:
    (problem,) = problems({"rope_continous": True}, names=["rope_continuous"])
    assert problem.suggestion == "rope_continuous"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"seed": True}, "true is refused: must be an integer"),
        ({"seed": 1.0}, "write a whole number"),
        ({"seed": "1"}, "'1' is refused: must be an integer (write a whole number without quotes"),
        ({"optim": {"lr": "1e-4"}}, "'1e-4' is refused: must be a number (write a number without quotes)"),
        ({"optim": {"lr": float("inf")}}, "finite number"),
        ({"do_eval": "yes"}, "write true or false"),
        ({"do_eval": 1}, "write true or false"),
        ({"run_dir": 3}, "write text"),
        ({"param_dtype": "float64"}, "'bfloat16', 'float16' or 'float32'"),
        ({"ttt": {"layers": "some"}}, "'some' is refused"),
        ({"ttt": {"layers": [1, -1]}}, "greater than or equal to 0"),
        ({"ttt": 3}, "3 is refused"),
    ],
)
def test_a_refused_value_is_shown_with_what_is_wanted(tree: Any, words: str) -> None:
    assert any(words in problem.message for problem in problems(tree))


@pytest.mark.parametrize("value", [{"a": 1}, {}, {"a": {"b": [1]}}])
@pytest.mark.parametrize("key", ["layers", "unfrozen_attention_layers"])
def test_a_mapping_where_none_belongs_is_named_by_its_own_key(key: str, value: dict[str, Any]) -> None:
    """pydantic names every way in which the value could have been meant."""
    (problem,) = problems({"ttt": {key: value}})
    assert (problem.code, problem.key, problem.place) == ("rejected", f"ttt.{key}", f"file:ttt/{key}")
    assert problem.message == "must be 'all', 'middle' or 'none', or must be a list"


def test_what_is_missing_is_named_by_its_key() -> None:
    with pytest.raises(InputError) as caught:
        validate(TTTConfig, {"mlp": {"layers": 3}}, "/".join)
    assert ("model_dim", "model_dim") in {(problem.key, problem.place) for problem in caught.value.problems}


def test_a_secret_is_never_shown() -> None:
    (problem,) = problems({"wandb": {"key": 31415926}})
    assert problem.key == "wandb.key"
    assert "31415926" not in str(problem)


def test_a_rule_across_fields_waits_for_the_other_sources() -> None:
    tree = {"ttt": {"mlp": {"layers": 3, "hidden_dims": [8]}}}
    (problem,) = problems(tree)
    assert problem.message.startswith("hidden_dims has 1 widths")
    partial = validate(TrainingArgs, tree, lambda _: "", partial=True)
    assert partial.ttt.mlp.hidden_dims == (8,)
