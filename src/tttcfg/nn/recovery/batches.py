"""The batches that are measured: how many all ranks have, and a digest of their contents."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tttcfg.errors import InputError, Problem
from tttcfg.nn.ranks.ranks import gather_rows, gather_texts
from tttcfg.nn.recovery.stationarity import is_sharded_model

LEAST_BATCHES = 8
"""With fewer, three standard errors too often separate a wrong value: in two of 42 answers, with four."""
_OPAQUE = b"opaque "
_DEEPEST = 64


def checked(batches: Sequence[Any]) -> tuple[int, str]:
    """Return how many batches all ranks have together, each as many as every other, and the digest of all.

    Raises:
        InputError: They are fewer than eight, not as many on every rank, or one is there twice.
        RankError: A rank has ended.
    """
    counts = gather_rows(torch.tensor([[float(len(batches))]])).flatten()
    if counts.min() != counts.max():
        message = f"are {', '.join(f'{int(one)}' for one in counts)}, and have to be as many on every rank"
        raise InputError(Problem("rejected", message, "batches"))
    count = int(counts.sum())
    if count < LEAST_BATCHES:
        raise InputError(Problem("rejected", f"{count} are too few; give {LEAST_BATCHES} or more", "batches"))
    return count, digest_of_batches(batches)


def require_enough(model: nn.Module, batches: Sequence[Any]) -> None:
    """Raise an InputError where a sharded model has too few: it has one gradient of all ranks' batches together."""
    if len(batches) < LEAST_BATCHES and is_sharded_model(model):
        message = f"{len(batches)} on every rank are too few for a sharded model, which has one gradient of all ranks'"
        raise InputError(Problem("rejected", f"{message}; give {LEAST_BATCHES} or more on each", "batches"))


def digest_of_batches(batches: Iterable[Any]) -> str:
    """Return the SHA-256 of all batches of all ranks: of their tensors, arrays, texts and numbers, however nested.

    What is none of these counts by the name of its type only.

    Raises:
        InputError: A batch of which everything counts is there twice: its gradients would count as those of two.
    """
    texts = ",".join(filter(None, gather_texts(",".join(map(_digest, batches))))).split(",")
    seen: dict[str, int] = {}
    for number, text in enumerate(texts):
        if text.startswith("whole") and seen.setdefault(text, number) != number:
            message = f"number {number} is the same as number {seen[text]}; they have to be disjoint"
            raise InputError(Problem("rejected", message, "batches", advice="give fewer, or more data"))
    return f"sha256:{hashlib.sha256(','.join(texts).encode()).hexdigest()}"


def _digest(batch: Any) -> str:
    """Return the digest of a batch, and whether it is of the whole batch."""
    digest, whole = hashlib.sha256(), True
    for part in _parts(batch):
        digest.update(part)
        whole = whole and not part.startswith(_OPAQUE)
    return f"{'whole' if whole else 'part'} {digest.hexdigest()}"


def _parts(value: Any, depth: int = 0) -> Iterator[bytes]:
    """Yield the bytes of what a batch holds, each with what distinguishes it from others of the same bytes."""
    if depth > _DEEPEST:
        yield _OPAQUE + b"nested"
    elif isinstance(value, torch.Tensor):
        strided = value.layout is torch.strided
        whole = (value.detach() if strided else value.detach().to_dense()).cpu().contiguous().reshape(-1)
        yield f"tensor {value.dtype} {tuple(value.shape)}".encode()
        yield whole.view(torch.uint8).numpy().tobytes()
    elif hasattr(value, "__array__"):
        yield from _parts_of_array(value)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield f"key {key}".encode()
            yield from _parts(value[key], depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _parts({one.name: getattr(value, one.name) for one in dataclasses.fields(value)}, depth)
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}".encode()
        for one in value:
            yield from _parts(one, depth + 1)
    elif isinstance(value, (str, bytes, int, float, type(None))):
        yield f"{type(value).__name__} {value!r}".encode()
    else:
        yield _OPAQUE + type(value).__name__.encode()


def _parts_of_array(array: Any) -> Iterator[bytes]:
    try:
        tensor = torch.as_tensor(array)
    except (TypeError, ValueError):  # texts, dates and objects
        yield _OPAQUE + type(array).__name__.encode()
    else:
        yield from _parts(tensor)
