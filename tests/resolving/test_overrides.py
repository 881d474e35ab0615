"""Overrides: text verbatim, everything else by the field's type; files, items, null, defaults and old spellings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tttcfg
from tests.builders import SECRET
from tests.planted import Client, shown_by
from tests.strategies import encodable
from tttcfg.errors import MAX_COLLECTED, InputError, Problem
from tttcfg.resolving.overrides import CommandLine, read_overrides
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
    "batch_size": "override 1: batch_size: has no value; write batch_size=VALUE",
    "=1": "override 1: is not KEY=VALUE",
    "batch_size=@": "names no file after @",
    "batch_size=@no/such/file": "no/such/file: batch_size: there is no",
    "optim.lr=.inf": "optim.lr: .inf is not",
    "ttt.layers=[1": "ttt.layers:1:3: ttt.layers: a comma",
    "data.train_data=\udcff": "lone surrogate",
    "run_dir=None": "run_dir: 'None' would be text; write run_dir=null for nothing",
    "run_dir= ": "run_dir: ' ' would be text; write run_dir=null for nothing",
    "run_dir= runs/1": "begins or ends with a blank, which would be part of the text; leave it out",
    "data.train_data=a ": "begins or ends with a blank",
    "optim.betas.0=!default": "!default takes the whole setting",
    "ttt.use_rope=!config": "takes no !default or !config; use ttt.rope_mode",
    "rope_continuous=!default": "takes no !default or !config",
    "extensions.nois.level=1": "the extension 'nois' is not installed",
    "ttt.layers=[\udcff]": "lone surrogate",
}


def one(text: str) -> Any:
    (entry,) = read_overrides([text], TTT_MOSHI).entries
    return entry.value


@pytest.mark.parametrize("text", TYPED)
def test_a_value_is_parsed_by_its_fields_type(text: str) -> None:
    assert repr(one(text)) == repr(TYPED[text])


ARGUMENTS: dict[tuple[str, ...], list[str]] = {
    ("--seed", "3", "batch_size=2"): ["seed=3", "batch_size=2"],
    ("--data.train-data", "a=b"): ["data.train_data=a=b"],
    ("--ttt.base-lr=a-b=c",): ["ttt.base_lr=a-b=c"],
    ("data-x=1",): ["data-x=1"],
    ("--max_steps", "-3"): ["max_steps=-3"],
}
NO_ARGUMENTS: dict[tuple[str, ...], list[tuple[str, str]]] = {
    ("--seed",): [("--seed", "needs a value; for a switch write true or false")],
    ("--seed", "--batch_size=2"): [("--seed", "needs a value")],
    ("-seed=3",): [("", "is neither KEY=VALUE nor an option; the checkpoint's path comes first")],
    ("runs.yaml", "-x"): [
        ("", "'runs.yaml' is neither KEY=VALUE nor an option; paths go after"),
        ("", "argument 2 is"),
    ],
    ("--confg", "a.yaml", "--restor=all", "seed"): [
        ("--confg", "is not an option"),
        ("--restor", "is not an option"),
        ("seed", "has no value"),
    ],
    ("--confg", "--seed", "3", "b"): [("--confg", "is not an option"), ("", "argument 4 is neither")],
}
OPTIONS = ("config", "restore", "output")


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments_of_a_command_line_are_overrides(arguments: tuple[str, ...]) -> None:
    assert tttcfg.override_texts(arguments, OPTIONS) == ARGUMENTS[arguments]


@pytest.mark.parametrize("arguments", NO_ARGUMENTS)
def test_arguments_that_are_no_overrides_are_reported_all_at_once(arguments: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.override_texts(arguments, (*OPTIONS, "checkpoint") if "runs.yaml" in arguments else OPTIONS)
    found = [(problem.key, problem.message) for problem in caught.value.problems]
    expected = NO_ARGUMENTS[arguments]
    assert [key for key, _ in found] == [key for key, _ in expected]
    assert all(part in message for (_, message), (_, part) in zip(found, expected, strict=True))
    assert {problem.code for problem in caught.value.problems} == {"override"}


def test_an_option_is_suggested_where_no_setting_is_as_near() -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.override_texts(["--outpu=json"], OPTIONS)
    assert [problem.suggestion for problem in caught.value.problems] == ["--output"]
    for word in ("--seeds", "--ttt.outpu", "--do_evl", "--zzz"):
        assert tttcfg.override_texts([word, "3"], OPTIONS) == [f"{word[2:]}=3"]


def test_a_command_line_is_read_by_the_family_that_its_settings_are_of() -> None:
    found = read_overrides(CommandLine(["--batch-size", "4"], OPTIONS, ["seed=2"]), TTT_MOSHI)
    assert [(one.name, one.value, one.where) for one in found.entries] == [
        ("batch_size", 4, "override 1 (batch_size)"),
        ("seed", 2, "override 2 (seed)"),
    ]


@pytest.mark.parametrize(
    ("overriding", "message"),
    [
        ({3: 1}, "has a int for a key; give text"),
        (["ttt.layers.0=!default"], "!default takes the whole setting"),
        (["ttt=3"], "is a section; set its fields one by one, or give ttt=@FILE"),
        (["seed=@"], "names no file after @"),
        (["rope_continuous=!default"], "takes no !default or !config"),
        (["word"], "is not KEY=VALUE"),
    ],
)
def test_what_is_no_override_has_the_code_of_one(overriding: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_overrides(overriding, TTT_MOSHI)
    (problem,) = caught.value.problems
    assert problem.code == "override"
    assert message in problem.message


def test_a_whole_extension_is_no_setting(noise: Any) -> None:
    key = f"extensions.{noise.EXTENSION.name}"
    for text in (f"{key}=1", f"{key}=!default"):
        with pytest.raises(InputError) as caught:
            tttcfg.resolve(overrides=[text])
        (problem,) = caught.value.problems
        assert (problem.code, problem.key) == ("override", key)
        assert problem.message == "is an extension; set its fields one by one"


def test_of_very_many_problems_the_first_are_reported() -> None:
    with pytest.raises(InputError) as caught:
        read_overrides(["nope=1"] * (2 * MAX_COLLECTED), TTT_MOSHI)
    assert len(caught.value.problems) == MAX_COLLECTED


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


def test_the_last_override_of_a_field_is_used_and_overrides_the_first() -> None:
    origins = tttcfg.resolve(overrides=["batch_size=2", "batch_size=3"]).origins["batch_size"]
    assert [(origin.value, origin.where) for origin in origins[:2]] == [
        (3, "override 2 (batch_size)"),
        (2, "override 1 (batch_size)"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "override", "expected"),
    [
        ("value.yaml", "1e-4\n", "optim.lr", {"optim.lr": 1e-4}),
        ("list.yaml", "- 3\n- 1\n", "ttt.layers", {"ttt.layers": (1, 3)}),
        ("section.yaml", "lr: 0.5\neps: 1e-6\n", "optim", {"optim.lr": 0.5, "optim.eps": 1e-6}),
        ("section.toml", "lr = 0.5\n", "optim", {"optim.lr": 0.5}),
        ("section.json", '{"lr": 0.5}', "optim", {"optim.lr": 0.5}),
        ("old.yaml", "ttt_mlp_layers: 4\n", "ttt", {"ttt.mlp.layers": 4}),
    ],
)
def test_a_file_gives_a_field_a_list_or_a_section(
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
    effective = tttcfg.resolve(config={"ttt": {"mlp": {"layers": 3}}}, overrides=["ttt.mlp.hidden_dims=[8, 8]"])
    assert effective.training.ttt.mlp.hidden_dims == (8, 8)
    with pytest.raises(InputError, match="hidden_dims has 2 widths, but 2 layers have 1"):
        tttcfg.resolve(overrides=["ttt.mlp.hidden_dims=[8, 8]"])


@given(
    st.text(encodable, max_size=30),
    st.sampled_from(["batch_size", "ttt.layers", "ttt", "ttt.layers.0", "ttt.use_rope", "x"]),
)
def test_any_value_is_read_or_refused_as_bad_input(value: str, key: str) -> None:
    with contextlib.suppress(InputError):
        read_overrides([f"{key}={value}"], TTT_MOSHI)


ODD = [None, 3, 4.5, True, SECRET.encode(), ("wandb.key", SECRET), ["wandb.key", SECRET], {"wandb.key": SECRET}]
ODD += [bytearray(SECRET.encode()), {SECRET}, Client(SECRET), Client, Path(SECRET)]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_what_is_no_text_among_overrides_is_named_by_its_position_and_type(odd: object) -> None:
    """And never by its content, which may be a secret, whatever holds it; other overrides are read all the same."""
    given: Any = ["seed=1", odd, "batch_siz=2"]
    calls: list[Callable[[], Any]] = [
        lambda: tttcfg.resolve(overrides=given),
        lambda: tttcfg.resolve(overrides=tuple(given)),
        lambda: tttcfg.resolve(overrides=iter(given)),
    ]
    message = f"is of the type {type(odd).__name__}; give KEY=VALUE as text"
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.problems[0][:4] == ("override", message, "", "override 2")
        assert caught.value.problems[1].key == "batch_siz"
    assert SECRET not in "".join(map(shown_by, calls))
    with pytest.raises(InputError) as caught:
        tttcfg.override_texts(given)
    assert caught.value.problems == (Problem("override", message, place="argument 2"),)


@pytest.mark.parametrize(
    "odd", [None, 3, SECRET.encode(), bytearray(b"a=1"), Client(SECRET)], ids=lambda odd: type(odd).__name__
)
def test_what_holds_no_overrides_is_named_by_its_type(odd: Any) -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(overrides=odd)
    message = f"is of the type {type(odd).__name__}; give KEY=VALUE as text or a mapping"
    assert caught.value.problems == (Problem("override", message, place="overrides"),)
    assert SECRET not in shown_by(lambda: tttcfg.resolve(overrides=odd))


def test_pairs_are_no_mapping() -> None:
    pairs: Any = {"seed": 1}.items()
    with pytest.raises(InputError, match=r"override 1: is of the type tuple; give KEY=VALUE as text"):
        tttcfg.resolve(overrides=pairs)
