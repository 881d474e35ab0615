"""Headers of safetensors files: what is read from them, and every rule of the format by name."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.safetensors.files import compact, framed, laid_out, many, weights_file
from tttcfg.errors import InputError
from tttcfg.safetensors import header as header_module
from tttcfg.safetensors import violations
from tttcfg.safetensors.header import DTYPE_BITS, Header, parse_header, read_header
from tttcfg.safetensors.violations import read_entries

F32 = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
TENSORS = {"b": ("F32", (2, 3)), "a": ("BF16", (4,)), "scalar": ("I64", ()), "empty": ("U8", (0, 5))}


def parsed(text: str | bytes, room: int = 4) -> Header:
    data = text if isinstance(text, bytes) else text.encode()
    return parse_header(data, "x.safetensors", 8 + len(data) + room)


def refused(text: str | bytes, room: int = 4) -> InputError:
    with pytest.raises(InputError) as caught:
        parsed(text, room)
    return caught.value


def entry(dtype: str = '"F32"', shape: str = "[1]", offsets: str = "[0,4]") -> str:
    return f'{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}'


def test_a_header_gives_names_shapes_dtypes_and_metadata(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "x.safetensors", TENSORS, {"format": "pt"})
    header = read_header(path)
    assert (list(header.names), header.metadata) == (list(TENSORS), {"format": "pt"})
    assert {name: (header.dtype(name), header.shape(name)) for name in header.names} == TENSORS
    assert "a" in header
    assert "c" not in header
    assert (len(header), header.name, header.truncated) == (4, str(path), None)
    assert header.size == path.stat().st_size == header.data_start + 24 + 8 + 8


def test_a_header_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed(entry()).size = 1  # type: ignore[misc]


@pytest.mark.parametrize("metadata", [None, {}, {"note": 'a "quoted" text: \\u0041, {}, \n'}, {"__metadata__": "é"}])
@pytest.mark.parametrize("layout", ["compact", "spaced", "sorted", "reversed", "escaped"])
def test_every_layout_reads_the_same(layout: str, metadata: dict[str, str] | None) -> None:
    values = laid_out({**TENSORS, "é": ("F16", (2,))}, metadata)
    texts = {
        "compact": compact(values),
        "spaced": json.dumps(values, indent=1, ensure_ascii=False).encode() + b" \n",
        "sorted": compact(dict(sorted(values.items()))),
        "reversed": compact({name: values[name] for name in reversed(values)}),
        "escaped": json.dumps(values).encode(),
    }
    header = parsed(texts[layout], 44)
    assert header.metadata == (metadata or {})
    assert header.digest == parsed(texts["compact"], 44).digest
    assert (header.shape("é"), header.dtype("b"), header.truncated) == ((2,), "F32", None)


def test_the_fast_reading_gives_what_the_slow_one_gives() -> None:
    """Spaces at the end and escapes in the metadata leave it fast."""
    for metadata in (None, {"format": "pt", "note": '"\\'}):
        values = laid_out(many(60), metadata)
        for data in (compact(values), compact(values) + b"   "):
            fast = header_module._read_plain(data)  # noqa: SLF001
            assert fast is not None
            assert fast == read_entries(data, "x", 8 + len(data) + fast[2])


def test_the_fast_reading_takes_what_the_library_wrote() -> None:
    """As safetensors 0.8 wrote it: the widest dtype first."""
    data = (
        b'{"__metadata__":{"format":"pt"},"c":{"dtype":"I64","shape":[],"data_offsets":[0,8]},'
        b'"a":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},'
        b'"b":{"dtype":"F16","shape":[6],"data_offsets":[32,44]}}   '
    )
    tensors = {"c": ("I64", ()), "a": ("F32", (2, 3)), "b": ("F16", (6,))}
    assert header_module._read_plain(data) == (tensors, {"format": "pt"}, 44)  # noqa: SLF001


def test_the_digest_is_that_of_names_dtypes_and_shapes_alone() -> None:
    digest = parsed(compact(laid_out(TENSORS))).digest
    assert digest.startswith("sha256:")
    assert digest == parsed(compact(laid_out(dict(sorted(TENSORS.items())), {"x": "y"}))).digest
    for other in ({"b": ("F32", (3, 2))}, {"b": ("I32", (2, 3))}, {"c": ("F32", (2, 3))}):
        assert digest != parsed(compact(laid_out({**TENSORS, **other}))).digest


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_dtype_of_the_format_is_known_with_its_size(dtype: str) -> None:
    bits = DTYPE_BITS[dtype]
    assert parsed(entry(f'"{dtype}"', "[8]", f"[0,{bits}]"), bits).shape("a") == (8,)
    assert f"takes {bits:,} bytes" in str(refused(entry(f'"{dtype}"', "[8]", "[0,1000]"), 1000))


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty header": ("", "the header must begin with '{' and begins nowhere: it is empty"),
    "list": ("[]", "the header must begin with '{' and begins with '['"),
    "spaces first": (f' {{"a":{F32}}}', "must begin with '{' and begins with ' '"),
    "byte-order mark": (b"\xef\xbb\xbf{}", "must begin with '{'"),
    "no end": ('{"a":', "the header is not valid JSON at line 1"),
    "comma": (f'{{"a":{F32},}}', "the header is not valid JSON at line 1"),
    "trailing text": (f'{{"a":{F32}}}x', "the header is not valid JSON at line 1"),
    "NUL padding": (f'{{"a":{F32}}}\0', "the header is not valid JSON at line 1"),
    "not UTF-8": (b'{"\xff":' + F32.encode() + b"}", "the header is not valid JSON at line 1"),
    "lone surrogate": (f'{{"\\ud800":{F32}}}', "the header is not valid JSON at line 1"),
    "control character": (f'{{"a\x1b":{F32}}}', "the header is not valid JSON at line 1"),
    "NaN": (entry(shape="[NaN]"), "the header is not valid JSON at line 1"),
    "deep": ('{"a":' + "[" * 1000 + "]" * 1000 + "}", "is nested deeper than the three levels"),
    "name twice": (f'{{"a":{F32},"a":{F32}}}', "duplicate name 'a'"),
    "name twice, once escaped": (f'{{"a":{F32},"\\u0061":{F32}}}', "duplicate name 'a'"),
    "field twice": ('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "duplicate name 'dtype'"),
    "metadata twice": (f'{{"__metadata__":{{}},"__metadata__":{{}},"a":{F32}}}', "duplicate name '__metadata__'"),
    "note twice": (f'{{"__metadata__":{{"k":"1","k":"1"}},"a":{F32}}}', "duplicate name 'k' in '__metadata__'"),
    "null metadata": (f'{{"__metadata__":null,"a":{F32}}}', "__metadata__ must map text to text and is null"),
    "number in metadata": (f'{{"__metadata__":{{"k":1}},"a":{F32}}}', "__metadata__ must map text to text; 'k' is 1"),
    "entry is a list": ('{"a":["F32",[1],[0,4]]}', "tensor 'a' must be described by an object and is a list"),
    "no dtype": ('{"a":{"shape":[1],"data_offsets":[0,4]}}', "tensor 'a' lacks its dtype"),
    "no shape": ('{"a":{"dtype":"F32","data_offsets":[0,4]}}', "tensor 'a' lacks its shape"),
    "no offsets": ('{"a":{"dtype":"F32","shape":[1]}}', "tensor 'a' lacks its data_offsets"),
    "another field": (entry(offsets='[0,4],"x":1'), "tensor 'a' has 'x', which is not a field of the format"),
    "unknown dtype": (entry('"F23"'), "tensor 'a' has the dtype 'F23', which the format does not know"),
    "dtype is a number": (entry("1"), "tensor 'a' has the dtype 1, which the format does not know"),
    "negative dimension": (entry(shape="[-1]"), "tensor 'a' has the shape [-1]; it must be a list of whole numbers"),
    "minus zero": (entry(shape="[-0]", offsets="[0,0]"), "tensor 'a' has the shape [-0.0]; it must be"),
    "truth as dimension": (entry(shape="[true]"), "tensor 'a' has the shape [True]; it must be"),
    "fraction": (entry(shape="[1.0]"), "tensor 'a' has the shape [1.0]; it must be"),
    "huge dimension": (entry(shape="[0,18446744073709551616]", offsets="[0,0]"), "whole numbers from 0 to 2^64 - 1"),
    "shape is no list": (entry(shape='"1"'), "tensor 'a' has the shape '1'; it must be a list"),
    "overflow": (entry(shape="[4611686018427387904]"), "shape [4611686018427387904], which is more than 2^64"),
    "overflow before a zero": (entry(shape="[9223372036854775808,2,0]", offsets="[0,0]"), "is more than 2^64 bits"),
    "three offsets": (entry(offsets="[0,4,4]"), "data_offsets [0, 4, 4]; they must be two whole numbers"),
    "offsets reversed": (entry(offsets="[4,0]"), "data_offsets [4, 0]; they must be two whole numbers, the first"),
    "offset is a text": (entry(offsets='["0",4]'), "tensor 'a' has the data_offsets a list of 2 items; they must be"),
    "span": (entry(shape="[2]"), "tensor 'a' is F32 of shape [2], which takes 8 bytes; its data_offsets [0, 4] span 4"),
    "half a byte": (entry('"F4"', "[9]"), "tensor 'a' is F4 of shape [9], which takes 36 bits and so no whole number"),
    "hole at the start": (entry(offsets="[4,8]"), "tensor 'a' begins at byte 4; the 4 before it belong to no tensor"),
    "overlap": (f'{{"a":{F32},"b":{F32}}}', "tensor 'b' begins at byte 0, before the end of tensor 'a' at 4"),
    "empty tensor inside another": (
        f'{{"a":{F32},"b":{{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}}}',
        "tensor 'b' begins at byte 2, before the end of tensor 'a' at 4",
    ),
    "bytes behind": (entry('"U8"', "[3]", "[0,3]"), "has 1 bytes after its last tensor that belong to none"),
    "no tensor, but bytes": ("{}", "has 4 bytes after its last tensor that belong to none"),
}  # fmt: skip
CODES = {"name twice": "duplicate_key", "field twice": "duplicate_key", "deep": "too_deep"}


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_rule_is_reported(name: str) -> None:
    text, message = BROKEN[name]
    error = refused(text)
    assert message in str(error)
    assert "x.safetensors: " in str(error)
    assert CODES.get(name, error.problems[0].code) == error.problems[0].code


def test_a_hole_between_tensors_is_reported() -> None:
    second = '{"dtype":"F32","shape":[1],"data_offsets":[8,12]}'
    assert "tensor 'b' begins at byte 8; the 4 before it belong" in str(refused(f'{{"a":{F32},"b":{second}}}', 12))


def test_all_violations_come_at_once() -> None:
    text = (
        '{"__metadata__":{"k":1},"a":{"dtype":"F3","shape":[-1],"data_offsets":[0,4]},"b":[],'
        '"c":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"c":{"dtype":"F32","shape":[2],"data_offsets":[4,8]}}'
    )
    problems = refused(text, 8).problems
    assert [problem.code for problem in problems] == ["duplicate_key"] + ["safetensors"] * 5
    for part in ("duplicate name 'c'", "'k' is 1", "dtype 'F3'", "shape [-1]", "tensor 'b' must", "takes 8 bytes"):
        assert any(part in problem.message for problem in problems), part


def test_violations_beyond_a_thousand_are_not_kept() -> None:
    error = refused(compact({str(number): None for number in range(5000)}))
    assert len(error.problems) == 1001
    assert error.problems[-1].message == "has further violations; the first 1,000 are listed"


def test_names_are_quoted_and_never_raw() -> None:
    error = refused('{"\\u001b[31m\\n":[]}')
    assert r"tensor '\x1b[31m\n' must" in str(error)
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' + b"[]," * 700_000 + b"1}",
        b'{"a":[' + b"1," * 2_100_000 + b"1]}",
    ],
    ids=["containers", "values"],
)
def test_a_header_of_too_many_values_is_not_parsed(text: bytes) -> None:
    error = refused(text)
    assert error.problems[0].code == "too_large"
    assert "holds more than 200,000 tensors, or 2,000,000 values" in str(error)


def test_more_tensors_than_the_cap_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (header_module, violations):
        monkeypatch.setattr(module, "MAX_TENSORS", 20)
    error = refused(compact({str(number): {} for number in range(21)}))
    assert error.problems[0].code == "too_large"
    assert "names 21 tensors; at most 20 are read" in str(error)


def cut(path: Path, data: bytes) -> InputError:
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_header(path)
    return caught.value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; copy or download it again"),
        (b"123", "has 3 bytes, fewer than the 8 that every safetensors file begins with; copy or download"),
        (framed(b"{}")[:9], "ends inside its header, which has 2 bytes, after 9; copy or download it again"),
    ],
)
def test_a_file_that_ends_before_its_header_does_is_truncated(data: bytes, message: str, tmp_path: Path) -> None:
    error = cut(tmp_path / "x", data)
    assert error.problems[0].code == "truncated"
    assert message in str(error)


def test_a_header_beyond_the_cap_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = cut(tmp_path / "x", b"versions of files\n")
    assert error.problems[0].code == "too_large"
    assert "declares a header of 8,317,708,060,499,010,934 bytes; at most 16,777,216 are read" in str(error)
    monkeypatch.setattr(header_module, "HEADER_CAP", 1_000)
    assert "too_large" in {problem.code for problem in refused(b"{" + b" " * 1_000).problems}


def test_a_git_lfs_pointer_is_called_one(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 15\n"
    for name in ("consolidated.safetensors", "model.safetensors.index.json", "training_config.json", "config.yaml"):
        (tmp_path / name).write_bytes(pointer)
        with pytest.raises(InputError, match=f"{name}: is a git-lfs pointer and not the file itself; .* git lfs pull"):
            tttcfg.resolve(**{"config" if name.endswith("yaml") else "checkpoint": tmp_path / name})


def test_a_file_that_ends_before_its_data_does_can_be_read(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "x.safetensors", TENSORS)
    whole = read_header(path)
    os.truncate(path, whole.size - 1)
    header = read_header(path)
    assert header.truncated is not None
    assert header.truncated.code == "truncated"
    message = f"has {whole.size - 1:,} bytes, and its header promises {whole.size:,}; copy or download it again"
    assert (header.truncated.message, header.size, header.digest) == (message, whole.size, whole.digest)


PLACES: dict[str, tuple[Any, str, str]] = {
    "nothing": (lambda _: None, "not_found", "no such file"),
    "folder": (os.mkdir, "unreadable", "is a folder"),
    "FIFO": (os.mkfifo, "unreadable", "not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "unreadable", "not a regular file"),
    "link to itself": (lambda path: path.symlink_to(path), "unreadable", "Too many levels"),
}


@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_readable_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    make, code, message = PLACES[name]
    make(tmp_path / "x")
    with pytest.raises(InputError, match=message) as caught:
        read_header(tmp_path / "x")
    assert caught.value.problems[0].code == code


def test_reading_a_header_leaves_no_file_open(tmp_path: Path) -> None:
    weights_file(tmp_path / "good", TENSORS)
    before = len(os.listdir("/proc/self/fd"))
    read_header(tmp_path / "good")
    for data in (b"", b"1" * 100, framed(b"[]")):
        cut(tmp_path / "bad", data)
    with pytest.raises(InputError):
        read_header(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_of_15_gb_costs_what_a_small_one_does(tmp_path: Path) -> None:
    """The tensors' data is neither read nor mapped."""
    tensors = {**many(1500), "large": ("F32", [4_000_000_000])}
    path = weights_file(tmp_path / "x.safetensors", tensors)
    assert path.stat().st_size > 15_000_000_000
    assert len(read_header(path)) == 1501
