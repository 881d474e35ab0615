"""Tensors to a file and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tttcfg.errors import InputError
from tttcfg.nn.checkpoints.tensor_file import digest_of_sample, header_of, reading, write_tensors
from tttcfg.safetensors.header import read_header
from tttcfg.safetensors.metadata import canonicalize_header

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
    canonicalize_header(tmp_path / "theirs")
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


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_sample_is_that_of_the_file_that_is_written(dtype: torch.dtype | None, tmp_path: Path) -> None:
    tensors = {**TENSORS, "e.bits": torch.tensor([True, False]), "f": torch.randn(300, 70)}
    write_tensors(str(tmp_path / "file"), tensors, {}, dtype)
    with reading(str(tmp_path / "file")) as tensor_of:
        found = digest_of_sample((name, tensor_of(name)) for name in reversed(list(tensors)))
    assert found == digest_of_sample(tensors.items(), dtype)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_a_sample_of_nan_is_that_of_the_file_whatever_bits_they_have(dtype: torch.dtype | None, tmp_path: Path) -> None:
    """A conversion gives NaN other bits where numbers lie apart than where they lie side by side."""
    odd = torch.tensor([0x7F800001, -1], dtype=torch.int32).view(torch.float32)
    tensors = {"nan": torch.full((70_001,), torch.nan), "odd": odd}
    write_tensors(str(tmp_path / "file"), tensors, {}, dtype)
    with reading(str(tmp_path / "file")) as tensor_of:
        assert digest_of_sample((name, tensor_of(name)) for name in tensors) == digest_of_sample(tensors.items(), dtype)
    assert tensors["odd"].view(torch.int32).tolist() == [0x7F800001, -1]


@pytest.mark.parametrize("change", ["name", "shape", "type", "numbers", "one column", "one of few"])
def test_other_tensors_have_another_sample(change: str) -> None:
    matrix, few = torch.randn(256, 64), torch.randn(3)
    other = {
        "name": {"c": matrix, "b": few},
        "shape": {"a": matrix.reshape(64, 256), "b": few},
        "type": {"a": matrix.view(torch.int32), "b": few},
        "numbers": {"a": matrix * 1.001, "b": few},
        "one column": {"a": matrix + torch.eye(1, 64)[0], "b": few},
        "one of few": {"a": matrix, "b": few + torch.eye(3)[2]},
    }
    assert digest_of_sample(other[change].items()) != digest_of_sample({"a": matrix, "b": few}.items())


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_tensors_with_numbers_that_are_not_finite_are_named(
    number: float, dtype: torch.dtype | None, tmp_path: Path
) -> None:
    wild = torch.ones(3, 5)
    wild[1, 2] = number
    assert write_tensors(str(tmp_path / "file"), {**TENSORS, "x.wild": wild}, {}, dtype) == ["x.wild"]
    assert write_tensors(str(tmp_path / "other"), TENSORS, {}, dtype) == []


def test_what_a_type_cannot_hold_is_not_finite_in_it(tmp_path: Path) -> None:
    large = {"large": torch.tensor([1e6])}
    assert write_tensors(str(tmp_path / "float32"), large, {}) == []
    assert write_tensors(str(tmp_path / "float16"), large, {}, torch.float16) == ["large"]


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    write_tensors(str(tmp_path / "file"), TENSORS, {})
    (tmp_path / "torn").write_bytes((tmp_path / "file").read_bytes()[:-8])
    for name, message in (("nowhere", "there is no such file"), ("torn", "cannot be read")):
        with pytest.raises(InputError, match=f"{name}: {message}"), reading(str(tmp_path / name)):
            pass
    with reading(str(tmp_path / "file")) as tensor_of, pytest.raises(InputError, match="cannot be read"):
        tensor_of("z")
