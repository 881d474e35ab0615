"""Reading `.metadata`: what torch writes is understood, and nothing that a made-up file asks for is ever run."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from video_dit_config import distributed
from video_dit_config.distributed import METADATA_NAME, read

from tests.examples_families.conftest import VIDEO, save_distributed, save_state
from tests.launcher import python
from tttcfg import InputError
from tttcfg.safetensors.header import Header


def header_of(folder: Path) -> Header:
    return read(str(folder / METADATA_NAME))


class Runs:
    """What a hostile file holds: something that runs when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(folder: Path, value: Any, protocol: int = 4) -> Path:
    (folder / ".metadata").write_bytes(pickle.dumps(value, protocol))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_distributed(tmp_path_factory.mktemp("small") / "step-1", {"dit.a": [2, 3], "dit.b": [4]})


def test_it_gives_what_torch_itself_gives(saved: Path) -> None:
    # It takes 50 MB, which only the process that runs this one needs.
    from torch.distributed.checkpoint import FileSystemReader

    header = header_of(saved)
    theirs = FileSystemReader(saved).read_metadata().state_dict_metadata
    sizes = {name: tuple(one.size) for name, one in theirs.items() if hasattr(one, "size")}
    assert {name: header.shape(name) for name in header.names} == {
        name: size for name, size in sizes.items() if name.startswith("model.")
    }
    assert {header.dtype(name) for name in header.names} == {"BF16"}
    assert header.truncated is None


def test_a_model_alone_has_no_prefix(tmp_path: Path) -> None:
    """The pretrained weights that training starts from."""
    save_state(tmp_path, {"dit.a": torch.zeros(2, 3)})
    assert header_of(tmp_path).entries == {"dit.a": ("F32", (2, 3))}


def test_every_save_has_another_digest(tmp_path: Path) -> None:
    shapes = {"dit.a": [2, 3]}
    one, other = (header_of(save_distributed(tmp_path / name, shapes)) for name in ("one", "other"))
    assert one.save != other.save
    assert one.digest == other.digest


def test_torch_is_not_needed(small: Path) -> None:
    code = f"import sys; sys.modules['torch'] = None; sys.path.insert(0, {str(VIDEO)!r})\n"
    code += f"from video_dit_config.distributed import read\nprint(len(read({str(small / METADATA_NAME)!r})))"
    assert python("-c", code).out == "2\n"


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    for call in (
        Runs(os.system, f"touch {canary}"),
        Runs(eval, f"open({str(canary)!r}, 'w')"),
        Runs(Path.touch, canary),
    ):
        with pytest.raises(InputError, match=r"asks for|never writes there"):
            header_of(hostile(tmp_path, call, protocol))
    assert not canary.exists()


def test_what_is_no_list_of_tensors_is_refused(tmp_path: Path) -> None:
    from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata

    theirs = [Metadata({}, None, {"x": 1}), Metadata({"a": 1}), Metadata({1: BytesStorageMetadata()})]
    for value in ({}, [], "text", torch.Size([1]), {"state_dict_metadata": {}}, *theirs):
        with pytest.raises(InputError, match=r"is it of torch.distributed.checkpoint\?"):
            header_of(hostile(tmp_path, value))


def test_an_index_that_would_cost_gigabytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(b"\x80\x04]r\xff\xff\xff\x7f.")
    with pytest.raises(InputError, match="holds LONG_BINPUT at byte 3"):
        header_of(tmp_path)


@pytest.mark.parametrize(
    "nested",
    [b"\x85" * 100_000, b"N\x86" * 100_000, b"(t" + b"\x94h\x00\x85" * 3 + b"\x85" * 100_000],
    ids=["one", "two", "kept"],
)
def test_a_key_that_is_nested_without_end_is_refused(tmp_path: Path, nested: bytes) -> None:
    """Its hash would end the process."""
    (tmp_path / ".metadata").write_bytes(b"\x80\x04})" + nested + b"Ns.")
    with pytest.raises(InputError, match="nested deeper"):
        header_of(tmp_path)


@pytest.mark.parametrize("levels", [25, 40, 60])
def test_a_key_that_is_endless_when_expanded_is_refused(tmp_path: Path, levels: int) -> None:
    """A tuple of one twice, that of another one twice, and so on: some hundred bytes, and years to hash."""
    pairs = b"".join(b"h%ch%c\x86\x94" % (level, level) for level in range(levels))
    key = b"h%c" % levels
    for setting in (b"}" + key + b"Ns.", b"}(" + key + b"Nu."):
        (tmp_path / ".metadata").write_bytes(b"\x80\x04)\x94" + pairs + setting)
        with pytest.raises(InputError, match=r"has keys of more than [\d,]+ values at byte"):
            header_of(tmp_path)


def test_a_shape_made_of_a_list_is_refused(tmp_path: Path) -> None:
    """A list can grow after it was looked at."""
    size = b"\x8c\x05torch\x8c\x04Size\x93"
    (tmp_path / ".metadata").write_bytes(b"\x80\x04" + size + b"]\x94K\x01a\x85R.")
    with pytest.raises(InputError, match="has a shape that is none"):
        header_of(tmp_path)


def test_a_file_beyond_the_cap_is_not_read(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "METADATA_CAP", 100)
    with pytest.raises(InputError, match="may have 100"):
        header_of(small)


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.metadata: there is no"):
        header_of(tmp_path)


@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    data: st.DataObject, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray((small / ".metadata").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / ".metadata").write_bytes(damaged)
    with suppress(InputError):
        header = header_of(folder)
        assert all(isinstance(name, str) and isinstance(header.shape(name), tuple) for name in header.names)
