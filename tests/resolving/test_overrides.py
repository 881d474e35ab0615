"""Overrides: text verbatim, everything else by the field's type; files, items, null, defaults and old spellings."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tttcfg
from tttcfg.errors import InputError
from tttcfg.resolving.overrides import read_overrides
from tttcfg.ttt_moshi.family import TTT_MOSHI

TYPED: dict[str, Any] = {
    "batch_size=4": 4,
    "max_steps=0755": 755,
    "optim.lr=1e-4": 1e-4,
    "optim.lr=.5": 0.5,
    "optim.lr=2.": 2.0,
    "optim.lr=3": 3.0,
    "ttt.enable=true": True,
    "ttt.enable= False ": False,
    "ttt.layers=all": "all",
    "ttt.layers=28,29": (28, 29),
    "ttt.layers=[29, 28]": (28, 29),
    "ttt.layers=5": (5,),
    "ttt.mlp.hidden_dims=[8, 8, 8]": (8, 8, 8),
    "num_ckpt_keep=null": None,
    "run_dir=null": None,
    "data.train_data=@home": "@home",
    "data.train_data=1e-4 x": "1e-4 x",
    "--batch_size=4": 4,
}
REFUSED = {
    "ttt.enable=yes": "override 1 (ttt.enable): ttt.enable: 'yes' is refused",
    "max_steps=1_2": "override 1 (max_steps): max_steps: '1_2' is refused",
    "batch_size=null": "override 1 (batch_size): batch_size: null is refused",
    "batch_size=": "override 1 (batch_size): batch_size: '' is refused",
    "batch_siz=2": "override 1: batch_siz: no setting has this name (did you mean batch_size?)",
    "ttt.mini_batch=2": "(did you mean ttt.mini_batch_size?)",
    "data=1": "data: is a section; set its fields one by one, or give data=@FILE",
    "batch_size": "override 1: 'batch_size' is not KEY=VALUE",
    "=1": "override 1: '=1' is not KEY=VALUE",
    "batch_size=@": "names no file after @",
    "batch_size=@no/such/file": "no/such/file: batch_size: there is no such file",
    "optim.lr=.inf": "optim.lr: .inf is not a value of any setting",
    "ttt.layers=[1": "ttt.layers:1:3: ttt.layers: while parsing a flow sequence",
    "data.train_data=\udcff": "the text has a lone surrogate",
    "ttt.layers=[\udcff]": "the text has a lone surrogate",
}


def one(text: str) -> Any:
    (entry,) = read_overrides([text], TTT_MOSHI).entries
    return entry.value


@pytest.mark.parametrize("text", TYPED)
def test_a_value_is_parsed_by_its_fields_type(text: str) -> None:
    assert repr(one(text)) == repr(TYPED[text])


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_value_of_a_field_is_refused_with_its_position(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_overrides([text], TTT_MOSHI)
    assert REFUSED[text] in str(caught.value)


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=40).filter(
    lambda text: text == text.strip()
)


@given(PRINTABLE.filter(lambda text: text not in ("null", "!default", "!config")))
def test_text_comes_through_verbatim(text: str) -> None:
    assert one(f"data.train_data={text}") == text


@given(PRINTABLE.filter(lambda text: text.lower() not in ("", "none", "null", "!default", "!config")))
def test_text_that_may_be_null_comes_through_verbatim(text: str) -> None:
    assert one(f"run_dir={text}") == text


def test_all_problems_come_at_once_each_with_its_position() -> None:
    with pytest.raises(InputError) as caught:
        read_overrides(["batch_size=x", "seed=-1", "nope=1", "word"], TTT_MOSHI)
    assert {str(problem.place).partition(" (")[0] for problem in caught.value.problems} == {
        "override 1",
        "override 2",
        "override 3",
        "override 4",
    }


def test_the_last_override_of_a_leaf_wins_and_beats_the_first() -> None:
    origins = tttcfg.resolve(overrides=["batch_size=2", "batch_size=3"]).origins["batch_size"]
    assert [(origin.value, origin.where) for origin in origins[:2]] == [
        (3, "override 2 (batch_size)"),
        (2, "override 1 (batch_size)"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "override", "expected"),
    [
        ("leaf.yaml", "1e-4\n", "optim.lr", {"optim.lr": 1e-4}),
        ("list.yaml", "- 3\n- 1\n", "ttt.layers", {"ttt.layers": (1, 3)}),
        ("section.yaml", "lr: 0.5\neps: 1e-6\n", "optim", {"optim.lr": 0.5, "optim.eps": 1e-6}),
        ("section.toml", "lr = 0.5\n", "optim", {"optim.lr": 0.5}),
        ("section.json", '{"lr": 0.5}', "optim", {"optim.lr": 0.5}),
        ("old.yaml", "ttt_mlp_layers: 4\n", "ttt", {"ttt.mlp.layers": 4}),
    ],
)
def test_a_file_gives_a_leaf_a_list_or_a_section(
    name: str, text: str, override: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    found = read_overrides([f"{override}=@{tmp_path / name}"], TTT_MOSHI)
    assert {entry.name: entry.value for entry in found.entries} == expected


def test_list_items_are_set_by_index_and_appended_at_the_end() -> None:
    texts = ["ttt.layers=[10, 20]", "ttt.layers.0=5", "ttt.layers.2=30"]
    assert tttcfg.resolve(overrides=texts).training.ttt.layers == (5, 20, 30)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["ttt.layers=[1]", "ttt.layers.2=3"], "ttt.layers.2: has no item 2: it is a list of 1 items"),
        (["ttt.layers.0=3"], "ttt.layers.0: has no item 0: it is no list"),
    ],
)
def test_an_index_beyond_the_end_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(overrides=texts)
    assert message in str(caught.value)


def test_default_and_config_choose_another_sources_value() -> None:
    config = {"batch_size": 4, "optim": {"lr": 0.5}}
    chosen = tttcfg.resolve(config=config, overrides=["batch_size=!default", "optim=!default"])
    assert (chosen.training.batch_size, chosen.training.optim.lr) == (1, 1e-4)
    kept = tttcfg.resolve(config=config, overrides=["batch_size=9", "batch_size=!config"])
    assert kept.training.batch_size == 4
    assert kept.origins["batch_size"][0].where == "config, chosen by override 2 (batch_size)"


def test_config_without_a_configuration_is_refused() -> None:
    with pytest.raises(InputError, match="batch_size: no configuration file gives it"):
        tttcfg.resolve(overrides=["batch_size=!config"])


def test_an_old_spelling_is_read_with_a_note() -> None:
    effective = tttcfg.resolve(overrides=["ttt.ttt_mlp_layers=3"])
    assert effective.training.ttt.mlp.layers == 3
    (note,) = [finding for finding in effective.findings if finding.code == "renamed"]
    assert note.key == "ttt.ttt_mlp_layers"
    assert "override 1" in str(note.place)


def test_widths_alone_wait_for_the_number_of_layers() -> None:
    assert read_overrides(["ttt.mlp.hidden_dims=[8, 8]"], TTT_MOSHI).entries
    settled = tttcfg.resolve(config={"ttt": {"mlp": {"layers": 3}}}, overrides=["ttt.mlp.hidden_dims=[8, 8]"])
    assert settled.training.ttt.mlp.hidden_dims == (8, 8)
    with pytest.raises(InputError, match="hidden_dims has 2 widths, but 2 layers have 1"):
        tttcfg.resolve(overrides=["ttt.mlp.hidden_dims=[8, 8]"])


@given(st.text(max_size=30), st.sampled_from(["batch_size", "ttt.layers", "ttt", "ttt.layers.0", "ttt.use_rope", "x"]))
def test_any_value_is_read_or_refused_as_bad_input(value: str, key: str) -> None:
    with contextlib.suppress(InputError):
        read_overrides([f"{key}={value}"], TTT_MOSHI)
