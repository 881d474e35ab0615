"""What differs between two configurations."""

from __future__ import annotations

from tttcfg import Role, TrainingArgs, diff, resolve


def test_equal_configurations_do_not_differ() -> None:
    assert diff(TrainingArgs(), TrainingArgs()) == ()


def test_a_difference_names_key_role_and_both_values() -> None:
    (found,) = diff(TrainingArgs(), TrainingArgs(seed=3))
    assert (found.key, found.role, found.left, found.right) == ("seed", Role.TRAINING, 0, 3)


def test_differences_come_by_role_and_the_gravest_first() -> None:
    other = resolve(overrides=["run_dir=/runs/x", "seed=1", "ttt.base_lr=0.5", "ttt.layers=all"])
    assert [found.key for found in diff(TrainingArgs(), other)] == ["ttt.layers", "ttt.base_lr", "seed", "run_dir"]


def test_secrets_are_never_compared() -> None:
    left = TrainingArgs.model_validate({"wandb": {"key": "one"}})
    assert diff(left, TrainingArgs()) == ()


def test_lists_are_shown_as_json_holds_them() -> None:
    (found,) = diff(TrainingArgs(), resolve(overrides=["ttt.layers=[3, 1]"]))
    assert found.right == [1, 3]
