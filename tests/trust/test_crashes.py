"""A writer is killed, or refused by the system, at every call by which files are changed: nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tttcfg
from tests.builders import SECRET, checkpoint, document_file, old_document
from tests.trust.faults import KINDS, Kind, ends
from tests.verification.bound import DATA, MODEL, TRAINED, changed, made, sidecar
from tttcfg.errors import ContradictionError, InputError, WriteError
from tttcfg.files.locks import TEMPORARY_SUFFIX, temporary_name
from tttcfg.fleet.migrate import MigrationTask, migrate_file
from tttcfg.fleet.scrub import ScrubTask, scrub_file

OTHER = {"ttt.base_lr": 0.25}


class Command(NamedTuple):
    """What writes in a run's folder, and makes the folder as it is before.

    Attributes:
        keeps: Whether the document that it replaces is kept.
        removes: A text that is in no file afterwards.
    """

    make: Callable[[Path], object]
    run: Callable[[Path], object]
    keeps: bool = True
    removes: str = ""


def old(run: Path) -> Path:
    return checkpoint(run, old_document(3, {"ttt.mini_batch_size": 8}), MODEL)


def migrate(run: Path) -> None:
    outcome = migrate_file(str(document_file(run / "checkpoints" / "checkpoint_001000")), MigrationTask(write=True))
    if outcome.status == "failed":
        raise WriteError(outcome.problems)


def other_settings(run: Path) -> None:
    weights = made(run)
    tttcfg.bind(run)
    shutil.copy(sidecar(weights), run / "own.json")


def bind_others(run: Path) -> None:
    tttcfg.bind(run, changed(run / "own.json", OTHER), embed=True)


def embedded(run: Path) -> None:
    other_settings(run)
    bind_others(run)


def bind_again(run: Path) -> None:
    tttcfg.bind(run, tttcfg.load_document(run / "own.json"), embed=False)


def undocumented(run: Path) -> None:
    sidecar(made(run)).unlink()


def adopt(run: Path) -> None:
    if "training_config.json" not in {path.name for path in run.rglob("*")}:  # it refuses to do so twice
        tttcfg.adopt(run, {"ttt": {"base_lr": 0.5}})


def save(run: Path) -> None:
    inside = run / "checkpoints" / "checkpoint_001000" / "consolidated"
    tttcfg.save_document(inside, tttcfg.resolve(overrides={**TRAINED, **OTHER}).training)


def with_secret(run: Path) -> None:
    """Make a checkpoint with a secret, of an extension that is not installed, in its document and in its weights."""
    weights = made(run)
    path = sidecar(weights)
    tree = {**json.loads(path.read_bytes()), "extensions": {"noise": {"schema_version": 0, "api_token": SECRET}}}
    path.write_text(json.dumps(tree, indent=2) + "\n")
    tttcfg.bind(run, tttcfg.load_document(path), embed=True)


def scrub(run: Path) -> None:
    for path in sorted(run.rglob("*.*")):
        if path.is_file() and not path.name.endswith(TEMPORARY_SUFFIX):
            outcome = scrub_file(str(path), ScrubTask(write=True))
            if outcome.status == "failed":
                raise WriteError(outcome.problems)


COMMANDS = {
    "save": Command(old, save, keeps=False),
    "migrate": Command(old, migrate),
    "adopt": Command(undocumented, adopt),
    "bind": Command(made, tttcfg.bind),
    "bind to others": Command(other_settings, bind_others),
    "bind an embedded one": Command(embedded, bind_again),
    "scrub": Command(with_secret, scrub, keeps=False, removes=SECRET),
}


def contents(run: Path) -> dict[str, bytes]:
    """Return what is in a folder and is not temporary, by path."""
    files = (path for path in run.rglob("*") if path.is_file() and not path.name.endswith(TEMPORARY_SUFFIX))
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def lost(before: dict[str, bytes], after: dict[str, bytes], keeps: bool) -> list[str]:
    """Return what is gone or torn: names of files, and of those whose content is kept nowhere."""
    found = [name for name in before if name not in after]
    for name, data in after.items():
        if name.endswith(".safetensors"):
            found += [name] * (not data.endswith(DATA))
        elif not is_json(data):
            found.append(name)
    if keeps:
        configurations = [settings(data) for data in after.values() if is_json(data)]
        found += [name for name, data in before.items() if is_json(data) and settings(data) not in configurations]
    return found


def is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def settings(data: bytes) -> Any:
    """Return what a document holds, but who wrote it, when, and for which weights: binding rewrites that."""
    values = json.loads(data)
    return {key: value for key, value in values.items() if key not in ("provenance", "schema_version", "$schema")}


def litter(run: Path) -> list[Path]:
    return [path for path in run.rglob("*") if path.name.endswith(TEMPORARY_SUFFIX)]


def states(command: Command, kind: Kind, tmp_path: Path) -> tuple[int, list[Any]]:
    """Try a fault at every call; return how many were tried, and what was lost or left over."""
    template, clean, run = tmp_path / "template", tmp_path / "clean", tmp_path / "run"
    command.make(template)
    shutil.copytree(template, clean)
    command.run(clean)
    before, tried, bad = contents(template), 0, []
    for fault, ended in ends(partial(shutil.copytree, template, run), partial(command.run, run), kind):
        after = contents(run)
        bad += [(fault, name) for name in lost(before, after, command.keeps)]
        if ended.how == "refused" and "cannot be written" in ended.message and len(before) == len(after) == 2:
            bad += [(fault, ended.message)] * (before != after)
        if ended.how == "refused" and kind != "dead":
            bad += [(fault, path) for path in litter(run)]
        bad += [(fault, "contradicted")] * is_contradicted(run)
        command.run(run)
        bad += [(fault, path) for path in litter(run)]
        more = contents(run).keys() ^ contents(clean).keys()  # one backup more is none too many
        bad += [(fault, name) for name in more if name in contents(clean) or not name.endswith(".bak")]
        bad += [(fault, name) for name in lost(before, contents(run), command.keeps)]
        if command.removes:
            bad += [(fault, name) for name, data in contents(run).items() if command.removes.encode() in data]
        shutil.rmtree(run)
        tried += ended.was_struck
    return tried, bad


def is_contradicted(run: Path) -> bool:
    try:
        return tttcfg.verify(run).binding == "contradicted"
    except ContradictionError:
        return True
    except InputError:  # no weights
        return False


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[] if kind == "kill" or name == "migrate" else [pytest.mark.slow])
        for name in COMMANDS
        for kind in KINDS
    ],
)
def test_nothing_is_lost_and_nothing_stays(
    name: str, kind: Kind, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tried, bad = states(COMMANDS[name], kind, tmp_path)
    record_property(f"faults while writing, {kind}", tried)
    assert not bad
    assert tried >= 5


@pytest.mark.parametrize("name", ["bind", "migrate"])
def test_what_a_killed_process_left_goes_where_there_is_nothing_to_write(name: str, tmp_path: Path) -> None:
    run, command = tmp_path / "run", COMMANDS[name]
    command.make(run)
    command.run(run)
    before = contents(run)
    document = next(run.rglob("training_config.json"))
    document.with_name(temporary_name(document.name)).write_bytes(b"half of it")
    command.run(run)
    assert not litter(run)
    assert contents(run) == before


def naive(run: Path) -> None:
    """Write as most programs do."""
    path = document_file(run / "checkpoints" / "checkpoint_001000")
    data = path.read_bytes()
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, json.dumps({**json.loads(data), "schema_version": 4}).encode())
    os.close(descriptor)


def test_a_naive_writer_is_caught(tmp_path: Path) -> None:
    path, found = tmp_path / "run", []
    old(path)
    before = contents(path)
    for _ in ends(partial(old, path), partial(naive, path), "half"):
        found += lost(before, contents(path), keeps=False)
    assert found
