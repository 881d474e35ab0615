"""Named hostile files and options: what is in a folder, and the command that meets it there.

`outcomes.json` has the exit code and the error codes that each ends with; `python -m tests.hostile.regenerate` writes
it anew, so that a change of an outcome is seen in review.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.builders import HEAD, MODEL, old_document
from tests.safetensors.files import compact, framed, laid_out
from tests.safetensors.test_header import BROKEN
from tests.test_bad_input import DOCUMENTS, HOSTILE, OVERRIDES, PLACES, SMALL
from tttcfg.ttt_moshi.family import TTT_MOSHI

Content = bytes | Callable[[Path], object]
MANY = 150_000
F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


class Case(NamedTuple):
    """What is in the folder, by relative path, and the arguments of the command."""

    files: dict[str, Content]
    arguments: list[str]


def cases() -> dict[str, Case]:
    """Return every case by its name."""
    found: dict[str, Case] = {}
    for group in (
        _texts,
        _values,
        _documents,
        _headers,
        _indexes,
        _tags,
        _places,
        _targets,
        _options,
        _checkpoints,
        _large,
    ):
        for name, case in group():
            assert name not in found, name
            found[name] = case
    return found


def build(case: Case, folder: Path) -> None:
    """Make the files of a case in an empty folder."""
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)


def _config(ending: str, content: bytes) -> Case:
    return Case({f"f.{ending}": content}, ["resolve", "--config", f"f.{ending}"])


def _texts() -> Iterator[tuple[str, Case]]:
    """Files that no parser takes, or that are more than they seem."""
    for name, (ending, content, _) in {**SMALL, **HOSTILE}.items():
        yield f"file: {name}", _config(ending, content)
    wrong = {
        "a byte-order mark": b"\xef\xbb\xbfseed",
        "UTF-16 of one end": "seed".encode("utf-16-le"),
        "UTF-16 of the other": "seed".encode("utf-16-be"),
        "half a character": b"seed \xe2\x82",
        "an overlong slash": b"\xc0\xaf",
        "a surrogate as UTF-8": b"\xed\xa0\x80",
        "a null character": b"\0",
        "an escape": b"\x1b[31m",
        "a bell": b"\x07",
        "a line separator": "a\u2028b".encode(),
        "a change of direction": "\u202e".encode(),
        "only spaces": b"   \n  ",
        "only a comment": b"# one",
        "one brace": b"{",
        "one bracket": b"[",
        "one quote": b'"',
        "one colon": b":",
        "a number": b"3",
        "null": b"null",
        "a text": b'"text"',
        "an empty list": b"[]",
        "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a program": b"#!/bin/sh\nrm -rf x\n",
        "a page": b"<!DOCTYPE html><html></html>",
        "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94.",
        "an archive": b"PK\x03\x04\x14\x00\x00\x00",
        "a tab": b"\tseed",
        "carriage returns": b"seed\r\r\rseed\r",
    }
    for name, content in wrong.items():
        for ending in ("yaml", "json", "toml"):
            yield f"{ending}: {name}", _config(ending, content)
    for name, text in {
        "a Python object": "seed: !!python/object/apply:os.system [id]\n",
        "a Python name": "seed: !!python/name:os.system\n",
        "a binary tag": "run_dir: !!binary aGk=\n",
        "a set": "ttt: !!set {a, b}\n",
        "a date": "run_dir: !!timestamp 2001-01-01\n",
        "a local tag": "seed: !mine 1\n",
        "an unknown anchor": "seed: *there\n",
        "an alias as a key": "a: &a 1\n*a : 2\n",
        "a list as a key": "[1, 2]: 3\n",
        "a mapping as a key": "{a: 1}: 3\n",
        "two documents": "seed: 1\n---\nseed: 2\n",
        "a directive": "%TAG ! tag:x,2000:\n---\nseed: 1\n",
        "a cycle": "a: &a [*a]\n",
        "a cycle of two": "a: &a {b: &b {a: *a}}\n",
        "a merge of a number": "<<: 1\nseed: 1\n",
        "a merge of itself": "a: &a {<<: *a}\n",
        "an endless merge": "ttt: &t {<<: [*t, *t]}\n",
        "a hundred and one aliases": "a: &a 1\nb: [" + "*a, " * 101 + "1]\n",
        "a number of 301 digits": f"seed: {'9' * 301}\n",
        "a number of 60,000 digits": f"seed: {'9' * 60_000}\n",
        "a hexadecimal number": f"seed: 0x{'f' * 60_000}\n",
        "an exponent": "optim: {lr: 1e999999999}\n",
        "a negative exponent": "optim: {lr: 1e-999999999}\n",
        "commas of a URL": f"? aa:/{',' * 60_000}\n: 1\n",
        "colons of a URL": f"run_dir: x\n'http://{'a:' * 30_000}': 1\n",
        "spaces of a layer list": f'ttt: {{layers: "1{" " * 60_000}x"}}\n',
        "a long key": f"? {'k' * 60_000}\n: 1\n",
        "a secret key": f"wandb: {{key_{'x' * 60_000}: 1}}\n",
    }.items():
        yield f"yaml: {name}", _config("yaml", text.encode())
    for name, text in {
        "0x and 3,600 digits": f"seed = 0x{'f' * 3600}",
        "0b and 60,000 digits": f"seed = 0b{'1' * 60_000}",
        "an exponent": "optim.lr = 1e999999999",
        "escaped quotes": 'a = "' + '\\"' * 30_000,
        "a time": "seed = 07:32:00",
        "an open table": "[ttt\nseed = 1",
        "a table of a value": "seed = 1\n[seed.x]\ny = 1",
        "an array of tables": "[[ttt]]\nenable = true\n[[ttt]]\n",
        "an open text": 'run_dir = """' + "x" * 60_000,
        "an unknown escape": 'run_dir = "\\q"',
    }.items():
        yield f"toml: {name}", _config("toml", text.encode())
    for name, text in {
        "-0": '{"seed": -0}',
        "a fraction as a version": '{"schema_version": 1.0}',
        "a name of escapes": '{"\\u0073eed": 1, "seed": 2}',
        "a pair of surrogates the wrong way": '{"run_dir": "\\udc00\\ud800"}',
        "a long escape": '{"run_dir": "' + "\\u0041" * 10_000 + '"}',
        "a comment": '{"seed": 1} // one',
        "single quotes": "{'seed': 1}",
        "a comma at the end": '{"seed": 1,}',
        "two values": '{"seed": 1}{"seed": 2}',
        "a deep list": '{"ttt": ' + "[" * 60 + "]" * 60 + "}",
        "an exponent": '{"optim": {"lr": 1e400}}',
        "thousands of extensions": json.dumps({"extensions": {f"e{number}": {} for number in range(4000)}}),
    }.items():
        yield f"json: {name}", _config("json", text.encode())


def _values() -> Iterator[tuple[str, Case]]:
    """A value that its field cannot have: every field, in one of three formats or on the command line."""
    odd: list[tuple[str, Any]] = [
        ("a list of lists", [[[]]]),
        ("a mapping", {"a": {"b": 1}}),
        ("a long text", "x" * 5000),
        ("a huge number", -(10**299)),
        ("an escape", "\x1b[2J\u202e"),
    ]
    for index, name in enumerate(TTT_MOSHI.fields):
        what, value = odd[index % len(odd)]
        if index % 2:
            yield f"value: {name}, {what}", Case({}, ["resolve", f"{name}={json.dumps(value)}"])
        else:
            tree: Any = value
            for part in reversed(name.split(".")):
                tree = {part: tree}
            yield f"value: {name}, {what}", _config("json", json.dumps(tree).encode())


def _document(content: Any) -> dict[str, Content]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return {"run/training_config.json": data, "run/config.json": json.dumps(MODEL).encode()}


def _documents() -> Iterator[tuple[str, Case]]:
    for name, (content, _) in DOCUMENTS.items():
        yield f"document: {name}", Case(_document(content), ["migrate", "run", "--output", "json"])
    versions = (None, "7", 7.0, -1, 8, 10**299, [], {}, "", True)
    for version in versions:
        document = old_document(HEAD) | {"schema_version": version}
        name = f"document: version {version!r:.12}"
        yield name, Case(_document(document), ["resolve", "--checkpoint", "run"])
    for schema in (None, 1, [], "urn:tttcfg:other:v1", "urn:tttcfg:ttt_moshi:v9", "http://x/" + "a" * 5000):
        document = old_document(HEAD) | {"$schema": schema}
        yield f"document: $schema {schema!r:.20}", Case(_document(document), ["migrate", "run", "--output", "json"])
    for value in (None, 1, [], {"x": None}, {"x": []}, {"": {}}, {"x": {"schema_version": "1"}}):
        for version in (4, HEAD):
            document = old_document(version) | {"extensions": value}
            yield (
                f"document: extensions {value!r}, version {version}",
                Case(_document(document), ["migrate", "run", "--output", "json"]),
            )
    kinds = ("filled", "renamed", "removed", "converted", "doubted", "section_digests", "unknown", "assumed", "weights")
    for kind in kinds:
        for value in (None, 3, [[]], {"why": 3}, {"why": {"ttt.layers": None, "ttt": {}, "": []}}):
            document = old_document(HEAD) | {"provenance": {kind: value}}
            yield (
                f"document: {kind} {value!r}",
                Case(_document(document), ["migrate", "run", "--to", "4", "--allow-loss", "--output", "json"]),
            )


def _headers() -> Iterator[tuple[str, Case]]:
    for name, (header, _) in BROKEN.items():
        data = header if isinstance(header, bytes) else header.encode()
        yield f"header: {name}", Case({"m.safetensors": framed(data, 4)}, ["inspect", "m.safetensors"])
    for name, content in {
        "empty": b"",
        "seven bytes": bytes(7),
        "no header": bytes(8),
        "endless": b"\xff" * 8,
        "longer than the file": (100).to_bytes(8, "little") + b"{}",
        "a pickle": b"\x80\x02}q\x00.",
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\n",
        "cut": framed(compact(laid_out({"a": ("F32", [100])})), 8),
        "a name of escapes": framed(compact({"\x1b[2J\u202e../../x": F32}), 4),
        "a long name": framed(compact({"x" * 100_000: F32}), 4),
    }.items():
        yield f"weights: {name}", Case({"m.safetensors": content}, ["inspect", "m.safetensors"])


def _indexes() -> Iterator[tuple[str, Case]]:
    weights = framed(compact({"a": F32}), 4)
    for name, value in {
        "empty": b"",
        "no map": {},
        "null": {"weight_map": None},
        "a list": {"weight_map": ["a"]},
        "numbers": {"weight_map": {"a": 1, "b": None, "c": []}},
        "a file above": {"weight_map": {"a": "../m.safetensors"}},
        "a whole path": {"weight_map": {"a": "/etc/passwd"}},
        "a URL": {"weight_map": {"a": "http://x/m.safetensors"}},
        "a null character": {"weight_map": {"a": "m\0"}},
        "no name": {"weight_map": {"a": ""}},
        "itself": {"weight_map": {"a": "model.safetensors.index.json"}},
        "another tensor": {"weight_map": {"b": "m.safetensors"}},
        "a missing file": {"weight_map": {"a": "m.safetensors", "b": "n.safetensors"}},
        "five thousand files": {"weight_map": {f"x{number}": f"{number}.safetensors" for number in range(5000)}},
        "names twice": b'{"weight_map": {"a": "m.safetensors", "a": "m.safetensors"}}',
        "deep": b'{"weight_map": ' + b"[" * 100_000,
    }.items():
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        files: dict[str, Content] = {"model.safetensors.index.json": data, "m.safetensors": weights}
        yield f"index: {name}", Case(files, ["inspect", "model.safetensors.index.json"])


def _tags() -> Iterator[tuple[str, Case]]:
    """Binding tags in the metadata of weights."""
    for name, tag in {
        "empty": "",
        "no JSON": "{",
        "a list": "[]",
        "deep": "[" * 50_000,
        "no digest": '{"schema_version": 7}',
        "a number as digest": '{"digest": 1, "schema_version": 7}',
        "a version from the future": f'{{"digest": "x", "schema_version": {10**4000}}}',
        "another family": '{"digest": "x", "schema_version": 7, "family": "\\u202e"}',
        "odd extensions": '{"digest": "x", "schema_version": 7, "extensions": {"a": 1, "b": {"schema_version": 1}}}',
        "an embedded list": '{"digest": "x", "schema_version": 7, "training": []}',
        "an embedded text": '{"digest": "x", "schema_version": 7, "training": {"seed": "\\ud800"}}',
        "an odd embedded document": '{"digest": "x", "schema_version": 4, "training": {"ttt": []}, "provenance": 3}',
    }.items():
        weights = framed(compact({"__metadata__": {"tttcfg": tag}, "a": F32}), 4)
        yield (
            f"tag: {name}",
            Case({**_document(old_document(HEAD)), "run/model.safetensors": weights}, ["verify", "run"]),
        )
        yield (
            f"tag alone: {name}",
            Case({"model.safetensors": weights}, ["resolve", "--checkpoint", "model.safetensors"]),
        )


def _places() -> Iterator[tuple[str, Case]]:
    places = {
        **{name: make for name, (make, _) in PLACES.items()},
        "link to nothing": lambda path: path.symlink_to("nowhere"),
        "link to a folder": lambda path: path.symlink_to("."),
        "a terabyte": _terabyte,
    }
    doors = {
        "config": ("f.yaml", ["resolve", "--config", "f.yaml"]),
        "document": ("run/training_config.json", ["migrate", "run", "--output", "json"]),
        "model": ("f.json", ["resolve", "--model-config", "f.json"]),
        "weights": ("m.safetensors", ["inspect", "m.safetensors"]),
        "override": ("f", ["resolve", "ttt.layers=@f"]),
        "write": ("out.yaml", ["resolve", "--write", "out.yaml"]),
    }
    for name, make in places.items():
        for door, (path, arguments) in doors.items():
            if name != "nothing" or door not in ("document", "write"):
                yield f"{door}: {name}", Case({path: make}, arguments)


def _terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _program(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o755)


def _targets() -> Iterator[tuple[str, Case]]:
    """What is in the way of `--write`."""
    there: dict[str, Content] = {
        "a program": _program,
        "another program's settings": b"services: {web: 1}\n",
        "a comment": b"# mine\n",
        "a list": b"[1]\n",
        "a picture": b"\x89PNG\r\n\x1a\n",
    }
    for name, content in there.items():
        for file in ("out.yaml", "out.json"):
            yield f"write over {name}: {file}", Case({file: content}, ["resolve", "--write", file])
    yield (
        "write over a link to a program",
        Case(
            {"program": _program, "out.yaml": lambda path: path.symlink_to("program")},
            ["resolve", "--write", "out.yaml"],
        ),
    )


def _options() -> Iterator[tuple[str, Case]]:
    for text in OVERRIDES:
        yield f"override: {text[:24]}", Case({}, ["resolve", text])
    for name, arguments in {
        "bidi in an option": ["migrate", "--\u202enoitpo", "."],
        "bidi in a setting": ["resolve", "--\u202enoitpo", "1"],
        "bidi in a command": ["\u202eresolve"],
        "no command": ["--"],
        "an escape": ["resolve", "\x1b[2J=1"],
        "no key": ["resolve", "=1"],
        "no value": ["resolve", "--seed"],
        "only hyphens": ["resolve", "---"],
        "a null": ["resolve", "seed=\0"],
        "an index of millions": ["resolve", "optim.betas.999999=1"],
        "a negative index": ["resolve", "optim.betas.-1=1"],
        "an index of a text": ["resolve", "run_dir.0=x"],
        "a section": ["resolve", "ttt=1"],
        "a section of itself": ["resolve", "ttt={ttt: {ttt: 1}}"],
        "an extension": ["resolve", "extensions.x.y=1"],
        "extensions": ["resolve", "extensions=1"],
        "provenance": ["resolve", "provenance.filled=1"],
        "the version": ["resolve", "schema_version=3"],
        "a default of nothing": ["resolve", "nope=!default"],
        "a file of nothing": ["resolve", "ttt.layers=@"],
        "a file of itself": ["resolve", "ttt.layers=@/proc/self/mem"],
        "a URL as file": ["resolve", "ttt.layers=@nope://x"],
        "many unknown": ["resolve", *(f"bad_{number}=1" for number in range(2000))],
        "many options": ["resolve", *(f"--bad-{number}=1" for number in range(2000))],
        "many words": ["resolve", *(f"word{number}" for number in range(2000))],
        "many refused": ["resolve", *(f"seed=x{number}" for number in range(2000))],
        "a long key": ["resolve", f"{'k' * 100_000}=1"],
        "a key of dots": ["resolve", f"ttt{'.a' * 50_000}=1"],
        "a URL of commas": ["resolve", f"aa:/{',' * 60_000}=1"],
        "layers and spaces": ["resolve", f"ttt.layers=1{' ' * 60_000}x"],
        "a URL as checkpoint": ["resolve", "--checkpoint", "nope://x"],
        "chained URLs": ["resolve", "--checkpoint", "simplecache::file:///etc"],
        "a template as URL": ["resolve", "--checkpoint", "reference://x"],
        "no checkpoint": ["resolve", "--checkpoint", ""],
        "a version that is none": ["migrate", ".", "--to", "99"],
        "no number as version": ["migrate", ".", "--to", "\u202e7"],
        "no workers": ["migrate", ".", "--workers", "0"],
        "nothing to migrate": ["migrate", "."],
        "an unknown family": ["resolve", "--family", "nope"],
        "a family of code": ["resolve", "--family", "os:system"],
        "three sides": ["diff", "a", "b", "c"],
        "an unknown field": ["fields", "\x1b[2J"],
        "an unknown version": ["history", "99"],
        "an unknown explanation": ["resolve", "--explain", "nope\u202e"],
        "an unknown restore": ["resolve", "--restore", "\u202e"],
    }.items():
        yield f"option: {name}", Case({}, arguments)


def _checkpoints() -> Iterator[tuple[str, Case]]:
    """Folders that look like checkpoints."""

    def steps(path: Path) -> None:
        for number in range(300):
            (path / f"checkpoint_{number:06d}").mkdir(parents=True)

    def loop(path: Path) -> None:
        path.mkdir(parents=True)
        (path / "checkpoints").symlink_to(".")
        (path / "consolidated").symlink_to(".")

    folders: dict[str, dict[str, Content]] = {
        "hollow steps": {"run/checkpoints": steps},
        "a loop": {"run": loop},
        "an empty folder": {"run": lambda path: path.mkdir()},
        "a step that is a file": {"run/checkpoints/checkpoint_000001": b""},
        "a consolidated that is a file": {"run/consolidated": b""},
        "a huge step": {f"run/checkpoints/checkpoint_{'9' * 200}/consolidated/config.json": b"{}"},
        "a document that is a folder": {"run/training_config.json/x": b""},
        "weights that are a folder": {"run/model.safetensors/x": b""},
        "a pipe as document": {"run/training_config.json": os.mkfifo},
        "a pipe as weights": {"run/model.safetensors": os.mkfifo},
        "a pipe as model": {**_document(old_document(4)), "run/config.json": os.mkfifo},
        "an odd model": {**_document(old_document(4)), "run/config.json": b'{"dim": "x", "num_layers": -1}'},
        "a deep model": {**_document(old_document(4)), "run/config.json": b"[" * 60_000},
        "a name that is no UTF-8": {os.fsdecode(b"run/\xff/training_config.json"): b"["},
    }
    for name, files in folders.items():
        yield f"checkpoint: {name}", Case(files, ["resolve", "--checkpoint", "run"])
        yield f"migrate: {name}", Case(files, ["migrate", "run", "--output", "json"])


def _large() -> Iterator[tuple[str, Case]]:
    """What no cap refuses."""

    def tensors(path: Path, separators: tuple[str, str] = (",", ":")) -> None:
        text = bytearray(b"{")
        for one in range(MANY):  # one by one, as the process of the tests would keep the memory of all of them
            entry = {f"x{one}": {"dtype": "U8", "shape": [1], "data_offsets": [one, one + 1]}}
            text += (separators[0] if one else "").encode() + json.dumps(entry, separators=separators).encode()[1:-1]
        path.write_bytes(framed(bytes(text + b"}"), MANY))

    def index(path: Path) -> None:
        homes = {f"x{number}": f"m{number % 3}.safetensors" for number in range(MANY)}
        path.write_text(json.dumps({"weight_map": homes}), "utf-8")

    def steps(path: Path) -> None:
        for number in range(20_000):
            (path / f"checkpoint_{number:06d}").mkdir(parents=True)

    index_name = "model.safetensors.index.json"
    yield "large: tensors", Case({"m.safetensors": tensors}, ["inspect", "m.safetensors"])
    spaced = partial(tensors, separators=(", ", ": "))
    yield "large: tensors in another layout", Case({"m.safetensors": spaced}, ["inspect", "m.safetensors"])
    yield "large: an index", Case({index_name: index, "m0.safetensors": tensors}, ["inspect", index_name])
    yield "large: steps", Case({"run/checkpoints": steps}, ["resolve", "--checkpoint", "run"])
    yield "large: overrides", Case({}, ["resolve", *(f"bad_{number}=1" for number in range(10_000))])
    yield "large: options", Case({}, ["resolve", *(f"--bad-{number}=1" for number in range(10_000))])
    yield "large: words", Case({}, ["resolve", *(f"word{number}" for number in range(10_000))])
