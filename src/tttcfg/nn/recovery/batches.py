"""The batches that are measured: how many all ranks have, and a digest of their contents."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from tttcfg.errors import InputError, Problem
from tttcfg.nn.ranks.ranks import gather_rows, gather_texts
from tttcfg.nn.recovery.stationarity import require_batches


def count_of_all(batches: Sequence[Any]) -> int:
    """Return how many batches all ranks have together, each as many as every other.

    Raises:
        InputError: They are fewer than four, or not as many on every rank.
        RankError: A rank has ended.
    """
    counts = gather_rows(torch.tensor([[float(len(batches))]])).flatten()
    if counts.min() != counts.max():
        message = f"are {', '.join(f'{int(one)}' for one in counts)}, and have to be as many on every rank"
        raise InputError(Problem("rejected", message, "batches"))
    require_batches(int(counts.sum()))
    return int(counts.sum())


def digest_of_batches(batches: Iterable[Any]) -> str:
    """Return the SHA-256 of all batches of all ranks: of their tensors, texts and numbers, however they are nested.

    What is none of these counts by the name of its type only.
    """
    digest = hashlib.sha256()
    for batch in batches:
        for part in _parts(batch):
            digest.update(part)
    texts = gather_texts(digest.hexdigest())
    return f"sha256:{texts[0] if len(texts) == 1 else hashlib.sha256(''.join(texts).encode()).hexdigest()}"


def _parts(value: Any) -> Iterator[bytes]:
    """Yield the bytes of what a batch holds, each with what distinguishes it from others of the same bytes."""
    if isinstance(value, torch.Tensor):
        whole = value.detach().cpu().contiguous().reshape(-1)
        yield f"tensor {value.dtype} {tuple(value.shape)}".encode()
        yield whole.view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield f"key {key}".encode()
            yield from _parts(value[key])
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _parts({one.name: getattr(value, one.name) for one in dataclasses.fields(value)})
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}".encode()
        for one in value:
            yield from _parts(one)
    elif isinstance(value, (str, bytes, int, float, type(None))):
        yield f"{type(value).__name__} {value!r}".encode()
    else:
        yield type(value).__name__.encode()
