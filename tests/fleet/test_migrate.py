"""Migrating many documents: what becomes of each, and what would change."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import pytest

from tests.builders import HEAD, SECRET, SEED_EXCERPT, old_document, write_json
from tttcfg.documents.save import MISSING_FIELDS
from tttcfg.errors import InputError, Place, Problem
from tttcfg.fleet.failures import problems_of
from tttcfg.fleet.migrate import BATCH, MigrationResult, MigrationTask, _interrupts_deferred, migrate_file, migrate_many
from tttcfg.fleet.plan import DocumentChange, changes_digest
from tttcfg.migration.chain import Chain
from tttcfg.migration.record import Record

WRITE = MigrationTask(HEAD, write=True, fsync=False)


def document(folder: Path, values: dict[str, Any]) -> str:
    return str(write_json(folder / "training_config.json", values))


def test_one_that_fails_as_nothing_foresaw_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outcome has the place in the code, and not the text of the error, which may hold a secret."""

    usual = Chain.run

    def upgrade(chain: Chain, values: dict[str, Any], version: int, record: Record) -> None:
        if version == 3:
            raise KeyError(SECRET)
        usual(chain, values, version, record)

    paths = [document(tmp_path / name, old_document(version)) for name, version in (("a", 3), ("b", 4))]
    monkeypatch.setattr(Chain, "run", upgrade)
    failed, other = migrate_many(paths, WRITE, workers=1)
    assert (failed.status, other.status) == ("failed", "migrated")
    assert str(failed.problems[0]).startswith(f"{paths[0]}: failed with a KeyError in {__file__}:")
    assert SECRET not in str(failed)


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("", "a/b.json: is wrong"),
        ("elsewhere", "a/b.json: elsewhere: is wrong"),
        (Place("a/b"), "a/b.json: a/b: is wrong"),
        (Place("a/b.json", 3, 4), "a/b.json:3:4: is wrong"),
        (Place("a/b.json (embedded)"), "a/b.json (embedded): is wrong"),
        (Place("a/b.json.v3.bak"), "a/b.json.v3.bak: is wrong"),
    ],
)
def test_what_failed_for_a_file_names_it(place: Place | str, named: str) -> None:
    [found] = problems_of(InputError(Problem("plugin", "is wrong", place=place)), "a/b.json")
    assert str(found) == named


def test_planning_writes_nothing(tmp_path: Path) -> None:
    path = document(tmp_path, old_document(4))
    before = Path(path).read_bytes()
    outcome = migrate_file(path, MigrationTask(HEAD))
    assert outcome[:4] == (path, "planned", 4, HEAD)
    assert outcome.decided_by == ("ttt.weight_lr_multiplier", "ttt.alpha_lr_multiplier")
    assert (Path(path).read_bytes(), os.listdir(tmp_path)) == (before, ["training_config.json"])


def test_writing_keeps_the_old_file_and_its_mode(tmp_path: Path) -> None:
    path = Path(document(tmp_path, old_document(4)))
    before = path.read_bytes()
    path.chmod(0o640)
    assert migrate_file(str(path), WRITE).status == "migrated"
    assert json.loads(path.read_bytes())["schema_version"] == HEAD
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (tmp_path / "training_config.json.v4.bak").read_bytes() == before
    assert migrate_file(str(path), WRITE).status == "current"


def test_a_link_to_the_document_itself_is_no_copy_of_it(tmp_path: Path) -> None:
    path = Path(document(tmp_path, old_document(3)))
    before, link = path.read_bytes(), path.with_name(f"{path.name}.v3.bak")
    link.symlink_to(path.name)
    assert migrate_file(str(path), WRITE).status == "migrated"
    assert link.is_symlink()
    assert path.with_name(f"{path.name}.v3.1.bak").read_bytes() == before


def test_current_document_is_left_alone(tmp_path: Path) -> None:
    """A document of the wanted version is not even rewritten."""
    path = Path(document(tmp_path, old_document(4)))
    migrate_file(str(path), WRITE)
    stamp = path.stat().st_mtime_ns
    assert migrate_file(str(path), WRITE).status == "current"
    assert path.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "training_config.json:1:"),
        ('{"a": 1}', "not a configuration"),
        ('{"schema_version": 99}', "install a newer one"),
        ('{"seed": 1, "seed": 2}', "seed"),
        ('{"seed": NaN}', "training_config.json:1:"),
        ("", "training_config.json"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "training_config.json"),
    ],
    ids=["syntax", "foreign", "newer", "duplicate", "nan", "empty", "bytes"],
)
def test_failures_leave_the_file_alone(tmp_path: Path, text: str, message: str) -> None:
    """What cannot be migrated stays byte for byte, and the outcome gives the reason."""
    path = tmp_path / "training_config.json"
    path.write_bytes(text.encode("latin-1"))
    outcome = migrate_file(str(path), WRITE)
    assert outcome.status == "failed"
    assert message in str(InputError(outcome.problems))
    assert (path.read_bytes(), os.listdir(tmp_path)) == (text.encode("latin-1"), ["training_config.json"])


def test_what_is_no_file_fails(tmp_path: Path) -> None:
    (tmp_path / "training_config.json").mkdir()
    assert migrate_file(str(tmp_path / "training_config.json"), WRITE).status == "failed"


@pytest.mark.parametrize("workers", [1, 2])
def test_outcomes_come_in_order(tmp_path: Path, workers: int) -> None:
    """With any number of processes the report is in the order of the paths, failures included."""
    paths = [document(tmp_path / str(index), {"batch_size": index % 3}) for index in range(BATCH * 2 + 5)]
    outcomes = list(migrate_many(paths, MigrationTask(HEAD), workers))
    assert [one.path for one in outcomes] == paths
    assert [one.status for one in outcomes] == ["planned" if index % 3 else "failed" for index in range(len(paths))]


def test_paths_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    """A tree of any size is migrated in constant memory: nothing is listed ahead."""
    taken: list[int] = []

    def paths() -> Iterator[str]:
        for index in range(10):
            taken.append(index)
            yield document(tmp_path / str(index), {"batch_size": 1})

    outcome: MigrationResult = next(migrate_many(paths(), MigrationTask(HEAD), 1))
    assert (outcome.status, taken) == ("planned", [0])


def planned(folder: Path, values: dict[str, Any], to: int = HEAD) -> dict[str, DocumentChange]:
    return changes(document(folder, values), to)


def changes(path: str, to: int = HEAD) -> dict[str, DocumentChange]:
    outcome = migrate_file(path, MigrationTask(to, allow_loss=True, explain=True))
    assert outcome.status in ("planned", "current"), outcome.problems
    return {change.key: change for change in outcome.changes}


def test_changes_going_up(tmp_path: Path) -> None:
    """Each kind of change is listed with its reason and both values."""
    values = {"ttt.layers": "1,2", "ttt.target_output_norm": 5.0, "ttt.ttt_layer_context": 100}
    found = planned(tmp_path, old_document(6, values))
    assert found["optim.eps"][:3] == ("added", "optim.eps", 1e-8)
    assert (found["ttt.use_rope"].kind, found["ttt.use_rope"].new) == ("renamed", "ttt.rope_mode")
    assert found["ttt.target_output_norm"][:3] == ("removed", "ttt.target_output_norm", 5.0)
    assert found["ttt.ttt_layer_context"].kind == "doubted"
    assert all(change.reason for change in found.values())


def test_changes_name_what_is_absent_from_the_document(tmp_path: Path) -> None:
    """Settings that are absent from a document's own version are distinguished from new ones."""
    found = planned(tmp_path, SEED_EXCERPT)
    assert found["seed"].reason == MISSING_FIELDS
    assert found["ttt.rope_theta"].reason != MISSING_FIELDS


def test_changes_leave_secrets_out(tmp_path: Path) -> None:
    document_ = old_document(6, {"wandb.key": SECRET}) | {"paper_metrics": {"api_key": SECRET}}
    for to in range(HEAD + 1):
        assert SECRET not in repr(planned(tmp_path, document_, to))


def test_changes_going_down(tmp_path: Path) -> None:
    """Going down, settings that are removed, added or written differently are listed."""
    up = write_json(tmp_path / "training_config.json", old_document(6, {"ttt.layers": "1,2"}))
    migrate_file(str(up), WRITE)
    found = changes(str(up), 6)
    assert (found["ttt.layers"].value, found["ttt.layers"].new) == ([1, 2], "1,2")
    assert found["optim.eps"].kind == "removed"
    assert found["ttt.use_rope"].kind == "added"


def test_what_is_lost_is_a_change_with_its_value(tmp_path: Path) -> None:
    """Under the name that it has today, whatever the version of the document; in place of its removal."""
    path = document(tmp_path, old_document(6, {"ttt.use_rope": True}))
    outcome = migrate_file(path, MigrationTask(4, write=True, fsync=False, allow_loss=True))
    lost = {change.key: change for change in outcome.changes}
    assert {change.kind for change in outcome.changes} == {"lost"}
    assert lost["ttt.rope_mode"].value == "mini_batch"
    assert "would come back as 'legacy'" in lost["ttt.rope_mode"].reason


def test_no_changes_where_nothing_is_to_do(tmp_path: Path) -> None:
    path = document(tmp_path, old_document(6))
    assert changes(path, 6) == {}


def test_changes_are_worked_out_where_they_are_asked_for(tmp_path: Path) -> None:
    path = document(tmp_path, old_document(6))
    assert migrate_file(path, MigrationTask(HEAD)).changes == ()
    planned_, written = (
        migrate_file(path, MigrationTask(HEAD, write, fsync=False, explain=True)) for write in (False, True)
    )
    assert planned_.changes == written.changes != ()


def test_converted_values_are_those_that_are_written(tmp_path: Path) -> None:
    mlp = {"ttt.ttt_mlp_layers": 2, "ttt.ttt_mlp_expansion_factor": 2.0}
    found = planned(tmp_path, old_document(6, {"world_size": -1, **mlp}))
    assert found["world_size"][:3] == ("converted", "world_size", -1)
    assert found["world_size"].new is None
    assert (found["ttt.mlp.expansion_factor"].value, found["ttt.mlp.expansion_factor"].new) == (2.0, 4.0)


def test_different_plans_have_different_digests(tmp_path: Path) -> None:
    """Equal plans have equal digests; another value, even of another type only, makes another one."""
    norms = (5.0, 5.0, 5, 6.0)
    found = [
        planned(tmp_path / str(index), old_document(6, {"ttt.target_output_norm": norm}))
        for index, norm in enumerate(norms)
    ]
    digests = [changes_digest(list(one.values())) for one in found]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_many_documents_take_all_processors_by_default(tmp_path: Path) -> None:
    """More than a few documents are worth starting processes for; the outcomes are the same."""
    paths = [
        str(write_json(tmp_path / f"{index:03d}" / "training_config.json", {"batch_size": 1})) for index in range(70)
    ]
    assert [outcome.path for outcome in migrate_many(iter(paths), MigrationTask(HEAD))] == paths


def _is_blocked() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_processes_that_are_started_never_see_an_interrupt() -> None:
    """Ctrl-C while they start reaches this process alone, once they are there to be ended."""
    blocked: list[bool] = []

    def start() -> None:
        with ExitStack() as started, _interrupts_deferred():
            pool = started.enter_context(Pool(1))
            signal.raise_signal(signal.SIGINT)
            blocked.append(pool.apply(_is_blocked))

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (blocked, _is_blocked()) == ([True], False)
