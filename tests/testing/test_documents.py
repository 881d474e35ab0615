"""Documents drawn from frozen schemas, of the built-in family and of a family on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tttcfg.testing
from tests.builders import ROOT
from tests.launcher import python
from tests.strategies import complete_documents, overrides, settled
from tttcfg.documents.document import document_of
from tttcfg.ttt_moshi.family import TTT_MOSHI


@pytest.mark.parametrize("version", range(TTT_MOSHI.head + 1))
@given(data=st.data())
@settings(max_examples=12)
def test_a_drawn_document_is_whole_valid_and_loads(version: int, data: st.DataObject) -> None:
    document = data.draw(complete_documents(version))
    tttcfg.testing.validator(TTT_MOSHI, version).validate(document)
    fields = set(tttcfg.testing.frozen_schema(TTT_MOSHI, version)["properties"]) - {"extensions"}
    assert set(document) == fields
    assert document_of(document, TTT_MOSHI).version == version


def test_settling_a_document_must_leave_it_valid() -> None:
    broken = tttcfg.testing.documents(TTT_MOSHI, 2, overrides(2), lambda document: settled(document) | {"seed": "one"})

    @given(broken)
    def holds(_document: object) -> None:
        raise AssertionError("unreachable")

    with pytest.raises(AssertionError, match="not a document of version 2: seed: 'one' is not of type 'integer'"):
        holds()


@pytest.mark.parametrize("name", ["hypothesis", "jsonschema", "pytest"])
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(name: str, tmp_path: Path) -> None:
    program = f"import sys; sys.modules[{name!r}] = None; import tttcfg.testing"
    error = python("-c", program, cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")}, code=1).err
    assert error.splitlines()[-1] == f"ImportError: tttcfg.testing needs {name}: pip install 'tttcfg[testing]'"
