"""Bad input through the real command line: a message with its place, exit code 2, little CPU and memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import HEAD, checkpoint, document_file, old_document
from tests.cli.process import run
from tests.limits import refused

# name: file ending, content, what the message must hold (after the file's name)
SMALL: dict[str, tuple[str, bytes, str]] = {
    "unknown key": ("yaml", b"seed: 1\nbatch_siz: 2\n", ":2:1: batch_siz: no setting"),
    "wrong type": ("yaml", b"seed: 1\nbatch_size: x\n", ":2:1: batch_size: 'x' is refused"),
    "out of range": ("yaml", b"ttt:\n  mini_batch_size: 0\n", ":2:3: ttt.mini_batch_size: 0 is refused"),
    "duplicate key": ("yaml", b"seed: 1\nseed: 2\n", ":2:1: seed: is a duplicate"),
    "tab": ("yaml", b"ttt:\n\tenable: true\n", ":2:1: a tab indents this line"),
    "byte-order mark": ("yaml", b"\xef\xbb\xbfseed: 1\n", ":1:1: starts with"),
    "UTF-16": ("yaml", "seed: 1\n".encode("utf-16"), ":1:1: is UTF-16"),
    "Latin-1": ("yaml", b"seed: 1\nrun_dir: caf\xe9\n", ":2:13: byte 0xe9"),
    "NaN": ("yaml", b"optim:\n  lr: .nan\n", ":2:7: optim.lr: .nan"),
    "infinity": ("yaml", b"optim: {lr: -.inf}\n", ":1:13: optim.lr: -.inf is not a value"),
    "too large a number": ("yaml", b"optim: {lr: 1e400}\n", ":1:13: optim.lr: '1e400' is too large"),
    "YAML 1.1": ("yaml", b"%YAML 1.1\n---\nseed: 1\n", ":2:1: only %YAML 1.2"),
    "empty": ("yaml", b"", ": holds no configuration"),
    "comments only": ("yaml", b"# nothing\n# at all\n", ": holds no configuration"),
    "lone surrogate": ("yaml", b'seed: 1\nrun_dir: "\\ud800"\n', ":2:10: run_dir: the text"),
    "JSON syntax": ("json", b'{"seed": 1,\n "x" 2}', ":2:6: a colon is missing here"),
    "JSON duplicate": ("json", b'{"seed": 1,\n "seed": 2}', ":2:2: seed: is a duplicate"),
    "JSON NaN": ("json", b'{"optim": {"lr": NaN}}', ":1:18: optim.lr: NaN"),
    "JSON surrogate": ("json", b'{"run_dir": "\\udc00"}', ":1:13: run_dir: the text"),
    "JSON empty": ("json", b" \n", ": holds no configuration"),
    "JSON encoding": ("json", b'{"run_dir": "\xff"}', ":1:14: byte 0xff"),
    "TOML syntax": ("toml", b"seed = 1\nx = \n", ":2:5: a value"),
    "TOML date": ("toml", b"run_dir = 'x'\nseed = 2020-01-01\n", ":2:1: seed: '2020-01-01'"),
    "TOML duplicate": ("toml", b"seed = 1\nseed = 2\n", ":2:"),
    "TOML infinity": ("toml", b"[optim]\nlr = inf\n", ":2:1: optim.lr: inf"),
    "TOML comments": ("toml", b"# nothing\n", ": holds no configuration"),
}
BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (n, n, *[n - 1] * 9) for n in range(98, 107)
)
MERGE_BOMB = b"a: &a {x: 1}\n" + b"".join(
    b"%c: &%c {<<: [*%c, *%c, *%c, *%c, *%c, *%c]}\n" % (n, n, *[n - 1] * 6) for n in range(98, 118)
)
HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "alias bomb": ("yaml", BOMB, "aliases, or 10,000 values"),
    "merge bomb": ("yaml", MERGE_BOMB, "aliases, or 10,000 values"),
    "500 [": ("yaml", b"a: " + b"[" * 500 + b"]" * 500, ":1:67: is nested"),
    "3000 {": ("yaml", b"a: " + b"{a: " * 3000 + b"}" * 3000, "nested deeper"),
    "3000 -": ("yaml", b"- " * 3000, ":1:129: is nested"),
    "60000 [": ("yaml", b"[" * 60_000, ":1:65: is nested"),
    "60000 -": ("yaml", b"-" * 60_000 + b" a: [", ""),
    "deep aliases": (
        "yaml",
        b"a0: &a0 [[1]]\n" + b"".join(b"a%d: &a%d [[*a%d]]\n" % (n, n, n - 1) for n in range(1, 90)),
        "nested deeper",
    ),
    "long keys, many problems": (
        "yaml",
        b"".join(b"{" + b"k" * 500 + b": " for _ in range(60)) + b"[" + b".nan," * 6000 + b"1]" + b"}" * 60,
        "and 5980 more",
    ),
    "many values": ("yaml", b"a: [" + b"1," * 30_000 + b"]", "holds more than 10,000 values"),
    "many duplicates": ("yaml", b"seed: 1\n" * 8000, "and 7979 more"),
    "JSON 60000 [": ("json", b"[" * 60_000, ":1:66: is nested"),
    "JSON 3000 {": ("json", b'{"a":' * 3000, "nested deeper"),
    "JSON long keys, many problems": (
        "json",
        b"".join(b'{"' + b"k" * 500 + b'": ' for _ in range(60)) + b"[" + b"NaN," * 6000 + b"1]" + b"}" * 60,
        "and 5980 more",
    ),
    "JSON many values": ("json", b'{"a": [' + b"1," * 30_000 + b"1]}", "holds more than 10,000 values"),
    "TOML 3000 [": ("toml", b"a = " + b"[" * 3000 + b"]" * 3000, ":1:69: is nested"),
    "TOML 60000 [": ("toml", b"a = " + b"[" * 60_000, "nested deeper"),
    "TOML dotted key": ("toml", b"a" + b".a" * 30_000 + b" = 1", "nested deeper"),
    "TOML quoted dotted key": ("toml", b'"#"' + b'."="' * 15_000 + b" = 1", "nested deeper"),
    "TOML wide header": ("toml", b"[ a" + b" " * 60_000 + b". b ]\n", "a: no setting"),
    "TOML many values": ("toml", b"a = [" + b"1," * 30_000 + b"1]", "holds more than 10,000 values"),
    "TOML long number": ("toml", b"seed = " + b"1" * 5000, "cannot be read"),
}


def config(folder: Path, ending: str, content: bytes) -> Path:
    path = folder / f"config.{ending}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", SMALL)
def test_small_mistakes_are_named_with_their_place(name: str, tmp_path: Path) -> None:
    ending, content, message = SMALL[name]
    path = config(tmp_path, ending, content)
    assert f"{path}{message}" in refused("resolve", "--config", path)
    assert os.listdir(tmp_path) == [path.name]


FAST = ("alias bomb", "merge bomb", "60000 [", "long keys, many problems", "JSON 60000 [", "TOML dotted key")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in HOSTILE]
)
def test_hostile_files_cost_next_to_nothing(name: str, tmp_path: Path) -> None:
    ending, content, message = HOSTILE[name]
    path = config(tmp_path, ending, content)
    assert message in refused("resolve", "--config", path)


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_thousands_of_unknown_keys_cost_next_to_nothing(ending: str, tmp_path: Path) -> None:
    keys = {f"bad_{number}": 1 for number in range(4000)}
    text = json.dumps(keys) if ending == "json" else "".join(f"{key}: 1\n" for key in keys)
    assert "and 3980 more" in refused("resolve", "--config", config(tmp_path, ending, text.encode()))


def test_all_problems_come_at_once_and_are_clipped_past_twenty(tmp_path: Path) -> None:
    few = config(tmp_path, "yaml", b"seed: x\nbatch_siz: 1\noptim:\n  lr: fast\n")
    errors = refused("resolve", "--config", few)
    assert {line.split(": ")[1] for line in errors.splitlines()} == {"seed", "batch_siz", "optim.lr"}
    many = config(tmp_path, "yaml", b"".join(b"no_%d: 1\n" % number for number in range(30)))
    lines = refused("resolve", "--config", many).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "FIFO": (os.mkfifo, "not a regular file; give a file"),
    "huge file": (sparse, "has 1,073,741,824 bytes"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "/dev/full": (lambda path: path.symlink_to("/dev/full"), "not a regular file"),
    "link to itself": (lambda path: path.symlink_to(path), "Too many levels"),
    "nothing": (lambda _: None, "no such file"),
}


@pytest.mark.parametrize(("name", "ending"), [*((name, "yaml") for name in PLACES), ("FIFO", "json"), ("FIFO", "toml")])
def test_what_is_no_readable_file_is_refused_at_once(name: str, ending: str, tmp_path: Path) -> None:
    make, message = PLACES[name]
    path = tmp_path / f"config.{ending}"
    make(path)
    assert message in refused("resolve", "--config", path)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = config(tmp_path, "yaml", b"seed: 1\n")
    path.chmod(0)
    assert "cannot be read: Permission denied" in refused("resolve", "--config", path)


DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "duplicate": (b'{"batch_size": 1, "batch_size": 2}', "batch_size: is a duplicate key"),
    "not UTF-8": (b'{"run_dir": "\xff"}', ":1:14: byte 0xff"),
    "byte-order mark": (b"\xef\xbb\xbf{}", "byte-order mark"),
    "NaN": (b'{"batch_size": NaN}', ":1:16: batch_size: NaN"),
    "surrogate": (b'{"run_dir": "\\ud800"}', "lone surrogate"),
    "deep": (b"[" * 60_000, ":1:66: is nested"),
    "empty": (b"", "holds no configuration"),
    "list": (b"[]", "not an object"),
    "too large": (b" " * 2_000_000, "has 2,000,000 bytes"),
    "version": (b'{"schema_version": true}', ":1:2: schema_version: true"),
    "newer": (b'{"schema_version": 99}', "pip install --upgrade tttcfg"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_in_a_checkpoint_stops_resolving(name: str, tmp_path: Path) -> None:
    content, message = DOCUMENTS[name]
    folder = checkpoint(tmp_path)
    document_file(folder).write_bytes(content)
    assert message in refused("resolve", "--checkpoint", folder)


def test_migrate_names_the_bad_document_changes_nothing_and_goes_on(tmp_path: Path) -> None:
    bad, good = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b", old_document(3))
    document_file(bad).write_bytes(b"[" * 60_000)
    done = run("migrate", tmp_path, "--write")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert f"{document_file(bad)}:1:66: is nested" in done.err
    assert document_file(bad).read_bytes() == b"[" * 60_000
    assert json.loads(document_file(good).read_bytes())["schema_version"] == HEAD


@pytest.mark.parametrize("content", [b"[" * 60_000, b"\xff", b"", b"[]", b'{"dim": 1'])
def test_a_bad_model_config_is_refused(content: bytes, tmp_path: Path) -> None:
    path = config(tmp_path, "json", content)
    assert str(path) in refused("resolve", "--model-config", path)


OVERRIDES = {
    "batch_size=.nan": "batch_size: .nan",
    "ttt.layers=" + "[" * 60_000: "nested deeper",
    "ttt.layers=[" + "1," * 40_000 + "]": "may have 65,536",
    "ttt={a: &a [*a]}": "contains itself",
    "batch_size=@/dev/zero": "not a regular file",
    "batch_size=@.": "is a folder",
    "batch_size=1e999": "is too large",
    "batch_siz=2": "did you mean batch_size?",
    "seed=" + "9" * 60_000: "300 digits",
}


@pytest.mark.parametrize("override", OVERRIDES, ids=[text[:24] for text in OVERRIDES])
def test_bad_override_values_are_refused(override: str, tmp_path: Path) -> None:
    assert OVERRIDES[override] in refused("resolve", override, cwd=tmp_path)


def test_an_override_file_has_the_same_cap_as_a_configuration(tmp_path: Path) -> None:
    path = config(tmp_path, "yaml", b"[" + b"1," * 40_000 + b"]")
    assert "may have 65,536" in refused("resolve", f"ttt.layers=@{path}")


def test_an_override_that_is_not_utf8_is_refused() -> None:
    broken = os.fsdecode(b"ttt.layers=[\xff]")
    assert "lone surrogate" in refused("resolve", broken)


def test_nothing_is_written_where_the_input_is_bad(tmp_path: Path) -> None:
    path = config(tmp_path, "yaml", b"seed: x\n")
    refused("resolve", "--config", path, "--write", tmp_path / "out.yaml")
    assert os.listdir(tmp_path) == [path.name]
