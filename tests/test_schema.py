"""Frozen schemas: one per version, written once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tttcfg.fields import Role
from tttcfg.schema import document_schema, freeze, model_schema, schema_name
from tttcfg.ttt_moshi.family import TTT_MOSHI

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas" / "ttt_moshi"
VERSIONS = range(TTT_MOSHI.head + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frozen_schema_is_a_valid_one_with_its_own_name(version: int) -> None:
    schema = json.loads((SCHEMAS / schema_name(version)).read_bytes())
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:tttcfg:ttt_moshi:v{version:04d}"


def test_freezing_writes_every_version_and_then_nothing(tmp_path: Path) -> None:
    assert len(freeze(TTT_MOSHI, tmp_path)) == len(VERSIONS)
    assert freeze(TTT_MOSHI, tmp_path) == []


def test_freezing_never_overwrites(tmp_path: Path) -> None:
    released = tmp_path / schema_name(3)
    released.write_text("released", "utf-8")
    assert released not in freeze(TTT_MOSHI, tmp_path)
    assert released.read_text("utf-8") == "released"


def test_the_command_freezes_into_the_folder_that_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tttcfg.schema", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == len(VERSIONS)


def test_no_secret_is_in_the_current_schema() -> None:
    secret = [leaf for leaf in TTT_MOSHI.leaves.values() if leaf.role is Role.SECRET]
    assert [leaf.name for leaf in secret] == ["wandb.key"]
    assert "key" not in model_schema(TTT_MOSHI)["properties"]["wandb"]["properties"]


def test_only_the_current_schema_demands_a_number() -> None:
    assert document_schema(TTT_MOSHI, 7)["required"] == ["schema_version"]
    assert document_schema(TTT_MOSHI, 7)["properties"]["schema_version"]["const"] == 7
    assert "required" not in document_schema(TTT_MOSHI, 6)


def test_every_field_of_the_current_schema_has_role_unit_and_description() -> None:
    schema = document_schema(TTT_MOSHI, 7)
    for leaf in TTT_MOSHI.leaves.values():
        if leaf.role is Role.SECRET:
            continue
        shape = schema
        for part in leaf.path:
            shape = shape["properties"][part]
        assert (shape["x-role"], shape["x-unit"]) == (leaf.role.value, leaf.unit)
        assert shape["description"] == leaf.description
