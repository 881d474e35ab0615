"""Frozen schemas: one per version, written once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.builders import HEAD
from tttcfg.family.family import schema_name
from tttcfg.family.json_schema import document_schema, model_schema
from tttcfg.schema.fields import Role
from tttcfg.schema.fragments import fields_of
from tttcfg.ttt_moshi.family import TTT_MOSHI

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "ttt_moshi"
VERSIONS = range(HEAD + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frozen_schema_is_a_valid_one_with_its_own_name(version: int) -> None:
    schema = json.loads((SCHEMAS / schema_name(version)).read_bytes())
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:tttcfg:ttt_moshi:v{version:04d}"


def test_no_secret_is_in_the_current_schema() -> None:
    secret = [field for field in TTT_MOSHI.fields.values() if field.role is Role.SECRET]
    assert [field.name for field in secret] == ["wandb.key"]
    assert "key" not in model_schema(TTT_MOSHI)["properties"]["wandb"]["properties"]


def test_only_the_current_schema_demands_a_number() -> None:
    assert document_schema(TTT_MOSHI, HEAD)["required"] == ["schema_version"]
    assert document_schema(TTT_MOSHI, HEAD)["properties"]["schema_version"]["const"] == HEAD
    assert all("required" not in document_schema(TTT_MOSHI, version) for version in range(HEAD))


def test_every_field_of_the_current_schema_has_role_unit_and_description() -> None:
    schema = document_schema(TTT_MOSHI, HEAD)
    for field in TTT_MOSHI.fields.values():
        if field.role is Role.SECRET:
            continue
        shape = schema
        for part in field.path:
            shape = shape["properties"][part]
        assert shape["x-role"] == field.role.value
        assert field.unit
        assert shape.get("x-unit", field.unit) == field.unit, "what the type implies is not repeated"
        assert shape["description"] == field.description


def test_the_fields_of_a_schema_are_those_of_the_model_without_secrets_and_reserved_keys() -> None:
    """Reserved keys at the top are none; a field of that name in a section would be one."""
    names = [field.name for field in TTT_MOSHI.public_fields]
    assert sorted(fields_of(document_schema(TTT_MOSHI, HEAD))) == sorted(names)
