"""Checkpoints of several files: every tensor exactly where the index puts it, and nothing outside the folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.safetensors.files import framed, index_file, many, sharded, weights_file
from tttcfg.errors import InputError
from tttcfg.safetensors import shards
from tttcfg.safetensors.header import HEADER_CAP, read_header
from tttcfg.safetensors.shards import INDEX_NAME, read_weights

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
SHARDS = {ONE: {"a": ("F32", (2, 3)), "b": ("BF16", (4,))}, TWO: {"c": ("I64", ())}}


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_weights(path)
    return caught.value


def test_several_files_read_as_one(tmp_path: Path) -> None:
    index = sharded(tmp_path, SHARDS)
    header = read_weights(index)
    assert header.name == str(index)
    assert {name: (header.dtype(name), header.shape(name)) for name in header.names} == {**SHARDS[ONE], **SHARDS[TWO]}
    assert header.size == sum((tmp_path / name).stat().st_size for name in SHARDS)
    assert (header.truncated, header.metadata) == (None, {})


def test_a_single_file_reads_as_it_does_alone(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "x.safetensors", SHARDS[ONE], {"format": "pt"})
    assert read_weights(path).entries == read_header(path).entries
    assert read_weights(str(path)).metadata == {"format": "pt"}


def test_the_digest_does_not_depend_on_the_files(tmp_path: Path) -> None:
    tensors = many(60)
    whole = weights_file(tmp_path / "whole.safetensors", tensors)
    halves = {
        name: {key: tensors[key] for number, key in enumerate(tensors) if number % 2 == half}
        for half, name in enumerate((ONE, TWO))
    }
    assert read_weights(sharded(tmp_path, halves)).digest == read_weights(whole).digest


def test_metadata_is_what_all_files_have_in_common(tmp_path: Path) -> None:
    index = sharded(tmp_path, SHARDS)
    for name in SHARDS:
        weights_file(tmp_path / name, SHARDS[name], {"format": "pt"})
    assert read_weights(index).metadata == {"format": "pt"}
    weights_file(tmp_path / TWO, SHARDS[TWO], {"format": "pt", "made_by": "other"})
    assert read_weights(index).metadata == {"format": "pt"}
    weights_file(tmp_path / TWO, SHARDS[TWO], {"format": "np"})
    assert read_weights(index).metadata == {}


def test_every_disagreement_is_reported_at_once(tmp_path: Path) -> None:
    sharded(tmp_path, SHARDS)
    weights_file(tmp_path / TWO, {"a": ("F32", (1,)), "c": ("I64", ()), "d": ("U8", (1,))})
    index = index_file(tmp_path, {"a": ONE, "b": TWO, "c": TWO, "e": ONE})
    error = refused(index)
    assert {problem.code for problem in error.problems} == {"shards"}
    message = str(error)
    assert f"{tmp_path / TWO}: lacks tensor 'b', which the index puts there" in message
    assert f"{tmp_path / ONE}: lacks tensor 'e', which the index puts there" in message
    assert f"{tmp_path / ONE}: holds tensor 'b', which the index puts in '{TWO}'" in message
    assert f"{tmp_path / TWO}: holds tensor 'a', and so does {tmp_path / ONE}" in message
    assert f"{tmp_path / TWO}: holds tensor 'd', which the index does not list" in message
    assert len(error.problems) == 5


def test_a_missing_file_is_reported_together_with_a_broken_one(tmp_path: Path) -> None:
    index = sharded(tmp_path, SHARDS)
    os.unlink(tmp_path / ONE)
    (tmp_path / TWO).write_bytes(framed(b"[]"))
    codes = {(problem.code, str(problem.place)) for problem in refused(index).problems}
    assert codes == {("not_found", str(tmp_path / ONE)), ("safetensors", str(tmp_path / TWO))}


def test_truncation_of_any_file_is_reported(tmp_path: Path) -> None:
    index = sharded(tmp_path, SHARDS)
    for number, name in enumerate(SHARDS):
        os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 1)
        truncated = read_weights(index).truncated
        assert truncated is not None
        assert (truncated.code, str(truncated.place)) == ("truncated", str(tmp_path / ONE))
        assert ("1 more files of the checkpoint are as short" in truncated.message) == (number == 1)


@pytest.mark.parametrize(
    "file",
    ["../x", "/etc/passwd", "sub/x.safetensors", "..", ".", "", "sub\\x", "x\0", "C:x", "x?y", "a%2fb", "\x1b"],
)
def test_a_file_name_that_leads_elsewhere_is_refused(file: str, tmp_path: Path) -> None:
    weights_file(tmp_path / "x.safetensors", SHARDS[ONE])
    (tmp_path / "sub").mkdir()
    error = refused(index_file(tmp_path / "sub", {"a": file}))
    assert [problem.code for problem in error.problems] == ["shards"]
    assert "a file of a checkpoint is beside its index" in str(error)


def test_links_are_followed_as_they_were_made(tmp_path: Path) -> None:
    """A real index with linked shards: a hub's cache, or files that were moved to another disk."""
    index = sharded(tmp_path / "model", SHARDS)
    shutil.move(tmp_path / "model" / TWO, tmp_path / TWO)
    (tmp_path / "model" / TWO).symlink_to(tmp_path / TWO)
    assert len(read_weights(index)) == 3


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    index = sharded(tmp_path, SHARDS)
    shutil.move(tmp_path / TWO, tmp_path / "real.safetensors")
    (tmp_path / TWO).symlink_to("real.safetensors")
    assert len(read_weights(index)) == 3


def test_a_cache_of_links_into_one_folder_can_be_read(tmp_path: Path) -> None:
    """As Hugging Face lays out what it downloads: every file of a snapshot links into blobs."""
    sharded(tmp_path / "blobs", SHARDS)
    snapshot = tmp_path / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in (*SHARDS, INDEX_NAME):
        (snapshot / name).symlink_to(Path("..", "..", "blobs", name))
    assert len(read_weights(snapshot / INDEX_NAME)) == 3


def test_an_index_in_the_working_folder_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sharded(tmp_path, SHARDS)
    monkeypatch.chdir(tmp_path)
    assert len(read_weights(INDEX_NAME)) == 3


INDICES: dict[str, tuple[str, str, str]] = {
    "list": ("[]", "shards", "the index must begin with '{' and begins with '['"),
    "no JSON": ("{", "shards", "not valid JSON"),
    "no map": ("{}", "shards", "weight_map is missing; it must map each tensor to its file"),
    "map is a list": ('{"weight_map":[]}', "shards", "weight_map is []; it must map"),
    "empty map": ('{"weight_map":{}}', "shards", "weight_map is a mapping of 0 keys; it must map"),
    "file is a number": ('{"weight_map":{"a":1}}', "shards", "puts tensor 'a' in 1, which is not a file name"),
    "tensor twice": ('{"weight_map":{"a":"x","a":"y"}}', "duplicate_key", "duplicate name 'a' in 'weight_map'"),
    "deep": ('{"weight_map":' + "[" * 1000, "too_deep", "is nested deeper"),
}


@pytest.mark.parametrize("name", INDICES)
def test_every_broken_rule_of_an_index_is_reported(name: str, tmp_path: Path) -> None:
    text, code, message = INDICES[name]
    path = tmp_path / INDEX_NAME
    path.write_text(text)
    error = refused(path)
    assert error.problems[0].code == code
    assert f"{path}: " in str(error)
    assert message in str(error)


def test_an_index_beyond_the_cap_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / INDEX_NAME
    path.touch()
    os.truncate(path, HEADER_CAP + 1)
    assert "has 16,777,217 bytes; an index may have 16,777,216" in str(refused(path))


def test_more_tensors_than_the_cap_over_all_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAX_TENSORS", 20)
    sharded(tmp_path, {f"{shard}.safetensors": {f"{shard}.{n}": ("U8", (0,)) for n in range(7)} for shard in range(3)})
    index = index_file(tmp_path, {f"{shard}.0": f"{shard}.safetensors" for shard in range(3)})
    assert "names files of more than 20 tensors" in str(refused(index))


def test_headers_that_are_too_long_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "TOTAL_CAP", 100_000)
    files = {f"{shard}.safetensors": {f"{shard}": ("U8", (0,))} for shard in range(4)}
    index = sharded(tmp_path, files)
    for name, tensors in files.items():
        weights_file(tmp_path / name, tensors, {"k": "x" * 40_000})
    assert "headers of 100,000 bytes together" in str(refused(index))


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_under_two_names_is_refused(link: Callable[[Path, Path], None], tmp_path: Path) -> None:
    """It could not match the index, and reading it once for each name would have no end."""
    weights_file(tmp_path / ONE, {"0": ("U8", (0,))}, {"k": "x" * (1 << 20)})
    names = [ONE, *(f"{number}.safetensors" for number in range(1, 500))]
    for name in names[1:]:
        link(tmp_path / ONE, tmp_path / name)
    error = refused(index_file(tmp_path, {str(number): name for number, name in enumerate(names)}))
    assert len(error.problems) == 499
    assert f"{tmp_path / names[1]}: is the same file as '{ONE}'" in str(error)


def test_reading_ends_where_enough_is_wrong(tmp_path: Path) -> None:
    index = index_file(tmp_path, {str(number): f"{number}.safetensors" for number in range(5000)})
    assert len(refused(index).problems) == 1000


@pytest.mark.parametrize("before", [" ", "\n\t\r\n "])
def test_an_index_may_begin_with_spaces(before: str, tmp_path: Path) -> None:
    index = sharded(tmp_path, SHARDS)
    index.write_text(before + index.read_text())
    assert len(read_weights(index)) == 3


def test_the_tensors_of_each_file_are_known(tmp_path: Path) -> None:
    parts = read_weights(sharded(tmp_path, SHARDS)).parts
    assert {part.name: list(part.names) for part in parts} == {
        str(tmp_path / name): list(tensors) for name, tensors in SHARDS.items()
    }


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_an_index_that_is_no_file_is_refused_at_once(make: object, tmp_path: Path) -> None:
    path = tmp_path / INDEX_NAME
    make(path)  # type: ignore[operator]
    assert refused(path).problems[0].code == "unreadable"
