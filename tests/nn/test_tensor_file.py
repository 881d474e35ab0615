"""Tensors to a file and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tttcfg.nn.tensor_file import header_of, reading, write_tensors
from tttcfg.weights.header import read_header
from tttcfg.weights.rewriting import settle

TENSORS = {
    "b.matrix": torch.arange(12.0).reshape(3, 4),
    "a.turned": torch.arange(6.0).reshape(2, 3).T,
    "c.number": torch.tensor(3.0),
    "d.empty": torch.zeros(0, 4),
}


def test_the_bytes_are_those_of_the_formats_own_library(tmp_path: Path) -> None:
    metadata = {"format": "pt", "a": "1", "b": "2"}
    write_tensors(str(tmp_path / "ours"), TENSORS, metadata)
    save_file({name: one.contiguous() for name, one in TENSORS.items()}, tmp_path / "theirs", metadata)
    settle(tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float64])
def test_floating_point_tensors_take_the_type_and_others_keep_theirs(dtype: torch.dtype | None, tmp_path: Path) -> None:
    tensors = {
        **TENSORS,
        "e.count": torch.tensor([1, 2]),
        "f.bits": torch.tensor([True, False]),
        "g": torch.ones(3).byte(),
    }
    write_tensors(str(tmp_path / "file"), tensors, {}, dtype)
    for name, found in load_file(tmp_path / "file").items():
        wanted = tensors[name]
        assert torch.equal(found, wanted.to(dtype) if dtype is not None and wanted.is_floating_point() else wanted)


def test_what_stands_under_two_names_is_written_twice(tmp_path: Path) -> None:
    """As the trainer's files have it, and as the format's own library refuses to write it."""
    shared = torch.arange(4.0)
    write_tensors(str(tmp_path / "file"), {"one": shared, "two": shared}, {})
    found = load_file(tmp_path / "file")
    assert torch.equal(found["one"], shared)
    assert torch.equal(found["two"], shared)


def test_the_header_is_known_without_data(tmp_path: Path) -> None:
    planned = {name: torch.empty(one.shape, dtype=one.dtype, device="meta") for name, one in TENSORS.items()}
    write_tensors(str(tmp_path / "file"), TENSORS, {"format": "pt"}, torch.bfloat16)
    header = header_of("file", planned, torch.bfloat16)
    assert header.digest == read_header(tmp_path / "file").digest
    assert header.entries == read_header(tmp_path / "file").entries


def test_one_tensor_is_read_at_a_time(tmp_path: Path) -> None:
    write_tensors(str(tmp_path / "file"), TENSORS, {})
    with reading(str(tmp_path / "file")) as tensor_of:
        assert torch.equal(tensor_of("a.turned"), TENSORS["a.turned"])


def test_a_file_that_stands_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        write_tensors(str(tmp_path / "file"), TENSORS, {})
    assert (tmp_path / "file").read_text() == "mine"
