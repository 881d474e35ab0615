"""Names, shapes and dtypes of a checkpoint of torch.distributed.checkpoint, from its `.metadata` file.

The file is a pickle. Nothing in it is run: only what such a file consists of is let in, every class is a stand-in that
keeps what it is given and does nothing, and all else is refused. torch is not needed.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import pickletools
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from tttcfg import InputError, Place, Problem, quote
from tttcfg.files.storage import read_bytes
from tttcfg.safetensors.header import Header

Tensor = tuple[str, tuple[int, ...]]
"""The dtype of a tensor and its shape."""
METADATA_NAME = ".metadata"
METADATA_CAP = 32 << 20
"""Most bytes of a `.metadata` file; that of 5 B parameters in 8 shards, optimiser included, has 8 MB."""
MODEL = "model."
"""What tensors of the model begin with in a training state, which holds the optimiser's as well."""

_SIMPLE = {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"} | {
    *("SHORT_BINUNICODE", "BINUNICODE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT")
}
"""Instructions that put one value on the stack."""
_TAKING = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 2, "SETITEM": 3} | dict.fromkeys(
    ("STACK_GLOBAL", "NEWOBJ", "REDUCE", "BUILD"), 2
)
"""How many values an instruction takes from the stack, to put one there."""
_MARKED = {"TUPLE": 0, "APPENDS": 1, "SETITEMS": 1}
"""Likewise, but for all since the last mark, and so many before it."""
_MAX_DEPTH = 64
_MAX_HASHED = 1 << 24
"""Most values that all keys together are made of, those counted again that stand in several places: all are hashed."""

_HOME = "torch.distributed.checkpoint"
_STAND_INS = {
    *(f"{_HOME}.metadata.{kind}StorageMetadata" for kind in ("Tensor", "Bytes", "Chunk")),
    *(f"{_HOME}.metadata.{name}" for name in ("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties")),
    f"{_HOME}.metadata._MEM_FORMAT_ENCODING",
    f"{_HOME}.filesystem._StorageInfo",
    "torch.serialization._get_layout",
    *(f"{home}.{kind}Path" for home in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")),
}
_DTYPES = {
    "torch.bfloat16": "BF16",
    "torch.float16": "F16",
    "torch.float32": "F32",
    "torch.float64": "F64",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}


def read(path: str, /) -> Header:
    """Read what the `.metadata` file at `path` has about the model's tensors; torch rewrites it with every save.

    Raises:
        InputError: It cannot be read, is no file of torch.distributed.checkpoint, or holds what such a file never does.
    """
    data = read_bytes(path, METADATA_CAP)
    entries, ends = _read_entries(data, path)
    save = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return Header(path, {}, 0, len(data), None if "://" in path else _missing(ends, path), entries, save=save)


@lru_cache(maxsize=1)  # saving a document reads the same file several times, and a large one takes seconds
def _read_entries(data: bytes, path: str) -> tuple[Mapping[str, Tensor], Mapping[str, int]]:
    """Return the model's tensors, and how many bytes each of the files needs that hold them."""
    fields = _fields(_unpickled(data, path))
    entries = dict(_entries(fields.get("state_dict_metadata"), path))
    own = {name: entry for name, entry in entries.items() if name.startswith(MODEL)}
    return own or entries, _ends(fields.get("storage_data"), path)


class _StandIn:
    """Keeps its state, and does nothing."""

    state: Any = None

    def __init__(self, *given: Any) -> None:
        del given

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _size(axes: Any) -> tuple[int, ...]:
    """Return the shape that `torch.Size` makes; of a list that grew since, more than was looked through."""
    if not isinstance(axes, tuple) or any(type(axis) is not int for axis in axes):
        raise pickle.UnpicklingError("has a shape that is none")
    return axes


class _Unpickler(pickle.Unpickler):
    """Makes stand-ins of the classes that a `.metadata` file has, and refuses every other name."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.kinds = {name: type(name, (_StandIn,), {}) for name in _STAND_INS}  # new ones, as a file could change them

    def find_class(self, module: str, name: str, /) -> Any:
        full = f"{module}.{name}"
        if full == "torch.Size":
            return _size
        if full == "torch.strided" or full in _DTYPES:
            return _DTYPES.get(full, full)
        if full not in self.kinds:
            raise pickle.UnpicklingError(f"asks for {quote(full)}, which no checkpoint's names and shapes need")
        return self.kinds[full]


def _unpickled(data: bytes, path: str) -> Any:
    try:
        _look_through(data)
        return _Unpickler(data).load()
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from None
    except Exception as error:  # whatever a made-up file leads to
        raise _refused(path, f"cannot be read as one: {type(error).__name__}: {error}") from None


def _look_through(data: bytes) -> None:
    """Refuse what could harm in spite of all: an instruction that torch does not write there, and endless tuples.

    An index of the file's own choice (BINPUT and its like) can cost gigabytes; the hash of a deep tuple, the process;
    that of a tuple which holds another one twice, and that another one twice, and so on, years.
    """
    stack: list[tuple[int, int]] = []  # how deep each value is nested, and of how many values it is made
    marks: list[int] = []
    kept: list[tuple[int, int]] = []
    hashed = 0
    for opcode, argument, place in pickletools.genops(data):
        name = opcode.name
        if name in _TAKING or name in _MARKED:
            start = len(stack) - _TAKING[name] if name in _TAKING else marks.pop() - _MARKED[name]
            taken = stack[start:]
            depth = max((depth for depth, _ in taken), default=0) + name.startswith("TUPLE")
            stack[start:] = [(depth, min(1 + sum(size for _, size in taken), _MAX_HASHED))]
            if depth > _MAX_DEPTH or start < 0:
                raise pickle.UnpicklingError(f"is nested deeper than {_MAX_DEPTH} at byte {place}, or broken there")
            hashed += sum(size for _, size in taken[1::2]) if name.startswith("SETITEM") else 0
            if hashed >= _MAX_HASHED:
                raise pickle.UnpicklingError(f"has keys of more than {_MAX_HASHED:,} values at byte {place}")
        elif name in _SIMPLE:
            stack.append((0, 1))
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "MEMOIZE":
            kept.append(stack[-1])
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(kept[argument])  # type: ignore[index]
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise pickle.UnpicklingError(f"holds {name} at byte {place}, which torch never writes there")


def _fields(value: Any) -> Mapping[str, Any]:
    """Return the state of a stand-in, by field; empty if it is not one."""
    fields = value.state if isinstance(value, _StandIn) else None
    return fields if isinstance(fields, dict) else {}


def _entries(listed: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the name of every tensor with its dtype and shape; what is no tensor has neither."""
    if not isinstance(listed, dict):
        raise _refused(path, "lists no tensors")
    for name, one in listed.items():
        fields = _fields(one)
        if not isinstance(name, str) or not isinstance(one, _StandIn):
            raise _refused(path, "lists something that is no tensor and no value")
        if "size" not in fields:
            continue
        properties, size = fields.get("properties"), fields["size"]
        state = properties.state if isinstance(properties, _StandIn) else None
        dtype = state[0] if isinstance(state, tuple) and state else None
        if not isinstance(size, tuple) or any(type(axis) is not int or not 0 <= axis < 1 << 48 for axis in size):
            raise _refused(path, f"gives {quote(name)} a shape that is none")
        if not isinstance(dtype, str) or dtype not in _DTYPES.values():
            raise _refused(path, f"gives {quote(name)} no dtype")
        yield name, (dtype, size)


def _ends(stored: Any, path: str) -> dict[str, int]:
    """Return where the data of each file ends."""
    ends: dict[str, int] = {}
    for one in stored.values() if isinstance(stored, dict) else ():
        fields = _fields(one)
        name, offset, length = (fields.get(key) for key in ("relative_path", "offset", "length"))
        if not isinstance(name, str) or type(offset) is not int or type(length) is not int:
            raise _refused(path, "does not record where its tensors are")
        if os.path.basename(name) != name:
            raise _refused(path, f"names {quote(name)}, which does not lie beside it")
        ends[name] = max(ends.get(name, 0), offset + length)
    return ends


def _missing(ends: Mapping[str, int], path: str) -> Problem | None:
    """Return which of the files that hold the tensors are not there, or end too early; None where all is well."""
    for name, end in ends.items():
        there = os.path.join(os.path.dirname(path), name)
        size = os.path.getsize(there) if os.path.isfile(there) else None
        if size is None or size < end:
            found = "is not there" if size is None else f"has {size:,} bytes of {end:,}"
            return Problem("truncated", f"{name} {found}; copy or download it again", place=Place(path))
    return None


def _refused(path: str, message: str) -> InputError:
    advice = "is it of torch.distributed.checkpoint?"
    return InputError(Problem("weights", f"{message}; {advice}", place=Place(path)))
