"""Several ranks of one run: one of them decides, all of them agree, and an error on one reaches every other.

Everything here but `log_once` is a collective, which every rank calls in the same order. Text travels, and numbers, in
tensors on the CPU or, under nccl, on the rank's own GPU.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from tttcfg.api import resolve
from tttcfg.documents.document import parse_document
from tttcfg.documents.effective import Effective, Origin, Origins, whole_digest
from tttcfg.documents.save import canonical_bytes, document_tree
from tttcfg.errors import InputError, Place, Problem, RankError, TttcfgError, quote
from tttcfg.family.extension import path_of
from tttcfg.family.family import Family, Layers, Model, family_of
from tttcfg.resolving.families import as_document, family_named
from tttcfg.schema.fields import plain, present
from tttcfg.schema.paths import Tree

Result = TypeVar("Result")
_SHOWN, _MOST = 3, 12
_SHORT_WAITS, _MOST_WAITS = 1000, 30_000
_PATIENCE = timedelta(days=1)
_waiting: dict[str, tuple[Any, Any]] = {}
"""The group of all processes, and the one made of them in which ranks wait for rank 0."""


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
    data = torch.tensor(list(text.encode()), dtype=torch.uint8)
    return [bytes(part.tolist()).decode() for part in _gathered(data)]


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Return the rows [any number, size] that every rank gave, one rank's after the other's, on the CPU."""
    if world_size() == 1:
        return rows
    return torch.cat([part.reshape(-1, rows.shape[1]) for part in _gathered(rows.reshape(-1))])


def _gathered(own: torch.Tensor) -> list[torch.Tensor]:
    """Return the vector that every rank gave, which may be of any length, by rank and on the CPU."""
    sizes = [int(size) for size in _gathered_equal(torch.tensor([len(own)]))]
    parts = _gathered_equal(torch.nn.functional.pad(own, (0, max(1, *sizes) - len(own))))
    return [part[:size] for part, size in zip(parts, sizes, strict=True)]


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of the tensors of one shape that every rank gave, on the device of its own."""
    if world_size() == 1:
        return values
    own = values.detach().clone().to(_device())
    with all_present():
        dist.all_reduce(own)
    found, alive = own.to(values.device, copy=True), [weakref.ref(own)]
    del own
    _wait_for_threads(alive)
    return found


def _gathered_equal(values: torch.Tensor) -> list[torch.Tensor]:
    """Return the vectors of one length that ranks gave, on the CPU."""
    own = values.detach().clone().to(_device())
    parts = [torch.empty_like(own) for _ in range(world_size())]
    with all_present():
        dist.all_gather(parts, own)
    found = [part.cpu().clone() for part in parts]
    alive = [weakref.ref(tensor) for tensor in (own, *parts)]
    del own, parts
    _wait_for_threads(alive)
    return found


def _device() -> torch.device:
    """Return where tensors travel from."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def _wait_for_threads(alive: list[weakref.ref[torch.Tensor]]) -> None:
    """Return once no thread of gloo holds any of a collective's tensors any more.

    Such a thread frees them a moment after its end, for which it needs the interpreter. A process that drops its
    DistributedDataParallel after `destroy_process_group` waits for the thread's end without letting go of the
    interpreter: if the thread comes that late, both wait for ever.
    """
    most = _MOST_WAITS if _device().type == "cpu" else 0  # and no clock: one jumps where a machine stops and goes on
    for times in range(most):
        if all(tensor() is None for tensor in alive):
            break
        time.sleep(0 if times < _SHORT_WAITS else 0.001)  # lets the thread have the interpreter


@contextlib.contextmanager
def all_present() -> Iterator[None]:
    """Run one of torch's collectives; where it fails, raise the same error on every rank that is left.

    Raises:
        RankError: Another rank has ended, or did not come here for as long as a collective may take.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # of the connection to that rank, or of the time that has passed
        message = "another rank has ended or does not answer, so this one cannot go on"
        advice = "look at what the rank that ended first has printed, and resume from the newest checkpoint"
        raise RankError(Problem("ranks", message, advice=advice)) from error


def together(action: Callable[[], Result]) -> Result:
    """Run `action` on every rank and return its result; what it raises on any rank is raised on all of them.

    Raises:
        RankError: Something that is no error of tttcfg was raised on another rank, or that has ended.
    """
    result, error = None, None
    try:
        result = action()
    except Exception as caught:
        error = caught
    try:
        given = gather_texts(_error_text(error))
    finally:  # the own error is raised where others cannot get it any more, too
        if error is not None:
            raise error
    for number, text in enumerate(given):
        if text:
            raise _raised(json.loads(text), number)
    return result  # type: ignore[return-value]  # without an error there is a result


def on_first(action: Callable[[], str]) -> str:
    """Run `action` on rank 0 alone and return its text on every rank, once it is done; its error reaches all.

    Once all ranks have come here, which may take as long as any of the run's collectives, the others wait for rank 0 in
    a group of processes of their own, whose timeout is a day: ten minutes, nccl's default, would end a run over
    a long evaluation or a slow disk.

    Raises:
        RankError: Something that is no error of tttcfg was raised on rank 0, or a rank has ended.
    """
    gather_texts("")
    group = _waiting_group()

    def acted() -> str:
        try:
            return action() if rank() == 0 else ""
        finally:
            if group is not None:
                with all_present():
                    dist.barrier(group=group)

    return gather_texts(together(acted))[0]


def _waiting_group() -> Any:
    """Return the group in which ranks wait for rank 0, made where there is none yet; None where no rank waits."""
    if world_size() == 1 or not dist.is_gloo_available():
        return None
    world: Any = dist.group.WORLD
    made, group = _waiting.get("group", (None, None))
    if made is None or made() is not world:
        with all_present():
            group = dist.new_group(backend="gloo", timeout=_PATIENCE)
        _waiting["group"] = weakref.ref(world), group
    return group


def resolve_together(
    *arguments: Any, family: Family[Model, Layers] | None = None, **options: Any
) -> Effective[Model, Layers]:
    """Return what `tttcfg.resolve` returns for the same arguments on rank 0, on every rank.

    Rank 0 reads the files; its result travels as canonical text, and every rank compares the digest of what it read
    from that with rank 0's. Secrets and the tensors' verification stay on rank 0.

    Raises:
        InputError, ContradictionError: As `tttcfg.resolve`, on every rank; or the family derives what its layers read
            and does not declare the class, `Family(layers=…)`, so that other ranks could not read it.
        RankError: A rank read something else.
    """
    own: list[Effective[Model, Layers]] = []

    def resolved() -> str:
        own.append(resolve(*arguments, family=family, **options))
        _check_layers(own[0])
        return _text_of(own[0])

    text = on_first(resolved)
    effective = together(lambda: own[0] if own else _understood(json.loads(text), family))
    agree(effective)
    return effective


def _check_layers(effective: Effective) -> None:
    family, made = family_of(type(effective.training)), type(effective.ttt)
    if effective.ttt is not None and family.layers is not made:
        message = f"derives {made.__name__} for its layers and does not declare it"
        raise InputError(Problem("plugin", message, family.name, advice=f"give Family(layers={made.__name__})"))


def agree(configuration: Any, *, family: Family[Any, Any] | None = None) -> None:
    """Make sure that every rank has the same configuration.

    Args:
        configuration: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping.
        family: As in `tttcfg.resolve`.

    Raises:
        InputError: It is no configuration, or one of another family than `family`, on any rank.
        RankError: They differ; the problems name the settings and the ranks.
    """
    document = together(lambda: as_document(configuration, family))
    fields = {
        field.name: plain(field.get(document.training))
        for field in present(document.family.public_fields, document.training)
    }
    for name, part in document.parts.items():
        own = present(part.family.public_fields, part.training)
        fields |= {f"{path_of(name)}{field.name}": plain(field.get(part.training)) for field in own}
    same(fields)


def same(values: Mapping[str, Any]) -> None:
    """Make sure that every rank gave the same JSON values; a name that a rank does not give is None there.

    Raises:
        RankError: They differ; the problems name the values and the ranks, the first of many.
    """
    first, *others = [json.loads(text) for text in gather_texts(json.dumps(values))]
    problems = [
        Problem("ranks", f"is {quote(first.get(name))} on rank 0 and {quote(other.get(name))} on rank {number}", name)
        for number, other in enumerate(others, 1)
        for name in first | other
        if other.get(name) != first.get(name)
    ]
    if problems:
        more = len(problems) - _MOST
        rest = [Problem("ranks", f"{more} more values differ between the ranks")] if more > 0 else []
        raise RankError([*problems[:_MOST], *rest])


def log_once(logger: logging.Logger, level: int, message: str, *values: object) -> None:
    """Log on rank 0 alone what is the same on every rank."""
    if rank() == 0:
        logger.log(level, message, *values, stacklevel=2)


def _error_text(error: Exception | None) -> str:
    if error is None:
        return ""
    if not isinstance(error, TttcfgError):
        return json.dumps({"kind": "", "message": f"{type(error).__name__}: {error}"})
    problems = [problem._asdict() for problem in error.problems]
    return json.dumps({"kind": type(error).__name__, "problems": problems})


def _raised(values: Tree, number: int) -> TttcfgError:
    """Return the error of another rank."""
    kinds: dict[str, type[TttcfgError]] = {kind.__name__: kind for kind in _kinds(TttcfgError)}
    if values["kind"] not in kinds:
        reason = values.get("message") or "; ".join(one["message"] for one in values["problems"][:_SHOWN])
        return RankError(Problem("ranks", f"rank {number} failed: {reason}"))
    return kinds[values["kind"]](map(_problem, values["problems"]))


def _kinds(kind: type[TttcfgError]) -> list[type[TttcfgError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _kinds(below))]


def _problem(fields: Tree) -> Problem:
    return Problem(**{**fields, "place": _place(fields["place"])})


def _place(place: Any) -> Place | str:
    return Place(*place) if isinstance(place, list) else place


def _text_of(effective: Effective) -> str:
    tree = {
        "family": family_of(type(effective.training)).name,
        "document": canonical_bytes(document_tree(as_document(effective))).decode(),
        "ttt": None if effective.ttt is None else effective.ttt.model_dump(mode="json"),
        "origins": {
            name: [[one.source, plain(one.value), one.place] for one in given]
            for name, given in effective.origins.items()
        },
        "findings": [one._asdict() for one in effective.findings],
        "digest": effective.digest,
        "provenance": effective.provenance,
    }
    return json.dumps(tree)


def _understood(tree: Tree, given: Family | None) -> Effective:
    """Return what rank 0 resolved, having understood the same."""
    family = given or family_named(tree["family"])
    document = parse_document(tree["document"].encode(), family, "rank 0")
    ttt = None
    if family.layers is not None and tree["ttt"] is not None:
        ttt = family.layers.model_validate_json(json.dumps(tree["ttt"]))
    origins = {
        name: tuple(Origin(source, value, _place(place)) for source, value, place in given)
        for name, given in tree["origins"].items()
    }
    findings = tuple(_problem(one) for one in tree["findings"])
    effective = Effective(
        document.training,
        ttt,
        Origins(origins),
        findings,
        whole_digest(document.training, family, document.parts),
        tree["provenance"],
        parts=document.parts,
        passed_through=document.passed_through,
    )
    if effective.digest != tree["digest"] or json.loads(_text_of(effective)) != tree:
        message, advice = "this rank reads another configuration than rank 0", "run the same version of tttcfg on both"
        raise RankError(Problem("ranks", message, advice=advice))
    return effective
