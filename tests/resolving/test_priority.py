"""Which source is used, field by field: every adjacent pair, then any sources with any fields."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import tttcfg
from tests.builders import alternatives, document_file, old_document, trained, tree, write_json
from tttcfg import Effective, Role
from tttcfg.schema.fields import plain
from tttcfg.ttt_moshi.family import TTT_MOSHI

OPEN_FIELDS = {name: field for name, field in TTT_MOSHI.fields.items() if field.role is not Role.SECRET}
FIELDS = {
    Role.ARCHITECTURE: ("lora.rank", 2, 3, 4),
    Role.COMPUTATION: ("ttt.mini_batch_size", 2, 3, 4),
    Role.TRAINING: ("batch_size", 2, 3, 4),
    Role.RUN: ("log_freq", 2, 3, 4),
}
"""By role a field, and its values in the override, the checkpoint and the configuration file."""
WEIGHTS_FIRST = ("override", "checkpoint", "config", "default")
FILES_FIRST = ("override", "config", "checkpoint", "default")
ORDERS = {
    ("auto", Role.ARCHITECTURE): WEIGHTS_FIRST,
    ("auto", Role.COMPUTATION): WEIGHTS_FIRST,
    ("auto", Role.TRAINING): WEIGHTS_FIRST,
    ("auto", Role.RUN): FILES_FIRST,
    **{("all", role): WEIGHTS_FIRST for role in FIELDS},
    **{("none", role): ("override", "config", "default") for role in FIELDS},
}
PAIRS = [
    pytest.param(restore, role, higher, lower, id=f"{restore}-{role.value}-{higher}-over-{lower}")
    for (restore, role), order in ORDERS.items()
    for higher, lower in pairwise(order)
]


def resolved(run: Path, restore: Any, role: Role, sources: set[str]) -> tuple[str, Effective, dict[str, Any]]:
    """Resolve with the role's field given by `sources`; return its name and what each source gives."""
    name, override, saved, configured = FIELDS[role]
    gives = {"override": override, "checkpoint": saved, "config": configured, "default": OPEN_FIELDS[name].default}
    effective = tttcfg.resolve(
        trained(run, {name: saved}) if "checkpoint" in sources else None,
        tree({name: configured}) if "config" in sources else None,
        {name: override} if "override" in sources else {},
        restore=restore,
    )
    return name, effective, gives


@pytest.mark.parametrize(("restore", "role", "higher", "lower"), PAIRS)
def test_the_higher_source_is_used(tmp_path: Path, restore: str, role: Role, higher: str, lower: str) -> None:
    """Of two adjacent sources the value of the higher one is used; the other is listed as overridden."""
    name, effective, gives = resolved(tmp_path, restore, role, {higher, lower})
    assert OPEN_FIELDS[name].get(effective.training) == gives[higher]
    assert [(one.source, one.value) for one in effective.origins[name]][:2] == [
        (higher, gives[higher]),
        (lower, gives[lower]),
    ]


@pytest.mark.parametrize("role", FIELDS)
def test_restore_none_leaves_the_checkpoint_out(tmp_path: Path, role: Role) -> None:
    """With restore="none" the checkpoint's configuration is neither used nor listed as overridden."""
    name, effective, gives = resolved(tmp_path, "none", role, {"checkpoint"})
    assert [one.source for one in effective.origins[name]] == ["default"]
    assert OPEN_FIELDS[name].get(effective.training) == gives["default"]


Sources = dict[str, dict[str, Any]]


@st.composite
def given_sources(draw: st.DrawFn) -> Sources:
    """Draw what each of three sources gives: some fields, each with a value that is not the default or is."""
    found: Sources = {}
    for source in ("override", "checkpoint", "config"):
        names = draw(st.lists(st.sampled_from(sorted(OPEN_FIELDS)), unique=True, max_size=12))
        found[source] = {
            name: draw(st.sampled_from([*alternatives(OPEN_FIELDS[name]), plain(OPEN_FIELDS[name].default)]))
            for name in names
        }
    return found


def outcome(folder: Path | None, sources: Sources, restore: Any) -> Effective:
    try:
        return tttcfg.resolve(folder, tree(sources["config"]), sources["override"], restore=restore)
    except tttcfg.ContradictionError as error:  # full fine-tuning and LoRA at once; the values are kept
        return cast("Effective", error.effective)
    except tttcfg.InputError as error:  # hidden widths that are not as many as the layers that another source gives
        if {problem.key for problem in error.problems} != {"ttt.mlp"}:
            raise
        reject()


@settings(max_examples=60, deadline=None)
@given(sources=given_sources(), restore=st.sampled_from(["auto", "all", "none"]))
def test_the_highest_source_that_gives_a_field_is_used(
    tmp_path_factory: pytest.TempPathFactory, sources: Sources, restore: str
) -> None:
    """For any sources the value is that of the highest source which gives it, and the origins are in that order.

    A value of a configuration file that the checkpoint overrides is reported, whatever its role.
    """
    folder = tmp_path_factory.mktemp("run")
    try:
        checkpoint = trained(folder, sources["checkpoint"])
    except (tttcfg.ContradictionError, tttcfg.InputError):  # LoRA and full fine-tuning at once: never trained
        reject()
    saved = tttcfg.load_document(document_file(checkpoint)).training
    effective = outcome(checkpoint, sources, restore)
    for name, field in OPEN_FIELDS.items():
        order = ORDERS[restore, field.role]
        gives = {source: values[name] for source, values in sources.items() if name in values}
        gives["default"] = plain(field.default_in(effective.training))
        if restore != "none":  # a saved document is complete
            gives.setdefault("checkpoint", plain(field.get(saved)))
        expected = [(source, gives[source]) for source in order if source in gives]
        given = [one for one in effective.origins[name] if one.source != "derived"]  # what the layers read instead
        assert [(one.source, plain(one.value)) for one in given] == expected
        assert plain(field.get(effective.training)) == expected[0][1]
        lost = expected[0][0] == "checkpoint" and gives.get("config", expected[0][1]) != expected[0][1]
        reported = [one for one in effective.findings if (one.code, one.key) == ("restored", name)]
        assert [(one.severity, str(one.place)) for one in reported] == [("info", "config")] * lost


def test_a_typed_value_counts_although_it_is_the_default(tmp_path: Path) -> None:
    """batch_size=1 typed by the user overrides a checkpoint's 4, although 1 is the default."""
    folder = trained(tmp_path, {"batch_size": 4})
    effective = tttcfg.resolve(folder, None, ["batch_size=1"])
    assert effective.training.batch_size == 1
    assert [one.source for one in effective.origins["batch_size"]] == ["override", "checkpoint", "default"]


def test_a_configured_default_counts(tmp_path: Path) -> None:
    """A configuration file's log_freq: 1 overrides a checkpoint's 7, although 1 is the default."""
    effective = tttcfg.resolve(trained(tmp_path, {"log_freq": 7}), {"log_freq": 1})
    assert effective.training.log_freq == 1


def test_null_is_a_value(tmp_path: Path) -> None:
    """KEY=null gives null; it does not mean that nothing was given."""
    folder = trained(tmp_path, {"num_ckpt_keep": 7})
    effective = tttcfg.resolve(folder, {"num_ckpt_keep": 5}, ["num_ckpt_keep=null"])
    assert effective.training.num_ckpt_keep is None
    assert effective.origins["num_ckpt_keep"][0].source == "override"


def test_choosing_the_default(tmp_path: Path) -> None:
    """KEY=!default takes the default although file and checkpoint give a value, and the origin records who chose it."""
    folder = trained(tmp_path, {"batch_size": 4})
    effective = tttcfg.resolve(folder, {"batch_size": 3}, ["batch_size=!default"])
    used, *overridden = effective.origins["batch_size"]
    assert effective.training.batch_size == 1
    assert (used.source, used.where) == ("default", "default, chosen by override 1 (batch_size)")
    assert [one.source for one in overridden] == ["checkpoint", "config"]


def test_choosing_the_file(tmp_path: Path) -> None:
    """KEY=!config takes the file's value although the checkpoint has one."""
    folder = trained(tmp_path / "run", {"batch_size": 4})
    config = write_json(tmp_path / "any.json", {"batch_size": 3})
    effective = tttcfg.resolve(folder, config, ["batch_size=!config"])
    assert effective.training.batch_size == 3
    assert effective.origins["batch_size"][0].where.startswith(f"{config}:1:")


def test_choosing_the_file_for_a_section(tmp_path: Path) -> None:
    """A section takes !default too, field by field."""
    folder = trained(tmp_path, {"optim.lr": 0.5, "optim.eps": 0.25})
    effective = tttcfg.resolve(folder, None, ["optim=!default"])
    assert effective.training.optim == tttcfg.TrainingArgs().optim


def test_choosing_a_file_that_gives_no_value() -> None:
    """KEY=!config without a configuration file that gives the key is an error."""
    with pytest.raises(tttcfg.InputError, match="batch_size: no configuration file"):
        tttcfg.resolve(overrides=["batch_size=!config"])


def test_the_last_override_is_used() -> None:
    """The same key typed twice takes the later value; the earlier one is listed as overridden."""
    effective = tttcfg.resolve(overrides=["batch_size=2", "batch_size=3"])
    assert [one.value for one in effective.origins["batch_size"]] == [3, 2, 1]


def test_later_files_win_over_earlier_ones() -> None:
    """Configuration files merge left to right, field by field."""
    effective = tttcfg.resolve(config=[{"optim": {"lr": 0.5, "eps": 0.25}}, {"optim": {"lr": 0.125}}])
    assert (effective.training.optim.lr, effective.training.optim.eps) == (0.125, 0.25)


def test_assumed_values_rank_below_the_file(tmp_path: Path) -> None:
    """A setting that is absent from the checkpoint's own document is taken from a configuration file."""
    document = old_document(6)
    del document["ttt"]["mini_batch_size"]
    folder = trained(tmp_path)
    write_json(document_file(folder), document)
    effective = tttcfg.resolve(folder, {"ttt": {"mini_batch_size": 4}})
    sources = [one.source for one in effective.origins["ttt.mini_batch_size"]]
    assert (effective.training.ttt.mini_batch_size, sources) == (4, ["config", "checkpoint", "default"])


def test_assumed_values_rank_above_the_default(tmp_path: Path) -> None:
    """Where no file decides, what the document's version took for absent overrides today's default."""
    document = old_document(5)
    del document["ttt"]["weight_lr_multiplier"]
    folder = trained(tmp_path)
    write_json(document_file(folder), document)
    used = tttcfg.resolve(folder).origins["ttt.weight_lr_multiplier"][0]
    assert (used.source, "absent" in used.where) == ("checkpoint", True)
