"""Choosing the reader by a file's ending, and reading nothing but regular files of a sane size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tttcfg.errors import InputError
from tttcfg.files.storage import CONFIGURATION_CAP, read_bytes
from tttcfg.formats.endings import YAML_CAP, parse_value, read_file, read_value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"on": 1}'),
        ("a.JSON", '{"on": 1}'),
        ("a.toml", "on = 1"),
        ("a.TOML", "on = 1"),
        ("a.yaml", "on: 1"),
        ("a.yml", "on: 1"),
        ("a.conf", "on: 1"),
        ("a", "{on: 1}"),
        (".json", "on: 1"),
    ],
)
def test_the_ending_chooses_the_reader_and_unknown_ones_are_yaml(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert read_file(tmp_path / name).values == {"on": 1}


def test_json_in_a_yaml_file_is_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('{"a": [1, null, 1e-4]}')
    assert read_file(tmp_path / "a.yaml").values == {"a": [1, None, 1e-4]}


def test_a_value_file_may_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "table.toml").write_text("a = 1\n")
    assert read_value(str(tmp_path / "list.yaml")) == ([1, 2], ())
    assert read_value(str(tmp_path / "table.toml")) == ({"a": 1}, ())


def test_a_value_beyond_the_cap_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InputError, match="a value may have 65,536"):
        parse_value("x" * (YAML_CAP + 1), "key")


def test_a_file_of_exactly_the_cap_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * CONFIGURATION_CAP)
    assert len(read_bytes(path)) == CONFIGURATION_CAP
    path.write_bytes(b"x" * (CONFIGURATION_CAP + 1))
    with pytest.raises(InputError, match="has 65,537 bytes; a configuration may have 65,536"):
        read_bytes(path)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="is not a regular file"):
        read_bytes(tmp_path / "fifo")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_bytes(name)
