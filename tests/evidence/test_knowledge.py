"""What a family knows of tensors, with defaults for everything that it leaves out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.dialects.tensors import Size, evidence_of, moshi
from tests.safetensors.files import weights_file
from tttcfg.documents.checkpoint import find_checkpoint, weight_names
from tttcfg.errors import InputError
from tttcfg.evidence.dialects.dialect import Base, Dialect
from tttcfg.evidence.knowledge import NoTensorKnowledge, TensorKnowledge
from tttcfg.family.family import Family
from tttcfg.family.weights import binder, read_as
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import Section
from tttcfg.ttt_moshi.family import TTT_MOSHI


class Nothing(Section):
    """A configuration without a field."""


class Bare(NoTensorKnowledge):
    """Knows nothing."""


class Reading(Bare):
    """Reads a format of its own."""

    binder = "their command"

    def read(self, path: str) -> Header:
        names = Path(path).read_text("utf-8").split()
        return Header(path, {}, 0, 0, None, dict.fromkeys(names, ("F32", (1,))))


def family(tensors: type[TensorKnowledge]) -> Family:
    """Return a family whose weights lie in `names.txt`."""
    return Family("their", Nothing, "none", "none", tensors=tensors, weight_names=("names.txt",))


def test_a_class_without_methods_proves_and_reports_nothing() -> None:
    known = family(Bare).knowledge
    evidence = evidence_of(moshi(Size()))
    assert not known.proved(evidence)
    assert not known.equivalent({}, {}, None)
    assert not known.undetermined_fields(evidence, None)
    assert not known.in_model_config({"dim": 64})
    assert not known.as_saved(lambda _: None, evidence)


def test_a_name_that_nothing_asks_for_is_refused() -> None:
    """A misspelled name would otherwise verify everything."""
    with pytest.raises(TypeError, match=r"Misspelled has provded; tttcfg reads .*proved"):
        type("Misspelled", (NoTensorKnowledge,), {"provded": lambda: None})


NAMES = Dialect("theirs", "their trainer", "net.*", Base("net", layer=r"net\.([0-9])\."), block=r"net\.([0-9])\.t")


@pytest.mark.parametrize(
    ("dialect", "fault"),
    [
        ("ttt_mosh", "'ttt_mosh' is the name of none (moshi_finetune, "),
        (replace(NAMES, name="ttt_moshi"), "'ttt_moshi' is the name of one of tttcfg's; give another name"),
        (replace(NAMES, signature="("), "signature of theirs is no regular expression: missing )"),
        (replace(NAMES, base=Base("*")), "base.known of theirs is no regular expression: nothing to repeat"),
        (replace(NAMES, block="net"), "block of theirs has 0 groups, not the layer's index as the only one"),
        (replace(NAMES, base=Base("", layer="(a)(b)")), "base.layer of theirs has 2 groups, not the layer's index"),
    ],
)
def test_a_dialect_that_could_not_be_used_is_refused_where_it_is_declared(dialect: Any, fault: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"Theirs.dialects: {fault}")):
        type("Theirs", (NoTensorKnowledge,), {"dialects": (dialect,)})
    type("Theirs", (NoTensorKnowledge,), {"dialects": (NAMES, "ttt_moshi")})


def test_a_class_that_proves_nothing_at_all_is_refused() -> None:
    with pytest.raises(TypeError, match="proved"):
        _ = family(type("Forgot", (TensorKnowledge,), {})).knowledge


def test_weights_of_its_own_format_are_found_before_safetensors_and_read_by_it(tmp_path: Path) -> None:
    theirs = family(Reading)
    (tmp_path / "names.txt").write_text("a b", encoding="utf-8")
    other = weights_file(tmp_path / "model.safetensors", {"c": ("F32", (2,))})
    found = find_checkpoint(tmp_path, weight_names(theirs))
    assert found.weights == (str(tmp_path / "names.txt"), str(other))
    assert [set(read_as(theirs, path).names) for path in found.weights] == [{"a", "b"}, {"c"}]
    assert find_checkpoint(tmp_path).weights == (str(other),)


def test_a_format_of_the_family_that_cannot_be_read_is_a_plain_error(tmp_path: Path) -> None:
    theirs = family(Bare)
    with pytest.raises(InputError, match=r"names\.txt: is of a format that cannot be read"):
        read_as(theirs, str(tmp_path / "names.txt"))


def test_what_binds_weights_depends_on_their_format() -> None:
    theirs = family(Reading)
    assert binder(theirs, "run/names.txt") == "their command"
    assert (
        binder(theirs, "run/model.safetensors") == binder(TTT_MOSHI, "names.txt") == "tttcfg.bind(path, configuration)"
    )
