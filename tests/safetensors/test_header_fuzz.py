"""Mutated headers: an answer or an error with problems, never more, and the verdict of the format's own library."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from tests.builders import ROOT
from tests.launcher import python
from tests.safetensors.files import HOSTILE, compact, framed, laid_out
from tests.strategies import encodable
from tttcfg.errors import CODES, InputError, Problem
from tttcfg.safetensors import header as header_module
from tttcfg.safetensors import violations
from tttcfg.safetensors.header import DTYPE_BITS, LENGTH_BYTES, Header, header_length, parse_header
from tttcfg.safetensors.violations import read_entries

F32 = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


class Difference(NamedTuple):
    """What the format's own library takes and this reader refuses."""

    example: str
    message: str
    why: str


DIFFERENCES = {
    "names twice": Difference(
        f'{{"a":{F32},"a":{F32}}}',
        "duplicate name",
        "the format forbids it; the library takes the last and drops the others",
    ),
    "further fields": Difference(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"scale":2}}',
        "not a field",
        "the library drops them; what they state of the tensor would be lost silently",
    ),
    "entry as a list": Difference(
        '{"a":["F32",[1],[0,4]]}', "by an object", "an accident of the library's JSON parser"
    ),
    "dtype as an object": Difference(
        '{"a":{"dtype":{"F32":null},"shape":[1],"data_offsets":[0,4]}}',
        "has the dtype a mapping",
        "an accident of the library's JSON parser",
    ),
    "null metadata": Difference(f'{{"__metadata__":null,"a":{F32}}}', "and is null", "the format maps text to text"),
    "spaces first": Difference(f' {{"a":{F32}}}', "must begin with", "in the format a header begins with its brace"),
    "caps": Difference(f'{{"a":{F32}}}' + " " * 2_000_000, "bytes; at most", "the library takes headers of 100 MB"),
    "many values": Difference(
        '{"a":{"dtype":"F32","shape":[' + "1," * 600_000 + '1],"data_offsets":[0,4]}}',
        "holds more than",
        "the library takes any number; each takes memory many times its bytes",
    ),
}
"""Every other verdict agrees; a file that is cut short, which the library refuses, is read with `truncated` set."""


def ours(data: bytes) -> Header | tuple[Problem, ...]:
    """Return the header or the problems of a whole file from its bytes, as `read_header` does."""
    try:
        length = header_length(data[:LENGTH_BYTES], "x", len(data))
        return parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], "x", len(data))
    except InputError as error:
        return error.problems


def theirs(data: bytes) -> dict[str, tuple[str, tuple[int, ...]]] | None:
    """Return what the format's own library reads, or None where it refuses."""
    try:
        return {name: (tensor["dtype"], tuple(tensor["shape"])) for name, tensor in deserialize(data)}
    except SafetensorError:
        return None


def compare(data: bytes) -> None:
    """Hold our verdict, and what was read, against the library's."""
    verdict, expected = ours(data), theirs(data)
    if isinstance(verdict, Header):
        assert (verdict.truncated is None) == (expected is not None), data
        if expected is not None:
            assert {name: (verdict.dtype(name), verdict.shape(name)) for name in verdict.names} == expected
        slow = read_entries(data[LENGTH_BYTES : verdict.data_start], "x", len(data))
        assert slow == (verdict.entries, verdict.metadata, verdict.size - verdict.data_start)
        return
    assert verdict
    assert {problem.code for problem in verdict} <= CODES.keys()
    assert all(str(problem).isprintable() for problem in verdict)
    if expected is not None:
        unlisted = [one for one in verdict if not any(known.message in one.message for known in DIFFERENCES.values())]
        assert not unlisted, (data, unlisted)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_listed_difference_is_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes it, this reader refuses it, and the reader's own page lists it; with lower caps for headers."""
    monkeypatch.setattr(header_module, "HEADER_CAP", 2_000_000)
    monkeypatch.setattr(violations, "MAX_VALUES", 600_000)
    data = framed(DIFFERENCES[name].example.encode(), 4)
    verdict = ours(data)
    assert theirs(data) is not None
    assert not isinstance(verdict, Header)
    assert all(DIFFERENCES[name].message in problem.message for problem in verdict)
    assert (header_module.__doc__ or "").count("\n- ") == len(DIFFERENCES) + 1  # and truncation


labels = st.text(encodable, max_size=6) | st.sampled_from(["a", "layers.0.weight", "a:b-c"])
tensors = st.dictionaries(
    labels.filter(lambda name: name != "__metadata__"),
    st.tuples(
        st.sampled_from(sorted(DTYPE_BITS)), st.lists(st.integers(0, 5), max_size=3).map(lambda shape: [*shape, 8])
    ),
    max_size=5,
)
notes = st.none() | st.dictionaries(labels, labels, max_size=3)
WRONG: list[Any] = [
    *(None, True, -1, 0, 1, 2, 4, 1.0, 1e300, 2**61, 2**63, 2**64 - 1, 2**64, 10**30, "", "F32", "F4", "f32", "8"),
    *([], [0], [1], [8], [1, 2], [0, 0], [0, 2**63, 2], [2**63, 2, 0], [-1], [True], ["1"], [[1]], [0, 4], [4, 0]),
    *({}, {"F32": None}, {"a": "b"}, {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, [0, 4, 8]),
]
TOKENS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"0", b"-", b"-0", b"1", b".", b"e9", b"\\", b" ", b"\n", b"/**/"),
    *(
        b"\\u0061",
        b"\\ud800",
        b"\x00",
        b"\x1f",
        b"\x7f",
        b"\xff",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"null",
        b"true",
        b"NaN",
    ),
    *(b"F32", b'"a":', b'"dtype":', b'"shape":[]', b'"__metadata__":', b'"__metadata__":null,', b"[[[[", b'{"a":' * 40),
)


def mutated_values(values: dict[str, Any], chance: random.Random) -> list[tuple[str, Any]]:
    """Change one thing in a header, as pairs, since names may be duplicates."""
    pairs = list(values.items())
    kind = chance.randrange(7)
    if not pairs or kind == 0:
        return [*pairs, (chance.choice(["a", "", "__metadata__", *values]), chance.choice(WRONG))]
    place = chance.randrange(len(pairs))
    name, entry = pairs[place]
    if kind == 1:
        pairs.append(pairs[place])
    elif kind == 2:
        chance.shuffle(pairs)
    elif kind == 3 or not isinstance(entry, dict) or not entry:
        pairs[place] = (name, chance.choice(WRONG))
    else:
        entry = {key: list(value) if isinstance(value, list) else value for key, value in entry.items()}
        key = chance.choice([*entry, "dtype", "shape", "data_offsets", "extra"])
        if kind == 4:
            entry[key] = chance.choice(WRONG)
        elif kind == 5:
            entry.pop(key, None)
        elif isinstance(entry.get(key), list) and entry[key]:
            index = chance.randrange(len(entry[key]))
            near = entry[key][index] + chance.choice([-1, 1, 4]) if type(entry[key][index]) is int else 0
            entry[key][index] = chance.choice([near, chance.choice(WRONG)])
        pairs[place] = (name, entry)
    return pairs


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """Change one place in the bytes."""
    place = chance.randrange(len(data) + 1)
    kind = chance.randrange(5)
    after = place + chance.choice([1, 1, 2, 8])
    if kind == 0:
        return data[:place] + chance.choice(TOKENS) + data[place:]
    if kind == 1:
        return data[:place] + chance.choice(TOKENS) + data[after:]
    if kind == 2:
        return data[:place] + data[after:]
    if kind == 3:
        return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
    return data[:place] + data[place:after] * 2 + data[after:]


def text_of(pairs: list[tuple[str, Any]], chance: random.Random) -> bytes:
    separators = chance.choice([(",", ":"), (", ", ": "), (" ,\n", " :")])
    ascii_only = chance.random() < 0.2

    def text(value: Any) -> str:
        return json.dumps(value, separators=separators, ensure_ascii=ascii_only)

    inside = separators[0].join(f"{text(name)}{separators[1]}{text(value)}" for name, value in pairs)
    return f"{{{inside}}}".encode() + b" " * chance.randrange(4)


def mutate(values: dict[str, Any], seed: int) -> bytes:
    """Return a file that is sound, or wrong in up to three ways."""
    chance = random.Random(seed)
    room = max((entry["data_offsets"][1] for name, entry in values.items() if name != "__metadata__"), default=0)
    pairs = list(values.items())
    for _ in range(chance.randrange(3)):
        pairs = mutated_values(dict(pairs), chance) if chance.random() < 0.7 else [*pairs, *pairs[:1]]
    data = compact(dict(pairs)) if chance.random() < 0.3 else text_of(pairs, chance)
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        data = mutated_bytes(data, chance)
    room = max(0, room + chance.choice([0, 0, 0, 0, -1, 1, 8]))
    whole = framed(data, room)
    if chance.random() < 0.05:
        whole = mutated_bytes(whole[:16], chance) + whole[16:]
    return whole[: chance.randrange(len(whole) + 1)] if chance.random() < 0.05 else whole


examples = st.builds(mutate, st.builds(laid_out, tensors, notes), st.integers(0, 2**32))


@given(tensors, notes)
@settings(max_examples=100)
def test_sound_headers_are_read_as_the_library_reads_them(
    shapes: dict[str, tuple[str, list[int]]], metadata: dict[str, str] | None
) -> None:
    values = laid_out(shapes, metadata)
    room = max((entry["data_offsets"][1] for name, entry in values.items() if name != "__metadata__"), default=0)
    data = framed(compact(values), room)
    assert isinstance(ours(data), Header)
    compare(data)


@given(examples)
@settings(max_examples=300)
def test_mutated_headers_get_the_verdict_of_the_library(data: bytes) -> None:
    compare(data)


@pytest.mark.slow
@given(examples)
@settings(max_examples=12_000)
def test_thousands_of_mutated_headers_get_the_same_verdict(data: bytes) -> None:
    compare(data)


MOST_SECONDS = 15.0
MOST_BYTES = 384 << 20
_READ = """
import json, resource, sys, time
from tests.safetensors.files import HOSTILE
from tttcfg.errors import InputError
from tttcfg.safetensors.header import parse_header

resource.setrlimit(resource.RLIMIT_CPU, (240, 240))
made = {name: HOSTILE[name]() for name in sys.argv[2:]}
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]),) * 2)
seconds = {}
for name, data in made.items():
    start = time.process_time()
    try:
        parse_header(data, name, 12 + len(data))
    except InputError as error:
        assert len(str(error)) < 20_000, name
    seconds[name] = time.process_time() - start
print(json.dumps(seconds))
"""


FAST = ("deep", "deep, not too many", "quotes", "entries without end", "one long number", "endless product")


@pytest.mark.parametrize("names", [FAST, pytest.param(tuple(HOSTILE), marks=pytest.mark.slow)], ids=["some", "all"])
def test_hostile_headers_of_the_largest_size_cost_bounded_time_and_memory(names: tuple[str, ...]) -> None:
    """The worst headers, in one process that may take so much more memory than the headers themselves do."""
    seconds = python("-c", _READ, str(MOST_BYTES), *names, cwd=ROOT, limit=600).json
    assert seconds.keys() == set(names)
    assert max(seconds.values()) < MOST_SECONDS, seconds
