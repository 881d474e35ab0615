"""The layout of a checkpoint folder, and finding it from any path into it.

run_dir/checkpoints/checkpoint_001000/consolidated/{consolidated,lora}.safetensors, other programs' model.safetensors
                                                   config.json
                                                   training_config.json
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, overload

from tttcfg.documents.document import DOCUMENT_NAME, read_unplaced
from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.family import Family
from tttcfg.files.storage import read_bytes, remote
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
    training_config.json is passed over. A checkpoint folder leads to its `consolidated`, a file to its folder. A
    config.json alone makes a folder a checkpoint only if there is no other in it and it is not a step's folder. A URL
    leads to weights or to a checkpoint folder; folders cannot be listed there, so a run folder's URL is not enough.

    Args:
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
    start = given.rstrip("/") or "/"
    try:
        if not stat.S_ISDIR(os.stat(start).st_mode):
            return _around(start, names)
        if found := _in_run(start, names):
            return found
    except FileNotFoundError:
        raise InputError(Problem("not_found", "there is no such checkpoint", place=Place(start))) from None
    except OSError as error:
        raise InputError(Problem("unreadable", f"cannot be read: {error.strerror}", place=Place(start))) from None
    except ValueError as error:
        raise error if isinstance(error, InputError) else _no_path(error) from None
    message = f"holds no checkpoint: no {CONSOLIDATED} folder, no checkpoint_NNNNNN folder, none of {_wanted(names)}"
    raise InputError(Problem("not_found", message, place=Place(start)))


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


def _no_path(error: ValueError) -> InputError:
    return InputError(Problem("not_found", f"is no path: {error}", "checkpoint"))


def _around(file: str, names: Names) -> Checkpoint:
    folder = os.path.dirname(file) or "."
    if file.endswith(_WEIGHT_ENDINGS):
        return _in_folder(folder, names, weights=file)
    found = _whole(folder, names) or _bare(folder, names)
    if found is None:
        message = "is no file of a checkpoint; give the checkpoint's folder, or a file in it"
        raise InputError(Problem("not_found", message, place=Place(file)))
    return found


def _in_run(folder: str, names: Names) -> Checkpoint | None:
    found = _whole(folder, names) or _newest(os.path.join(folder, _STEPS), names)
    return found or _newest(folder, names) or _bare(folder, names)


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
        if not _STEP.fullmatch(os.path.basename(step)):
            continue
        raise InputError(Problem("not_found", f"{_HOLLOW}: none of {_wanted(names)}", place=Place(folder)))
    if any(os.path.isdir(os.path.join(folder, name)) for name in (CONSOLIDATED, _STEPS)):
        return None
    return _in_folder(folder, names)


@overload
def _in_folder(folder: str, names: Names, *, weights: str) -> Checkpoint: ...
@overload
def _in_folder(folder: str, names: Names, *, bare: bool = True) -> Checkpoint | None: ...
def _in_folder(folder: str, names: Names, *, bare: bool = True, weights: str = "") -> Checkpoint | None:
    """Return the checkpoint whose files lie in `folder` itself, or None; `bare` lets config.json alone do."""
    document, model_config, *known = (
        path if os.path.lexists(path) else None
        for path in (os.path.join(folder, name) for name in (DOCUMENT_NAME, MODEL_CONFIG_NAME, *names))
    )
    tensors = (weights,) if weights else tuple(filter(None, known))
    if document or tensors or (bare and model_config):
        return Checkpoint(folder, document, model_config, tensors)
    return None


def _newest(folder: str, names: Names) -> Checkpoint | None:
    """Return the checkpoint of the highest step in `folder` that has one; None where there are no steps.

    Raises:
        InputError: None of the steps has one.
    """
    if not os.path.isdir(folder):
        return None
    steps = [(int(match.group(1)), name) for name in os.listdir(folder) if (match := _STEP.fullmatch(name))]
    hollow: list[str] = []
    for _, name in sorted(steps, reverse=True):
        if found := _whole(os.path.join(folder, name), names):
            message = f"{_HOLLOW}: it is passed over, and {name} is taken"
            places = (Place(os.path.join(folder, one)) for one in hollow)
            return found._replace(passed_over=tuple(Problem("not_found", message, place=one) for one in places))
        hollow.append(name)
    if hollow:
        message = f"holds no checkpoint: of its steps ({', '.join(hollow[:3])}), none has weights or {DOCUMENT_NAME}"
        raise InputError(Problem("not_found", message, place=Place(folder)))
    return None


class _Lenient(dict[str, Any]):
    """Another program's settings, of which those alone have to be sound that are asked for."""

    def __init__(self, values: Mapping[str, Any], problems: Iterable[Problem]) -> None:
        super().__init__(values)
        self.problems: dict[str, list[Problem]] = {}
        for problem in problems:
            for key in (key for key in values if key and f"{problem.key}.".startswith(f"{key}.")):
                self.problems.setdefault(key, []).append(problem)

    def __getitem__(self, key: str) -> Any:
        self.check(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.check(key)
        return super().get(key, default)

    def check(self, key: str) -> None:
        if key in self.problems:
            raise InputError(self.problems[key])


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
