"""What a family knows of tensors: found by name, with something to say for all that it leaves out."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.dialects.tensors import Size, evidence_of, moshi
from tests.weights.files import weights_file
from tttcfg.checkpoint import find_checkpoint, weight_names
from tttcfg.errors import InputError
from tttcfg.family import Family
from tttcfg.fields import Section
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.weights import unjudged
from tttcfg.weights.header import Header
from tttcfg.weights.knowledge import binder, knowledge, read_as


class Nothing(Section):
    """A configuration without a field."""


def family(monkeypatch: pytest.MonkeyPatch, **knows: object) -> Family:
    """Return a family whose module `weights` has what is given, and whose weights lie in `names.txt`."""
    module = ModuleType("their_weights")
    vars(module).update(knows)
    monkeypatch.setitem(sys.modules, "their_weights", module)
    return Family("their", Nothing, "none", "none", weights="their_weights", weight_names=("names.txt",))


def read(path: str) -> Header:
    names = Path(path).read_text("utf-8").split()
    return Header(path, {}, 0, 0, None, dict.fromkeys(names, ("F32", (1,))))


def test_what_a_module_leaves_out_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    known = knowledge(family(monkeypatch, proved=unjudged.proved, Judge=unjudged.Judge))
    evidence = evidence_of(moshi(Size()))
    assert not known.alike({}, {}, None)
    assert not known.left_open(evidence, None)
    assert not known.in_model_config({"dim": 64})


@pytest.mark.parametrize(
    ("knows", "told"),
    [
        ({}, "their_weights: has no proved and no Judge"),
        ({"proved": unjudged.proved}, "has no Judge"),
        ({"Judge": unjudged.Judge}, "has no proved"),
    ],
)
def test_a_module_without_what_every_one_needs_is_named(
    monkeypatch: pytest.MonkeyPatch, knows: dict[str, object], told: str
) -> None:
    """A misspelled name would otherwise verify everything."""
    with pytest.raises(InputError, match=told):
        knowledge(family(monkeypatch, **knows))


def test_weights_of_its_own_format_are_found_before_safetensors_and_read_by_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs = family(monkeypatch, proved=unjudged.proved, Judge=unjudged.Judge, read=read)
    (tmp_path / "names.txt").write_text("a b", encoding="utf-8")
    other = weights_file(tmp_path / "model.safetensors", {"c": ("F32", (2,))})
    found = find_checkpoint(tmp_path, weight_names(theirs))
    assert found.weights == (str(tmp_path / "names.txt"), str(other))
    assert [set(read_as(theirs, path).names) for path in found.weights] == [{"a", "b"}, {"c"}]
    assert find_checkpoint(tmp_path).weights == (str(other),)


def test_a_format_that_the_family_names_and_nobody_reads_is_a_plain_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs = family(monkeypatch, proved=unjudged.proved, Judge=unjudged.Judge)
    with pytest.raises(InputError, match=r"names\.txt: is of a format that nobody reads"):
        read_as(theirs, str(tmp_path / "names.txt"))


def test_what_binds_weights_depends_on_their_format(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = family(monkeypatch, proved=unjudged.proved, Judge=unjudged.Judge, BINDER="their command")
    assert binder(theirs, "run/names.txt") == "their command"
    assert (
        binder(theirs, "run/model.safetensors") == binder(TTT_MOSHI, "names.txt") == "tttcfg.bind(path, configuration)"
    )
