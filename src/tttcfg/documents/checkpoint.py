"""The layout of a checkpoint folder, and finding it from any path into it.

run_dir/checkpoints/checkpoint_001000/consolidated/{consolidated,lora}.safetensors, other programs' model.safetensors
                                                   config.json
                                                   training_config.json
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tttcfg.documents.document import DOCUMENT_NAME, read_unplaced
from tttcfg.errors import MAX_PROBLEMS, InputError, Place, Problem
from tttcfg.family.family import Family
from tttcfg.files.locks import name_of_replaced
from tttcfg.files.open_folder import OpenFile, OpenFolder, inside, is_open, is_there, open_folder
from tttcfg.files.storage import read_bytes, remote, unreadable
from tttcfg.formats.json import read_json, read_leniently
from tttcfg.formats.text import decode
from tttcfg.urls import Url, address

CONSOLIDATED = "consolidated"
MODEL_CONFIG_NAME = "config.json"
ADAPTERS_NAME = "lora.safetensors"
WEIGHT_NAMES = ("consolidated.safetensors", ADAPTERS_NAME, "model.safetensors", "model.safetensors.index.json")
_HOLLOW = f"holds neither weights nor {DOCUMENT_NAME}"
_WEIGHT_ENDINGS = (".safetensors", ".safetensors.index.json")
_STEPS = "checkpoints"
_STEP = re.compile(r"(?:(?:checkpoint|step|iter)[_-]|epoch=\d+-step=)(\d+)")
"""The name of the folder of one step, as Moshi's trainer, Hugging Face's, Megatron and Lightning call theirs."""
_ATTEMPTS = 100
"""How often it is looked anew where folders get other names meanwhile: each time, a whole checkpoint was saved."""


class Checkpoint(NamedTuple):
    """The files of a checkpoint that tttcfg reads, as paths or URLs.

    Attributes:
        folder: The folder that holds them.
        document: training_config.json; None if there is none.
        model_config: config.json; None if there is none.
        weights: The files with tensors, the one that is read first; only the given one if a file was given.
        unread: At a URL, the files that may not be read, so that it is not known whether they exist.
        passed_over: Newer steps that hold no checkpoint.
    """

    folder: str
    document: str | None
    model_config: str | None
    weights: tuple[str, ...] = ()
    unread: tuple[Problem, ...] = ()
    passed_over: tuple[Problem, ...] = ()


Names = tuple[str, ...]


def weight_names(family: Family) -> Names:
    """Return what files with tensors are called that a configuration of `family` may describe, the first before all."""
    return (*family.weight_names, *WEIGHT_NAMES)


def find_checkpoint(path: str | os.PathLike[str], names: Names = WEIGHT_NAMES) -> Checkpoint:
    """Return the files of the checkpoint that a path leads to.

    A run folder (or its `checkpoints`) leads to its newest checkpoint, by step; a step that has neither weights nor a
    training_config.json is passed over. A checkpoint folder leads to its `consolidated`, a file to its folder. While a
    step's folder is replaced where two names cannot change places at once, it leads to the one that is replaced. A
    config.json alone makes a folder a checkpoint only if there is no other in it and it is not a step's folder. A URL
    leads to weights or to a checkpoint folder; folders cannot be listed there, so a run folder's URL is not enough.

    Args:
        path: A folder, a file in one, or a URL.
        names: The names of files with tensors, the preferred one first.

    Raises:
        InputError: There is no checkpoint; the problem lists what was looked for.
    """
    given = address(path)
    if not given:
        message = "the path is empty; is it from a variable that is not set?"
        raise InputError(Problem("not_found", message, "checkpoint"))
    if isinstance(given, Url):
        return _at_url(given, names)
    if isinstance(given, (OpenFolder, OpenFile)) and is_open(given):
        return _opened(given, names)
    start = given.rstrip("/") or "/"
    try:
        for _ in range(_ATTEMPTS):
            if found := _at_path(start, names):
                return found
        raise FileNotFoundError
    except FileNotFoundError:
        raise InputError(Problem("not_found", "there is no such checkpoint", place=Place(start))) from None
    except OSError as error:
        raise InputError(Problem("unreadable", f"cannot be read: {error.strerror}", place=Place(start))) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(Problem("not_found", f"is no path: {error}", "checkpoint")) from None


def _at_path(start: str, names: Names) -> Checkpoint | None:
    """Return the checkpoint that a path leads to; None where folders got other names while it was looked for.

    Raises:
        FileNotFoundError: There is nothing at this path, or is not any more.
    """
    try:
        mode = os.stat(start).st_mode
    except FileNotFoundError:
        if (aside := _replaced(start)) is None and not os.path.lexists(start):
            raise
        return None if aside is None else _at_path(aside, names)
    if not stat.S_ISDIR(mode):
        return _around(start, names)
    if found := _whole(start, names):
        return found
    for folder in (os.path.join(start, _STEPS), start):
        newest, is_final = _newest(folder, names)
        if newest or not is_final:
            return newest
    if not os.path.lexists(start):
        return None
    if found := _bare(start, names):
        return found
    message = f"holds no checkpoint: no {CONSOLIDATED} folder, no checkpoint_NNNNNN folder, none of {_wanted(names)}"
    raise InputError(Problem("not_found", message, place=Place(start)))


def _replaced(path: str) -> str | None:
    """Return where what is at a path of a step that is being replaced is meanwhile; None where there is no such."""
    step, rest = path, ""
    while not _STEP.fullmatch(os.path.basename(step)):
        step, _, last = step.rpartition("/")
        rest = f"/{last}{rest}"
        if not step:
            return None
    folder, name = os.path.split(step)
    if os.path.lexists(step) or not os.path.isdir(folder or os.curdir):
        return None
    found = (other for other in sorted(os.listdir(folder or os.curdir)) if name_of_replaced(other) == name)
    return next((os.path.join(folder, other) + rest for other in found), None)


def _wanted(names: Names) -> str:
    return ", ".join((DOCUMENT_NAME, MODEL_CONFIG_NAME, *names))


def _at_url(url: Url, names: Names) -> Checkpoint:
    remote(url).check(url)
    named = url.endswith((f"/{DOCUMENT_NAME}", f"/{MODEL_CONFIG_NAME}"))
    if url.endswith(_WEIGHT_ENDINGS):
        return _in_remote_folder(url.beside(""), names, weights=url)
    for folder in (url.beside(""),) if named else (url.inside(""), url.inside(f"{CONSOLIDATED}/")):
        found = _in_remote_folder(folder, names)
        if found.document or found.weights:
            return found
    if named or url.endswith("/"):
        message = f"holds no checkpoint: none of {_wanted(names)}"
        raise InputError(found.unread or Problem("not_found", message, "", Place(url)))
    return _in_remote_folder(url.beside(""), names, weights=url)


def _in_remote_folder(folder: Url, names: Names, weights: Url | None = None) -> Checkpoint:
    """Return what is there of a checkpoint's files, by the query of the URL that was given; nothing is listed."""
    here = remote(folder)
    document, model_config = (folder.beside(name) for name in (DOCUMENT_NAME, MODEL_CONFIG_NAME))
    found, unread = here.existing((document, model_config))
    tensors = (weights,) if weights else ()
    if weights is None:
        known, refused = here.existing(folder.beside(name) for name in names)
        tensors = tuple(known.values())
        unread += [] if tensors else refused
    return Checkpoint(folder.removesuffix("/"), found.get(document), found.get(model_config), tensors, tuple(unread))


@contextlib.contextmanager
def opened_checkpoint(path: str | os.PathLike[str], names: Names = WEIGHT_NAMES) -> Iterator[Checkpoint]:
    """Find a checkpoint as `find_checkpoint` does, and hold all of its files open: those of one save.

    Whatever takes their place meanwhile, what is read under the paths in it is what was there. The paths lead to the
    same checkpoint again; after it is closed, they are paths like any other.

    Raises:
        InputError: There is no checkpoint, or it is replaced all the time.
    """
    given = address(path)
    for _ in range(_ATTEMPTS):
        found = find_checkpoint(given, names)
        if isinstance(given, Url) or is_open(given):
            yield found
            return
        with _open(found.folder) as folder:
            name = os.path.basename(given)
            is_one = found.weights == (given,)
            if folder is not None and (not is_one or name in folder.files):
                again = _opened(folder.known_as(name, given) if is_one else folder, names)
                yield again._replace(passed_over=found.passed_over)
                return
    raise InputError(replaced_too_fast(given))


def replaced_too_fast(path: str | os.PathLike[str]) -> Problem:
    message, advice = "is replaced faster than it can be read", "run again, or give another step"
    return Problem("unreadable", message, place=Place(os.fspath(path)), advice=advice)


def with_weights_of(found: Checkpoint, path: str | os.PathLike[str], family: Family) -> Checkpoint:
    """Return a checkpoint with the weights of a family that is known only now, and may have names of their own.

    Args:
        path: What led to it: weights that are named are those that are read.
    """
    if not family.weight_names or address(path).endswith(_WEIGHT_ENDINGS):
        return found
    return find_checkpoint(found.document or found.folder, weight_names(family))._replace(passed_over=found.passed_over)


@contextlib.contextmanager
def _open(folder: str) -> Iterator[OpenFolder | None]:
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(open_folder(folder))
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise InputError(unreadable(folder, error)) from None
        yield found


def _opened(path: OpenFolder | OpenFile, names: Names) -> Checkpoint:
    """Return the checkpoint of a folder that was found and is open, or of one file of it."""
    found = _around(path, names) if isinstance(path, OpenFile) else _in_folder(path, names)
    if found is None:
        message = f"holds no checkpoint: none of {_wanted(names)}"
        raise InputError(Problem("not_found", message, place=Place(path)))
    return found


def _around(file: str, names: Names) -> Checkpoint:
    folder = file.folder if isinstance(file, OpenFile) and is_open(file) else os.path.dirname(file) or "."
    if file.endswith(_WEIGHT_ENDINGS):
        document, model_config = _existing(folder, (DOCUMENT_NAME, MODEL_CONFIG_NAME))
        return Checkpoint(folder, document, model_config, (file,))
    found = _whole(folder, names) or _bare(folder, names)
    if found is None:
        message = "is not a file of a checkpoint; give the checkpoint's folder, or a file in it"
        raise InputError(Problem("not_found", message, place=Place(file)))
    return found


def _whole(folder: str, names: Names) -> Checkpoint | None:
    """Return the checkpoint that `folder` is beyond doubt, or that its `consolidated` is."""
    return _in_folder(folder, names, bare=False) or _in_folder(os.path.join(folder, CONSOLIDATED), names, bare=False)


def _bare(folder: str, names: Names) -> Checkpoint | None:
    """Return the checkpoint that `folder` is by its config.json alone; a run folder is none, and neither is a step.

    Raises:
        InputError: It is a step's.
    """
    for path in {os.path.abspath(folder), os.path.realpath(folder)}:
        step = path if os.path.basename(path) != CONSOLIDATED else os.path.dirname(path)
        if _STEP.fullmatch(os.path.basename(step)):
            raise InputError(Problem("not_found", f"{_HOLLOW}: none of {_wanted(names)}", place=Place(folder)))
    if any(os.path.isdir(os.path.join(folder, name)) for name in (CONSOLIDATED, _STEPS)):
        return None
    return _in_folder(folder, names)


def _in_folder(folder: str, names: Names, *, bare: bool = True) -> Checkpoint | None:
    """Return the checkpoint whose files lie in `folder` itself, or None; `bare` lets config.json alone do."""
    document, model_config, *known = _existing(folder, (DOCUMENT_NAME, MODEL_CONFIG_NAME, *names))
    tensors = tuple(filter(None, known))
    if document or tensors or (bare and model_config):
        return Checkpoint(folder, document, model_config, tensors)
    return None


def _existing(folder: str, names: Names) -> list[str | None]:
    """Return the path of each file in `folder`, or None where there is none of its name."""
    return [path if is_there(path) else None for path in (inside(folder, name) for name in names)]


def _newest(folder: str, names: Names) -> tuple[Checkpoint | None, bool]:
    """Return the checkpoint of the highest step in `folder` that has one, or None; and whether that is final.

    It is not where a folder that was listed is gone by now.

    Raises:
        InputError: None of the steps has one.
    """
    if not os.path.isdir(folder):
        return None, True
    hollow: list[str] = []
    for name in _steps(os.listdir(folder)):
        if found := _step(os.path.join(folder, name), names):
            return found._replace(passed_over=tuple(_passed_over(folder, hollow, name))), True
        if not os.path.lexists(os.path.join(folder, name)):
            return None, False
        hollow.append(name)
    if hollow:
        message = f"holds no checkpoint: of its steps ({', '.join(hollow[:3])}), none has weights or {DOCUMENT_NAME}"
        raise InputError(Problem("not_found", message, place=Place(folder)))
    return None, True


def _steps(names: list[str]) -> list[str]:
    """Return the folders of steps among names, the newest first; one that is being replaced only where its own is not.

    Such a one is of the same step as its own would be.
    """
    homes = {name: name_of_replaced(name) or name for name in sorted(names)}
    known = {name: step for name, home in homes.items() if (step := _STEP.fullmatch(home))}
    last = [name for name in known if homes[name] == name or homes[name] not in names]
    return sorted(last, key=lambda name: (int(known[name].group(1)), name), reverse=True)


def _step(folder: str, names: Names) -> Checkpoint | None:
    """Return the checkpoint that the folder of a step holds; it is listed first, as thousands may hold none."""
    with contextlib.suppress(OSError):
        if not {CONSOLIDATED, DOCUMENT_NAME, *names}.intersection(os.listdir(folder)):
            return None
    return _whole(folder, names)


def _passed_over(folder: str, hollow: list[str], taken: str) -> Iterator[Problem]:
    message = f"{_HOLLOW}: it is passed over, and {taken} is taken"
    for name in hollow[:MAX_PROBLEMS]:
        yield Problem("not_found", message, place=Place(os.path.join(folder, name)))
    if len(hollow) > MAX_PROBLEMS:
        message = f"{len(hollow) - MAX_PROBLEMS:,} more steps hold neither: they are passed over as well"
        yield Problem("not_found", message, place=Place(folder))


class _Lenient(dict[str, Any]):
    """Another program's settings, of which those alone have to be sound that are asked for."""

    def __init__(self, values: Mapping[str, Any], problems: Iterable[Problem]) -> None:
        super().__init__(values)
        self.problems: dict[str, list[Problem]] = {}
        for problem in problems:
            for key in (key for key in values if key and f"{problem.key}.".startswith(f"{key}.")):
                self.problems.setdefault(key, []).append(problem)

    def __getitem__(self, key: str) -> Any:
        if key in self.problems:
            raise InputError(self.problems[key])
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]


def read_model_config(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return a model's config.json, from a path or a URL.

    It is another program's file, so a bad value in it raises only when it is read from the mapping that is returned.

    Raises:
        InputError: The file cannot be read, or is not a JSON object.
    """
    name = address(path)
    data = read_bytes(name)
    if values := read_unplaced(data):
        return values
    text = decode(data, name)
    try:
        return read_json(text, name).values
    except InputError as error:
        try:
            values = read_leniently(text)
        except (ValueError, RecursionError):
            raise error from None
        if not isinstance(values, dict):
            raise
        return _Lenient(values, error.problems)
