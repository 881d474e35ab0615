"""Configurations from a running program: any mapping, sequence and namespace, and what cannot be saved is refused."""

from __future__ import annotations

import argparse
from collections import ChainMap, UserList
from collections.abc import Sequence
from enum import Enum
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

import tttcfg
from tests.builders import HEAD, trained
from tttcfg import InputError
from tttcfg.formats.python import plain_tree

TREE = {"batch_size": 3, "ttt": {"enable": True, "layers": [1, 2], "base_lr": 0.5}, "optim": {"betas": [0.5, 0.25]}}


class Names(Enum):
    RUN = "runs/a"


DOORS: dict[str, Any] = {
    "DictConfig": OmegaConf.create(TREE),
    "read-only": MappingProxyType({**TREE, "ttt": MappingProxyType({**TREE["ttt"], "layers": UserList([1, 2])})}),
    "chained": ChainMap({"batch_size": 3}, TREE),
    "numpy": {
        "batch_size": np.int64(3),
        "ttt": {"enable": np.bool_(True), "layers": (np.int32(1), 2), "base_lr": np.float64(0.5)},
        "optim": {"betas": [np.float32(0.5), np.float64(0.25)]},
    },
}


@pytest.mark.parametrize("given", DOORS.values(), ids=DOORS)
def test_any_mapping_is_a_configuration(given: Any, tmp_path: Path) -> None:
    training = tttcfg.resolve(config=given).training
    assert training == tttcfg.resolve(config=TREE).training
    saved = trained(tmp_path)
    assert tttcfg.resolve(saved, [given], restore="none").training == training
    flat = {"ttt.layers": given["ttt"]["layers"], "ttt.base_lr": given["ttt"]["base_lr"], "optim": given["optim"]}
    overridden = tttcfg.resolve(overrides=flat).training
    assert (overridden.ttt.layers, overridden.ttt.base_lr, overridden.optim.betas) == ((1, 2), 0.5, (0.5, 0.25))


@pytest.mark.parametrize("kind", [argparse.Namespace, SimpleNamespace, dict, OmegaConf.create])
def test_a_whole_configuration_may_be_a_namespace_or_a_mapping(kind: Any, tmp_path: Path) -> None:
    document = tttcfg.resolve(config=TREE).training.model_dump(mode="json")
    given = kind(**document) if kind in (argparse.Namespace, SimpleNamespace) else kind(document)
    assert tttcfg.TrainingArgs.from_any(given).batch_size == 3
    saved = {"schema_version": HEAD, **document}
    whole = kind(**saved) if kind in (argparse.Namespace, SimpleNamespace) else kind(saved)
    tttcfg.save_document(tmp_path, whole)
    assert tttcfg.load_document(tmp_path / "training_config.json").training.ttt.layers == (1, 2)


def test_paths_and_enumerations_are_what_they_stand_for() -> None:
    training = tttcfg.resolve(config={"run_dir": Names.RUN, "data": {"train_data": PurePosixPath("a/b")}}).training
    assert (training.run_dir, training.data.train_data) == ("runs/a", "a/b")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1, 2]), r"a ndarray cannot be saved; give \.tolist\(\) of it"),
        (b"x", r"a bytes cannot be saved; give its text: \.decode\(\)"),
        (object(), r"a object cannot be saved; give text, a number"),
    ],
)
def test_what_cannot_be_saved_is_refused_with_the_call_that_makes_it_plain(value: Any, message: str) -> None:
    for given in ({"config": {"ttt": {"layers": value}}}, {"overrides": {"ttt.layers": value}}):
        with pytest.raises(InputError, match=f"ttt.layers: {message}"):
            tttcfg.resolve(**given)


@pytest.mark.parametrize("text", ["None", "none", "NULL", "Null", "", " "])
def test_nothing_is_not_taken_for_text(text: str) -> None:
    with pytest.raises(InputError, match=r"resume_from: .* would be text; write resume_from=null for nothing"):
        tttcfg.resolve(overrides=[f"resume_from={text}"])
    if "o" in text:
        with pytest.raises(InputError, match=r"num_ckpt_keep: .* write null for nothing"):
            tttcfg.resolve(overrides=[f"num_ckpt_keep={text}"])


def test_a_blank_after_the_equals_sign_is_not_taken_for_text() -> None:
    with pytest.raises(InputError, match=r"run_dir: ' runs/a' begins or ends with a blank"):
        tttcfg.resolve(overrides=["run_dir= runs/a"])
    assert tttcfg.resolve(overrides=["data.eval_data="]).training.data.eval_data == ""
    assert tttcfg.resolve(overrides={"run_dir": " runs/a"}).training.run_dir == " runs/a"


def test_a_number_that_begins_with_zero_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seed: 010\nttt:\n  layers: [07, 10]\n")
    effective = tttcfg.resolve(config=path, overrides=["max_steps=0100"])
    assert (effective.training.seed, effective.training.max_steps) == (10, 100)
    numbers = {one.key: (one.message, str(one.place)) for one in effective.findings if one.code == "number"}
    assert numbers.keys() == {"seed", "ttt.layers.0", "max_steps"}
    assert numbers["seed"] == ("010 is 10 here, and another number to readers of YAML 1.1", f"{path}:1:7")


def test_text_that_is_none_is_reported_in_a_file() -> None:
    for options in ({"config": {"resume_from": "None"}}, {"overrides": ["wandb={project: None}"]}):
        (finding,) = (one for one in tttcfg.resolve(**options).findings if one.code == "null")
        assert (finding.severity, finding.message.partition(";")[0]) == ("warning", "is the text 'None'")


def test_zeros_are_reported_wherever_a_number_is_typed(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("010")
    for override in ("optim={lr: 010}", f"seed=@{tmp_path / 'v.yaml'}"):
        assert [one for one in tttcfg.resolve(overrides=[override]).findings if one.code == "number"]


@pytest.mark.parametrize("text", ["???", "${nope}"])
def test_a_value_that_omegaconf_cannot_look_up_is_bad_input(text: str) -> None:
    with pytest.raises(InputError, match=r"optim\.lr: cannot be read: .* OmegaConf\.to_container"):
        tttcfg.resolve(config=OmegaConf.create({"optim": {"lr": text}}))


def test_suggestions_are_near() -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config={"repos": 1, "batch_siz": 2})
    assert {one.key: one.suggestion for one in caught.value.problems} == {"repos": "", "batch_siz": "batch_size"}


class _Raises(int):
    """A number whose class fails at whatever is asked of it."""

    def __int__(self) -> int:
        raise RuntimeError("secret")


class _NoPath:
    def __fspath__(self) -> Any:
        return 3


class _NoItems(Sequence[int]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError("secret")


def _endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["a"] = [found]
    return found


def _doubled(levels: int) -> list[Any]:
    """A list that is small, and has two to the power of `levels` items once all that it holds is written out."""
    found: list[Any] = [1]
    for _ in range(levels):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (_endless(), "too_deep"),
        (SimpleNamespace(seed=_endless()), "too_deep"),
        ({"a": _doubled(40)}, "too_large"),
        ({"a": list(range(20_000))}, "too_large"),
        ({"seed": _Raises(3)}, "rejected"),
        ({"run_dir": _NoPath()}, "rejected"),
        ({"ttt": {"layers": _NoItems()}}, "rejected"),
        ({10**5000: 1}, "rejected"),
        ({(1, 2): 1}, "rejected"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_object_that_is_endless_or_fails_is_bad_input(value: Any, code: str) -> None:
    """Through every function that takes one, and with nothing of what it raised in the message."""
    for door in (tttcfg.to_dict, tttcfg.TrainingArgs.from_any, lambda one: plain_tree(one, "")):
        with pytest.raises(InputError) as caught:
            door(value)
        assert {one.code for one in caught.value.problems} == {code}
        assert "secret" not in str(caught.value)
