"""Several ranks of one run: one of them decides, all of them agree, and an error on one reaches every other.

Everything here is a collective that every rank calls in the same order. Nothing but text travels, as bytes in tensors,
on the CPU or, under nccl, on the rank's own GPU.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from tttcfg.api import as_document, resolve
from tttcfg.document import document_of
from tttcfg.effective import Effective, Finding, Origin, Origins, digest
from tttcfg.errors import Place, Problem, RankError, TttcfgError, quote
from tttcfg.family import Family
from tttcfg.fields import plain
from tttcfg.record import Tree
from tttcfg.saving import document_tree
from tttcfg.ttt_moshi.family import TTT_MOSHI, TTTConfig

Result = TypeVar("Result")
_SHOWN = 3
_PATIENCE_SECONDS = 1.0


def rank() -> int:
    """Return which rank this process is; 0 where there is only one."""
    return dist.get_rank() if _distributed() else 0


def world_size() -> int:
    """Return how many ranks there are."""
    return dist.get_world_size() if _distributed() else 1


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def gather_texts(text: str) -> list[str]:
    """Return the text that every rank gave, by rank."""
    if world_size() == 1:
        return [text]
    data = list(text.encode())
    sizes = [size for (size,) in _gathered([len(data)], torch.int64)]
    parts = _gathered(data + [0] * (max(1, *sizes) - len(data)), torch.uint8)
    return [bytes(part[:size]).decode() for part, size in zip(parts, sizes, strict=True)]


def _gathered(values: list[int], dtype: torch.dtype) -> list[list[int]]:
    """Return the numbers that every rank gave, by rank, once no thread of gloo holds their tensors any more.

    Such a thread frees a collective's tensors a moment after its end, for which it needs the interpreter. A process
    that drops its DistributedDataParallel after `destroy_process_group` waits for the thread's end without letting go
    of the interpreter: if the thread comes that late, both wait for ever.
    """
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    own = torch.tensor(values, dtype=dtype, device=device)
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    found = [part.tolist() for part in parts]
    held = [weakref.ref(tensor) for tensor in (own, *parts)]
    del own, parts
    end = time.monotonic() + _PATIENCE_SECONDS
    while device.type == "cpu" and any(tensor() is not None for tensor in held) and time.monotonic() < end:
        time.sleep(0)  # lets the thread have the interpreter
    return found


def together(action: Callable[[], Result]) -> Result:
    """Run `action` on every rank and return its result; what it raises on any rank is raised on all of them.

    Raises:
        RankError: Something that is no error of tttcfg was raised on another rank.
    """
    result, error = None, None
    try:
        result = action()
    except Exception as caught:
        error = caught
    said = gather_texts(_told(error))
    if error is not None:
        raise error
    for number, text in enumerate(said):
        if text:
            raise _raised(json.loads(text), number)
    return result  # type: ignore[return-value]  # without an error there is a result


def on_first(action: Callable[[], str]) -> str:
    """Run `action` on rank 0 alone and return its text on every rank, once it is done; its error reaches all.

    Raises:
        RankError: Something that is no error of tttcfg was raised on rank 0.
    """
    text = together(lambda: action() if rank() == 0 else "")
    return gather_texts(text)[0]


def resolve_together(*arguments: Any, family: Family = TTT_MOSHI, **options: Any) -> Effective:
    """Return what `tttcfg.resolve` returns for the same arguments on rank 0, on every rank.

    Rank 0 reads the files; its result travels as canonical text, and every rank holds the digest of what it understood
    against rank 0's. Secrets and the tensors' verification stay on rank 0.

    Raises:
        InputError, ContradictionError: As `tttcfg.resolve`, on every rank.
        RankError: A rank understood something else.
    """
    own: list[Effective] = []

    def resolved() -> str:
        own.append(resolve(*arguments, family=family, **options))
        return _text_of(own[0])

    text = on_first(resolved)
    effective = together(lambda: own[0] if own else _effective_of(json.loads(text), family))
    agree(effective)
    return effective


def agree(configuration: Any) -> None:
    """Make sure that every rank holds the same configuration: an `Effective`, a `Document` or a `TrainingArgs`.

    Raises:
        RankError: They differ; the problems name the settings and the ranks.
    """
    document = as_document(configuration)
    fields = {leaf.name: plain(leaf.get(document.training)) for leaf in document.family.public_leaves}
    said = [json.loads(text) for text in gather_texts(json.dumps(fields))]
    problems = [
        Problem("ranks", f"is {quote(said[0][name])} on rank 0 and {quote(other[name])} on rank {number}", name)
        for number, other in enumerate(said)
        for name in fields
        if other.get(name) != said[0].get(name)
    ]
    if problems:
        raise RankError(problems)


def _told(error: Exception | None) -> str:
    if error is None:
        return ""
    if not isinstance(error, TttcfgError):
        return json.dumps({"kind": "", "message": f"{type(error).__name__}: {error}"})
    problems = [problem._asdict() for problem in error.problems]
    return json.dumps({"kind": type(error).__name__, "problems": problems})


def _raised(told: Tree, number: int) -> TttcfgError:
    """Return the error of another rank."""
    kinds: dict[str, type[TttcfgError]] = {kind.__name__: kind for kind in _kinds(TttcfgError)}
    if told["kind"] not in kinds:
        reason = told.get("message") or "; ".join(one["message"] for one in told["problems"][:_SHOWN])
        return RankError(Problem("ranks", f"rank {number} failed: {reason}"))
    problems = [Problem(**{**one, "place": _place(one["place"])}) for one in told["problems"]]
    return kinds[told["kind"]](problems)


def _kinds(kind: type[TttcfgError]) -> list[type[TttcfgError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _kinds(below))]


def _place(told: Any) -> Any:
    return Place(*told) if isinstance(told, list) else told


def _text_of(effective: Effective) -> str:
    tree = {
        "document": document_tree(as_document(effective)),
        "ttt": None if effective.ttt is None else effective.ttt.model_dump(mode="json"),
        "origins": {
            name: [[one.source, plain(one.value), one.where] for one in given]
            for name, given in effective.origins.items()
        },
        "findings": effective.findings,
        "digest": effective.digest,
        "provenance": effective.provenance,
    }
    return json.dumps(tree)


def _effective_of(tree: Tree, family: Family) -> Effective:
    """Return what rank 0 resolved, having understood the same."""
    training = document_of(tree["document"], family, "rank 0").training
    ttt = None if tree["ttt"] is None else TTTConfig.model_validate_json(json.dumps(tree["ttt"]))
    origins = {name: tuple(Origin(*one) for one in given) for name, given in tree["origins"].items()}
    findings = tuple(Finding(*one) for one in tree["findings"])
    effective = Effective(training, ttt, Origins(origins), findings, digest(training, family), tree["provenance"])
    if effective.digest != tree["digest"] or json.loads(_text_of(effective)) != tree:
        message = "this rank does not understand the configuration as rank 0 does; is it the same version of tttcfg?"
        raise RankError(Problem("ranks", message))
    return effective
