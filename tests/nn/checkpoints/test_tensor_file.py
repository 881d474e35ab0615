"""Tensors to a file and back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tttcfg.errors import InputError
from tttcfg.nn.checkpoints.tensor_file import (
    DTYPES,
    digest_of_sample,
    digest_of_stored,
    header_of,
    reading,
    write_tensors,
)
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


def test_a_tensor_with_two_names_is_written_twice(tmp_path: Path) -> None:
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
    with reading(str(tmp_path / "file")) as file:
        assert torch.equal(file.tensor("a.turned"), TENSORS["a.turned"])


def test_what_the_formats_own_library_writes_is_read_as_it_reads_it(tmp_path: Path) -> None:
    """Of every type that torch has for it."""
    kinds = [*DTYPES, torch.complex64, torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]
    kinds += [torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
    save_file({str(kind): torch.arange(24).reshape(4, 6).to(kind) for kind in kinds}, tmp_path / "file")
    expected = load_file(tmp_path / "file")
    with reading(str(tmp_path / "file")) as file:
        assert file.header.names == expected.keys()
        for name, tensor in expected.items():
            found = file.tensor(name)
            assert (found.dtype, found.tolist()) == (tensor.dtype, tensor.tolist())


def test_what_was_read_is_no_longer_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(str(path), TENSORS, {})
    with reading(str(path)) as file:
        found = {name: file.tensor(name) for name in TENSORS}
        path.write_bytes(b"\xff" * path.stat().st_size)
        os.truncate(path, 0)
        assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
        with pytest.raises(InputError, match=r"file: ends at byte .*; it was cut while it was read"):
            file.tensor("b.matrix")


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        write_tensors(str(tmp_path / "file"), TENSORS, {})
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_sample_is_that_of_the_file_that_is_written(dtype: torch.dtype | None, tmp_path: Path) -> None:
    tensors = {**TENSORS, "e.bits": torch.tensor([True, False]), "f": torch.randn(300, 70)}
    write_tensors(str(tmp_path / "file"), tensors, {}, dtype)
    with reading(str(tmp_path / "file")) as file:
        read = digest_of_sample((name, file.tensor(name)) for name in reversed(list(tensors)))
        assert {read, digest_of_stored([file])} == {digest_of_sample(tensors.items(), dtype)}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_a_sample_of_nan_is_that_of_the_file_whatever_bits_they_have(dtype: torch.dtype | None, tmp_path: Path) -> None:
    """A conversion gives NaN other bits where numbers lie apart than where they lie side by side."""
    odd = torch.tensor([0x7F800001, -1], dtype=torch.int32).view(torch.float32)
    tensors = {"nan": torch.full((70_001,), torch.nan), "odd": odd}
    write_tensors(str(tmp_path / "file"), tensors, {}, dtype)
    with reading(str(tmp_path / "file")) as file:
        assert digest_of_stored([file]) == digest_of_sample(tensors.items(), dtype)
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
    non_finite = torch.ones(3, 5)
    non_finite[1, 2] = number
    assert write_tensors(str(tmp_path / "file"), {**TENSORS, "x.non_finite": non_finite}, {}, dtype) == ["x.non_finite"]
    assert write_tensors(str(tmp_path / "other"), TENSORS, {}, dtype) == []


def test_what_a_type_cannot_hold_is_not_finite_in_it(tmp_path: Path) -> None:
    large = {"large": torch.tensor([1e6])}
    assert write_tensors(str(tmp_path / "float32"), large, {}) == []
    assert write_tensors(str(tmp_path / "float16"), large, {}, torch.float16) == ["large"]


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    write_tensors(str(tmp_path / "file"), TENSORS, {})
    (tmp_path / "torn").write_bytes((tmp_path / "file").read_bytes()[:-8])
    (tmp_path / "cut").write_bytes((tmp_path / "file").read_bytes()[:9])
    for name, message in (("nowhere", "there is no"), ("torn", "has 332 bytes, and its"), ("cut", "ends inside its")):
        with pytest.raises(InputError, match=f"{name}: {message}"), reading(str(tmp_path / name)):
            pass


def test_a_type_that_torch_does_not_have_is_named(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with reading(str(tmp_path / "file")) as file, pytest.raises(InputError, match="a: is stored as F4, which torch"):
        file.tensor("a")
