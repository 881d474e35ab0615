"""Hostile input made from good: values and keys of a document replaced, moved and doubled, then its bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tests.hostile.doors import SEEDS

ODD: list[Any] = [
    *(None, True, False, 0, -1, 7, 8, 10**20, 10**299, 10**301, 1.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "none", "null", "all", "1,2", "1 , 2 ,", "\0", "\x1b[2J", "\u202e", "\ud800", "é"),
    *("x" * 300, "9" * 400, "(withheld)", "urn:tttcfg:other:v1", "aa:/,,,", "http://u:p@h/?q", "../../x"),
    *([], [[]], [None], [1, "x"], {}, {"": {}}, {"x": None}, {"ttt": {"ttt": {}}}, {"schema_version": 3}, [1] * 50),
]
NAMES = (
    *("schema_version", "$schema", "provenance", "extensions", "ttt", "seed", "", ".", "ttt.layers", "<<"),
    *("dtype", "shape", "data_offsets", "weight_map", "filled", "removed", "section_digests", "weights", "use_rope"),
    *(
        "ttt_mlp_layers",
        "wandb",
        "key",
        "\u202e",
        "\ud800",
        "a" * 300,
        "metadata",
        "training",
        "digest",
        "__metadata__",
    ),
)
TOKENS = [
    *(b"{", b"}", b"[", b"]", b'"', b"'", b":", b": ", b",", b"\\", b"\n", b"\t", b" ", b"#", b"&a ", b"*a", b"!!int "),
    *(b"<<: ", b"- ", b"? ", b"|\n", b"%YAML 1.1\n", b"---\n", b"=", b"@", b"\0", b"\xff", b"\xed\xa0\x80"),
    *(b"null", b"NaN", b"-0", b"1e999", b"0x", b"\\ud800", b"\\u0000", b".", b"://", b"?", b"--", b"!default"),
]


def generated(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` pairs of a door and bytes for it, the same for the same seed."""
    draw = random.Random(seed)
    doors = list(SEEDS)
    for number in range(count):
        door = doors[number % len(doors)]
        yield door, mutated(draw.choice(SEEDS[door]), draw)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return input like `data`, changed by structure where it is JSON, by bytes, or by both."""
    try:
        tree = json.loads(data)
    except ValueError:
        return _bytes_changed(data, draw)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        tree = _changed(tree, draw)
    text = json.dumps(tree, separators=draw.choice(((",", ":"), (", ", ": "))), ensure_ascii=draw.random() < 0.7)
    changed = text.encode("utf-8", "surrogatepass")
    return _bytes_changed(changed, draw) if draw.random() < 0.2 else changed


def _changed(tree: Any, draw: random.Random) -> Any:
    """Return a tree with a value or key changed at a random place; the tree itself may be changed."""
    places = list(_places(tree))
    if not places:
        return deepcopy(draw.choice(ODD))
    below, key = draw.choice(places)
    what = draw.randrange(7)
    if what == 0:
        del below[key]
    elif what == 1:
        below[key] = [below[key]]
    elif what == 2:
        below[key] = {draw.choice(NAMES): below[key]}
    elif what == 3 and isinstance(below, dict):
        below[draw.choice(NAMES)] = below.pop(key)
    elif what == 4 and isinstance(below, dict):
        below[draw.choice(NAMES)] = deepcopy(draw.choice(ODD))
    elif what == 5:
        other, name = draw.choice(places)
        below[key] = deepcopy(other[name])
    else:
        below[key] = deepcopy(draw.choice(ODD))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys: Any = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _bytes_changed(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 2, 8))):
        start, length = draw.randrange(len(data) + 1), draw.choice((0, 1, 1, 5, 40))
        what = draw.randrange(4)
        middle = draw.choice(TOKENS) * draw.choice((1, 1, 2, 70))
        if what == 1:
            middle = bytes([draw.randrange(256)])
        elif what == 2:
            middle = data[start : start + length] * draw.choice((0, 2, 30))
        elif what == 3:
            return data[:start]
        data = data[:start] + middle + data[start + length :]
    return data
