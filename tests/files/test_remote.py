"""Weights behind URLs: two range reads per file, the same verdicts, and nothing secret in a message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

import tttcfg
from tests.builders import ROOT
from tests.evidence.dialects.tensors import Size, consolidated
from tests.launcher import python
from tests.safetensors.files import compact, framed, laid_out, room_for, sharded, weights_file
from tttcfg.documents.checkpoint import find_checkpoint
from tttcfg.documents.document import DOCUMENT_CAP
from tttcfg.errors import InputError
from tttcfg.safetensors.header import HEADER_CAP
from tttcfg.safetensors.shards import INDEX_NAME, read_weights

TENSORS = {"a": ("F32", (2, 3)), "b": ("BF16", (4,))}


class Counted(AbstractFileSystem):
    """A file system in memory that counts what is read of it."""

    protocol = "counted"
    cachable = False
    files: ClassVar[dict[str, bytes]] = {}
    reads: ClassVar[list[tuple[str, int, int]]] = []

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name == "refusing":
            raise RuntimeError(f"no access to counted://{name} for you")
        if name.startswith("forbidden") and ".safetensors" not in name:
            raise PermissionError(path)
        if name.startswith("expired"):
            raise RuntimeError("signature hunter2 has expired")
        if name not in self.files:
            raise FileNotFoundError(path)
        size = None if "unsized" in name else len(self.files[name])
        return {"name": name, "size": size, "type": "directory" if name.endswith("folder") else "file"}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        options.pop("autocommit", None)
        return CountedFile(self, path, mode, **options)


class CountedFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        name = self.fs._strip_protocol(self.path)  # noqa: SLF001
        Counted.reads.append((name, start, end))
        return Counted.files[name][start:end]


@pytest.fixture
def files() -> Iterator[dict[str, bytes]]:
    fsspec.register_implementation("counted", Counted, clobber=True)
    Counted.files.clear()
    Counted.reads.clear()
    yield Counted.files
    Counted.files.clear()


def refused(url: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_weights(url)
    return caught.value


def test_a_file_is_read_by_two_ranges(files: dict[str, bytes]) -> None:
    header = compact(laid_out(TENSORS, {"format": "pt"}))
    files["x.safetensors"] = framed(header, 24 + 8)
    read = read_weights("counted://x.safetensors")
    assert (read.name, read.metadata, read.shape("a"), read.truncated) == (
        "counted://x.safetensors",
        {"format": "pt"},
        (2, 3),
        None,
    )
    assert Counted.reads == [("x.safetensors", 0, 8), ("x.safetensors", 0, 8 + len(header))]


def test_several_files_are_read_by_their_index(files: dict[str, bytes], tmp_path: Path) -> None:
    index = sharded(tmp_path, {"1.safetensors": {"a": TENSORS["a"]}, "2.safetensors": {"b": TENSORS["b"]}})
    files.update({f"model/{path.name}": path.read_bytes() for path in tmp_path.iterdir()})
    read = read_weights(f"counted://model/{INDEX_NAME}")
    assert read.digest == read_weights(index).digest
    assert len(Counted.reads) == 5


def test_a_file_that_is_cut_short_is_reported(files: dict[str, bytes]) -> None:
    data = framed(compact(laid_out(TENSORS)), 24 + 8)
    files["x.safetensors"] = data[:-1]
    assert read_weights("counted://x.safetensors").truncated is not None
    for length, message in ((0, "is empty"), (7, "has 7 bytes, fewer than the 8"), (12, "ends inside its header")):
        files["x.safetensors"] = data[:length]
        error = refused("counted://x.safetensors")
        assert (error.problems[0].code, message in str(error)) == ("truncated", True)


def test_a_broken_header_is_refused_as_a_local_one_is(files: dict[str, bytes]) -> None:
    files["x.safetensors"] = framed(b"[]")
    assert "counted://x.safetensors: the header" in str(refused("counted://x.safetensors"))


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("counted://nothing", "not_found", "no such file"),
        ("counted://refusing", "unreadable", "cannot be read: no access to counted://refusing for you"),
        ("counted://unsized", "unreadable", "its server does not report the file"),
        ("counted://folder", "unreadable", "is a directory; give a file"),
        ("file://host/x", "unreadable", "file:// takes only an absolute path"),
        ("local:///x?sig=1", "unreadable", "local:///x: local:// takes only an absolute path"),
        ("counted://forbidden", "unreadable", "cannot be read: access is refused"),
        ("counted://expired?sig=hunter2", "unreadable", "cannot be read: RuntimeError"),
        ("unknown://x", "unreadable", "cannot be read: Protocol not known: unknown"),
        ("reference://x.json", "unreadable", "reference:// runs templates that it reads"),
        ("Reference://x.json", "unreadable", "reference:// runs templates that it reads"),
        ("simplecache::counted://x", "unreadable", "chains protocols, which can run code"),
        ("counted://x::reference://y", "unreadable", "chains protocols, which can run code"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    url: str, code: str, message: str, files: dict[str, bytes]
) -> None:
    files.update({"unsized": b"", "folder": b""})
    error = refused(url)
    assert error.problems[0].code == code
    assert message in str(error)
    assert not Counted.reads


@pytest.mark.parametrize("length", [3, 12])
def test_bytes_that_do_not_come_are_no_verdict_on_the_file(
    length: int, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    files["x.safetensors"] = framed(compact(laid_out(TENSORS)), 24 + 8)
    monkeypatch.setattr(CountedFile, "_fetch_range", lambda *_: files["x.safetensors"][:length])
    error = refused("counted://x.safetensors")
    assert (error.problems[0].code, "were requested" in str(error)) == ("unreadable", True)


def test_a_shard_that_is_missing_is_named(files: dict[str, bytes], tmp_path: Path) -> None:
    sharded(tmp_path, {"1.safetensors": {"a": TENSORS["a"]}, "2.safetensors": {"b": TENSORS["b"]}})
    files.update({f"model/{path.name}": path.read_bytes() for path in tmp_path.iterdir()})
    del files["model/2.safetensors"]
    assert str(refused(f"counted://model/{INDEX_NAME}")) == "counted://model/2.safetensors: there is no such file"


def test_an_index_beyond_the_cap_is_not_fetched(files: dict[str, bytes]) -> None:
    files[INDEX_NAME] = bytes(HEADER_CAP + 1)
    assert refused(f"counted://{INDEX_NAME}").problems[0].code == "too_large"
    assert not Counted.reads


def test_a_document_is_read_from_a_url_by_the_rules_of_files(files: dict[str, bytes]) -> None:
    files["any.json"] = b'{"seed": 5, "seed": 6}'
    with pytest.raises(InputError, match=r"counted://any\.json:1:13: seed: is a duplicate"):
        tttcfg.load_document("counted://any.json")
    files["any.json"] = b'{"seed": 5}'
    assert tttcfg.resolve(config="counted://any.json").training.seed == 5
    files["any.json"] = b" " * (DOCUMENT_CAP + 1)
    with pytest.raises(InputError, match="bytes; a configuration"):
        tttcfg.load_document("counted://any.json")


def test_a_neighbour_that_is_refused_is_not_called_missing(files: dict[str, bytes]) -> None:
    """A signature that holds for the weights alone is no reason not to read them, and is reported."""
    shapes = {name: ("F32", shape) for name, shape in consolidated(Size(), [1, 2], [64]).items()}
    files["forbidden/x.safetensors?sig=1"] = framed(compact(laid_out(shapes)), room_for(shapes))
    findings = tttcfg.resolve("counted://forbidden/x.safetensors?sig=1").findings
    unreadable = [one.message for one in findings if one.code == "unreadable"]
    assert [message.partition(":")[0] for message in unreadable] == ["cannot be read", "cannot be read"]
    unconfirmed = next(one.message for one in findings if one.code == "unconfirmed")
    assert unconfirmed.endswith("training_config.json in counted://forbidden could not be read")


def test_a_folder_without_read_access_is_not_called_empty(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def info(*_: Any, **__: Any) -> Any:
        raise PermissionError

    assert not files
    monkeypatch.setattr(Counted, "info", info)
    with pytest.raises(InputError, match="access is refused"):
        find_checkpoint("counted://run/")


def test_a_url_that_a_configuration_holds_is_not_opened(files: dict[str, bytes]) -> None:
    files["x.safetensors"] = framed(compact(laid_out(TENSORS)), 24 + 8)
    url = "counted://x.safetensors"
    tttcfg.resolve(config={"moshi_paths": {"moshi_path": url, "config_path": url}, "run_dir": url})
    assert not Counted.reads


def test_no_secret_of_a_url_is_shown(files: dict[str, bytes]) -> None:
    assert not files
    message = str(refused("counted://user:hunter2@host/x.safetensors?token=hunter2"))
    assert message.startswith("counted://host/x.safetensors: ")
    assert "hunter2" not in message


def test_the_file_protocol_follows_the_rules_of_paths(tmp_path: Path) -> None:
    """Links included, and nothing blocks."""
    path = weights_file(tmp_path / "x.safetensors", TENSORS)
    assert read_weights(f"file://{path}").name == str(path)
    index = sharded(tmp_path / "model", {"1.safetensors": TENSORS})
    (tmp_path / "model" / "1.safetensors").unlink()
    (tmp_path / "model" / "1.safetensors").symlink_to(path)
    assert read_weights(f"file://{index}").names == read_weights(index).names


def test_without_fsspec_the_error_for_a_url_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from tttcfg.safetensors.shards import read_weights\n"
        "try:\n    read_weights('https://user:hunter2@host/x.safetensors')\n"
        "except ValueError as error:\n    print(error)"
    )
    out = python("-c", code, cwd=ROOT).out
    assert 'needs fsspec; run: pip install "tttcfg[remote]"' in out
    assert "hunter2" not in out


def test_reading_paths_does_not_import_fsspec(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "x.safetensors", TENSORS)
    code = f"import sys; from tttcfg.safetensors.shards import read_weights; read_weights({str(path)!r}); "
    python("-c", code + "sys.exit('fsspec' in sys.modules)", cwd=ROOT)
