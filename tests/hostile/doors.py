"""Every way by which input comes in, as a function of bytes, and good input of each to begin from."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import tttcfg
from tests.builders import HEAD, old_document
from tests.safetensors.files import compact, laid_out, many
from tttcfg.documents.document import parse_document
from tttcfg.documents.downgrade import migrate_whatever_is_lost
from tttcfg.errors import CODES, MAX_PROBLEMS, InputError, Place, Problem, TttcfgError
from tttcfg.evidence.evidence import gather
from tttcfg.formats.endings import parse_file
from tttcfg.formats.json import read_json
from tttcfg.formats.text import decode
from tttcfg.resolving.config import given
from tttcfg.resolving.families import as_document
from tttcfg.resolving.overrides import override_texts, read_overrides
from tttcfg.resolving.resolver import resolve_family
from tttcfg.safetensors.header import Header, parse_header
from tttcfg.safetensors.shards import merged
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.urls import address, shown, without_hidden_parts
from tttcfg.verification.bindings import binding_of
from tttcfg.verification.tags import embedded_document

LONGEST_ERROR = 100_000
DEFAULTS = as_document(tttcfg.TrainingArgs())


def _config(ending: str) -> Callable[[bytes], object]:
    return lambda data: given(parse_file(data, f"f.{ending}"), TTT_MOSHI)


def _document(data: bytes) -> None:
    document = parse_document(data, TTT_MOSHI)
    values = read_json(decode(data, "f"), "f").values
    for version in (0, 4, 6, HEAD):
        migrate_whatever_is_lost(values, TTT_MOSHI, to=version)
    tttcfg.to_yaml(document)


def _index(data: bytes) -> None:
    def read(file: str) -> Header:
        if len(file) % 2:
            raise InputError(Problem("not_found", "there is no such file", place=Place(file)))
        return Header(file, {}, 0, 0, None, {"a" if "1" in file else "b": ("F32", (1,))})

    merged(data, "model.safetensors.index.json", read)


def _override(data: bytes) -> None:
    words = data.decode("utf-8", "surrogateescape").replace("@", "").split("\0")
    resolve_family(TTT_MOSHI, overrides=override_texts(words, ("config", "checkpoint"), family=TTT_MOSHI))


def _override_mapping(data: bytes) -> None:
    values = _plain(data)
    read_overrides(values if isinstance(values, dict) else {"seed": values}, TTT_MOSHI)


def _tag(data: bytes) -> None:
    header = Header("m.safetensors", {"tttcfg": data.decode("utf-8", "replace")}, 0, 0, None, {"a": ("F32", (1,))})
    binding_of(header, DEFAULTS, TTT_MOSHI)
    embedded_document(header, TTT_MOSHI)


def _url(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for one in (text, f"http://{text}", f"see {text}, and"):
        address(one)
        shown(one)
        without_hidden_parts(one)


def _python(data: bytes) -> None:
    """Values of a Python program: mappings and namespaces."""
    values = _plain(data)
    if isinstance(values, dict):
        for one in (values, SimpleNamespace(**{str(key): value for key, value in values.items()})):
            tttcfg.to_dict(one)


def _plain(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(Problem("syntax", "is not what this door takes")) from None


def _header(data: bytes) -> None:
    gather(parse_header(data, "m.safetensors", 8 + len(data)))


def _dumped(values: Any) -> bytes:
    return json.dumps(values).encode()


DOORS: dict[str, Callable[[bytes], object]] = {
    "yaml": _config("yaml"),
    "json": _config("json"),
    "toml": _config("toml"),
    "document": _document,
    "header": _header,
    "index": _index,
    "tag": _tag,
    "override": _override,
    "override mapping": _override_mapping,
    "python": _python,
    "url": _url,
}
"""Every way in: it returns, or raises an error of ours."""
_DOCUMENTS = [*(old_document(version) for version in range(HEAD + 1)), tttcfg.to_dict(tttcfg.TrainingArgs())]
_TOML = b"""seed = 3
run_dir = 'x'
[ttt]
enable = true
layers = [1, 2]
base_lr = 1e-3
[optim]
betas = [0.9, 0.95]
"""
_HEADER = laid_out(many(6), {"format": "pt", **tttcfg.tag_for(tttcfg.TrainingArgs())})
_INDEX = {"metadata": {"total_size": 1}, "weight_map": {"a": "m1.safetensors", "b": "m2.safetensors"}}
SEEDS: dict[str, list[bytes]] = {
    "yaml": [tttcfg.to_yaml(tttcfg.TrainingArgs()).encode(), b"ttt: &t {mini_batch_size: 4}\nlora: {<<: {rank: 8}}\n"],
    "json": [*map(_dumped, _DOCUMENTS), b'{"ttt": {"use_rope": true}, "seed": 3}'],
    "toml": [_TOML],
    "document": [*map(_dumped, _DOCUMENTS)],
    "header": [compact(_HEADER)],
    "index": [_dumped(_INDEX)],
    "tag": [one["tttcfg"].encode() for one in (tttcfg.tag_for(tttcfg.TrainingArgs(), embed=flag) for flag in (0, 1))],
    "override": [b"seed=3\0--ttt.layers=1,2\0--batch-size\0004\0optim.betas.0=0.5\0ttt={enable: true}\0ttt=!default"],
    "override mapping": [_dumped({"seed": 3, "ttt.layers": [1, 2], "optim": {"lr": 1}, "ttt.use_rope": True})],
    "python": [*map(_dumped, _DOCUMENTS)],
    "url": [b"https://user:word@host:80/a/b.safetensors?sig=x#y", b"simplecache::https://user:w@h/a"],
}
"""Good input of each, which others are made from."""


def enter(door: str, data: bytes) -> tuple[str, ...]:
    """Give `data` to a door and return the codes of its errors; whatever is not an error of ours is raised."""
    try:
        DOORS[door](data)
    except TttcfgError as error:
        codes = tuple(one.code for one in error.problems)
        assert codes
        assert CODES.keys() >= set(codes), codes
        assert "bug" not in codes
        text = str(error)
        assert len(text) < LONGEST_ERROR, f"an error of {len(text):,} characters"
        assert all(line.isprintable() for line in text.split("\n"))
        assert text.count("\n") <= MAX_PROBLEMS
        return codes
    return ()
