"""The life of a checkpoint, step by step, beside plain models of it: saves, edits, migrations and kills."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, cast

import hypothesis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import tttcfg
from tests.builders import alternatives, checkpoint, document_file, write_json
from tests.strategies import complete_documents
from tests.trust.faults import Fault, struck
from tests.trust.history_model import (
    NEWEST,
    Current,
    Values,
    default,
    downgraded,
    flat,
    identified,
    later,
    nested,
    schema,
    upgraded,
)
from tests.trust.merging_model import FIELDS, FOLLOWING, Given, Merged, merged
from tests.trust.test_crashes import litter
from tttcfg.documents.effective import Effective, attempted
from tttcfg.errors import ContradictionError, InputError
from tttcfg.fleet.migrate import MigrationTask, migrate_file
from tttcfg.ttt_moshi.family import TTT_MOSHI

MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""When everything is saved: what a step writes, and in how many calls, does not depend on the clock."""
OLD = 8
"""After so many changes a checkpoint is trained anew."""
POOL = 40
"""Documents that are drawn of each version."""
RESERVED = ("$schema", "schema_version", "provenance")
OLD_FORMS: dict[str, list[Any]] = {
    "ttt.ttt_mlp_layers": [2, 3],
    "ttt.ttt_mlp_expansion_factor": [2.0, 4.0],
    "ttt.use_rope": [True, False],
    "ttt.persistent_states": [True, False],
    "rope_reset_on_new_file": [True, False],
    "ttt.layers": ["2,1", "3"],
    "world_size": [-1],
    "ckpt_freq": [-1],
}
"""What files and overrides of old trainers give, by the name that it had."""
Edit = tuple[tuple[int, int], list[str], list[str]]
Operation = Callable[[], object]


def values_of(name: str) -> list[Any]:
    field = TTT_MOSHI.fields[name]
    return alternatives(field) if name in FOLLOWING else [*alternatives(field), default(name, NEWEST)]


@cache
def documents() -> dict[int, list[Any]]:
    """Return documents by version, drawn once: whole ones would leave a machine no room for many steps.

    They cannot be drawn inside of a test, so what runs a machine calls this before.
    """
    return {version: _drawn(version) for version in range(NEWEST + 1)}


def _drawn(version: int) -> list[Any]:
    found: list[Any] = []

    @settings(max_examples=POOL)
    @hypothesis.given(complete_documents(version))
    def collect(document: Any) -> None:
        found.append(document)

    collect()
    return found


numbers = st.tuples(st.integers(0, NEWEST), st.integers(0, POOL - 1))


def document_of(number: tuple[int, int]) -> Any:
    version, index = number
    return deepcopy(documents()[version][index % len(documents()[version])])


@st.composite
def given(draw: st.DrawFn, most: int, words: tuple[str, ...] = ()) -> list[Given]:
    """Draw some settings, each once, under its name of today or an old one."""
    found: dict[str, Given] = {}
    for _ in range(draw(st.integers(0, most))):
        if draw(st.integers(0, 3)):
            name = draw(st.sampled_from(sorted(FIELDS)))
            values = [*values_of(name), *words]
        else:
            name = draw(st.sampled_from(sorted(OLD_FORMS)))
            values = OLD_FORMS[name]
        one = Given(name, draw(st.sampled_from(values)))
        found.setdefault(one.now, one)
    return list(found.values())


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Draw what a person changes in a document: another one to take values from, their names, and what is deleted."""
    number = draw(numbers)
    names = sorted(one for one in schema(number[0]) if ".mlp" not in one and "_mlp_" not in one)
    changed = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    deleted = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    return number, changed, deleted


faults = st.none() | st.none() | st.builds(Fault, st.sampled_from(("kill", "half")), st.integers(1, 30))
restores = st.sampled_from(("auto", "all", "none"))
files = st.lists(given(4), max_size=2)
overrides = given(4, ("!default", "!config"))
versions = st.sampled_from([*range(NEWEST), NEWEST, NEWEST, NEWEST])


class Life(RuleBasedStateMachine):
    """One checkpoint that is written, edited, migrated and resolved; after every step it is what the models expect."""

    seen: ClassVar[Counter[str]] = Counter()
    """How often each step was done, and how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.run_folder = Path(tempfile.mkdtemp(prefix="soak"))
        self.path = document_file(checkpoint(self.run_folder))
        self.state: Values | Current = {}
        self.kept: list[bytes] = []
        self.age = 0
        self.edited: tuple[bytes, Values | Current] | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.run_folder)

    @property
    def current(self) -> Current:
        return upgraded(self.state) if isinstance(self.state, dict) else self.state

    @initialize(number=numbers)
    def start(self, number: tuple[int, int]) -> None:
        self.train(number)

    @precondition(lambda self: self.age >= OLD)
    @rule(number=numbers)
    def train(self, number: tuple[int, int]) -> None:
        """A trainer of any version saves its configuration."""
        self.seen["trained"] += 1
        document = document_of(number)
        write_json(self.path, document)
        values = flat({key: value for key, value in document.items() if key not in RESERVED})
        self.state = Current(values) if "schema_version" in document else values
        self.age = 0
        self.compare()

    @rule(edit=edits())
    def edit(self, edit: Edit) -> None:
        """A person changes values in the file, and deletes others."""
        number, changed, deleted = edit
        donor = document_of(number)
        document = json.loads(self.path.read_bytes())
        body = flat({key: value for key, value in document.items() if key not in RESERVED})
        other = flat(donor)
        version = NEWEST if isinstance(self.state, Current) else identified(self.state)
        if ("schema_version" in donor) != isinstance(self.state, Current):
            return
        if isinstance(self.state, dict) and identified({**body, **other}) > version:
            return
        before = self.path.read_bytes(), deepcopy(self.state)
        body |= {name: deepcopy(other[name]) for name in changed if name in body}
        gone = [name for name in deleted if name in body and name not in FOLLOWING]
        body = {name: value for name, value in body.items() if name not in gone}
        if isinstance(self.state, Current):
            self.state.values |= body
            for name in gone:
                self.state.values[name] = self.state.trail.assumed[name] = default(name, NEWEST)
        else:
            self.state = body
        self.seen["edited"] += 1
        head = {key: value for key, value in document.items() if key in RESERVED}
        write_json(self.path, {**head, **nested(body)})
        self.compare()
        self.edited = before

    @precondition(lambda self: self.edited is not None)
    @rule()
    def undo(self) -> None:
        """A person takes the last edit back."""
        assert self.edited is not None
        data, self.state = self.edited
        self.path.write_bytes(data)
        self.seen["edited back"] += 1
        self.compare()

    @rule(to=versions, allow_loss=st.booleans(), fault=faults)
    def migrate(self, to: int, allow_loss: bool, fault: Fault | None) -> None:
        expected, losses = self.migrated(to)
        task = MigrationTask(to=to, write=True, allow_loss=allow_loss, fsync=False)
        before = self.path.read_bytes()
        if losses and not allow_loss:
            outcome = migrate_file(str(self.path), task)
            assert outcome.status == "failed"
            found = {problem.key for problem in outcome.problems}
            assert found == losses, f"lost: {found ^ losses}"
            assert self.path.read_bytes() == before
            self.seen["migration refused for its losses"] += 1
            return
        if not self.did(partial(done, str(self.path), task), fault, before):
            return
        if self.path.read_bytes() != before:
            way = "upgraded" if to == NEWEST or not (losses or self.is_newer_than(to)) else "downgraded"
            self.seen[f"{way}, {'with losses' if losses else 'nothing lost'}"] += 1
            self.kept.append(before)
        self.state = expected
        self.compare()

    def is_newer_than(self, version: int) -> bool:
        return isinstance(self.state, Current) or identified(self.state) > version

    def migrated(self, to: int) -> tuple[Values | Current, set[str]]:
        """Return the document in another version, and what is lost of it."""
        if isinstance(self.state, dict) and identified(self.state) <= to < NEWEST:
            return later(self.state, identified(self.state), to), set()
        if to == NEWEST:
            return self.current, set()
        return downgraded(self.current, to)

    @rule(files=files, overrides=overrides, restore=restores, typed=st.booleans())
    def resolve(self, files: list[list[Given]], overrides: list[Given], restore: str, typed: bool) -> None:
        self.resolved(files, overrides, restore, typed)

    def resolved(self, files: list[list[Given]], overrides: list[Given], restore: str, typed: bool) -> Any:
        """Resolve, compare, and return the result with what the model expects; None where there is none to save."""
        expected = merged(self.current, files, overrides, restore)
        configs = []
        for number, file in enumerate(files):
            values = nested({one.name: one.value for one in file})
            configs.append(write_json(self.run_folder / f"{number}.yaml", values) if number else values)
        given = overrides_of(overrides, typed)
        resolving = partial(tttcfg.resolve, self.run_folder, configs, given, restore=cast("Any", restore))
        effective, contradiction = outcome(resolving)
        assert (effective is None) == (expected is None), f"refused: {effective is None}; by the model: {expected}"
        if effective is None or expected is None:
            self.seen["resolving refused"] += 1
            return None
        self.same(effective, expected)
        self.seen["resolved, contradicted" if contradiction else "resolved"] += 1
        return None if contradiction else (effective, expected)

    @staticmethod
    def same(effective: Effective, expected: Merged) -> None:
        agree(effective.settings(), expected.values)
        given = {
            name: [one.source for one in ranked if one.source != "derived"]
            for name, ranked in effective.origins.items()
        }
        agree({name: sources[0] for name, sources in given.items() if sources}, expected.sources)
        for code, names in (("restored", expected.restored), ("deviation", expected.deviating)):
            found = {one.key for one in effective.findings if one.code == code}
            assert found == names, f"{code}: {found} and not {names}"

    @rule(files=files, overrides=overrides, restore=restores, fault=faults)
    def save(self, files: list[list[Given]], overrides: list[Given], restore: str, fault: Fault | None) -> None:
        """What was resolved is saved in the place of what it was resolved from."""
        found = self.resolved(files, overrides, restore, typed=False)
        if found is None:
            return
        effective, expected = found
        current = deepcopy(self.current)
        decided = {name for name, value in expected.values.items() if current.values[name] != value}
        decided |= {name for name, origins in effective.origins.items() if origins[0].source == "override"}
        trail = current.trail
        trail.filled -= decided
        trail.doubted -= decided
        trail.converted = {name: value for name, value in trail.converted.items() if name not in decided}
        trail.assumed = {name: value for name, value in trail.assumed.items() if name not in decided}
        before = self.path.read_bytes()
        if self.did(partial(tttcfg.save_document, self.path, effective, written_at=MOMENT), fault, before):
            self.seen["saved"] += 1
            self.state = Current(expected.values, trail)
            self.compare()

    @precondition(lambda self: self.age >= OLD // 2)
    @rule(overrides=given(6), fault=faults)
    def save_anew(self, overrides: list[Given], fault: Fault | None) -> None:
        """A trainer with tttcfg saves a configuration that comes from no checkpoint."""
        expected = merged(None, [], overrides, "auto")
        effective, contradiction = outcome(partial(tttcfg.resolve, None, None, overrides_of(overrides, typed=False)))
        assert (effective is None) == (expected is None), f"refused: {effective is None}; by the model: {expected}"
        if effective is None or expected is None or contradiction:
            return
        before = self.path.read_bytes()
        if self.did(partial(tttcfg.save_document, self.path, effective.training, written_at=MOMENT), fault, before):
            self.seen["saved anew"] += 1
            self.state = Current(expected.values)
            self.compare()

    def did(self, action: Operation, fault: Fault | None, before: bytes) -> bool:
        """Do what replaces the document, and return whether it was replaced."""
        if fault is None:
            action()
            assert not litter(self.run_folder), litter(self.run_folder)
            return True
        ended = struck(action, fault)
        assert ended.how in ("done", "killed"), ended.message
        replaced = ended.how == "done" or self.path.read_bytes() != before
        if ended.how == "killed":
            self.seen["killed after" if replaced else "killed before"] += 1
        return replaced

    def compare(self) -> None:
        """Compare the document, what is read of it, and what is kept, with the models."""
        self.age += 1
        self.edited = None
        document = json.loads(self.path.read_bytes())
        body = flat({key: value for key, value in document.items() if key not in RESERVED})
        if isinstance(self.state, dict):
            agree(body, self.state)
            assert document.keys().isdisjoint(RESERVED)
        current = self.current
        loaded = tttcfg.load_document(self.path)
        public = {
            name: value for name, value in flat(loaded.training.model_dump(mode="json")).items() if name in FIELDS
        }
        agree(public, current.values)
        record, trail = loaded.record, current.trail
        assert set(record.filled) == trail.filled, trail.filled.symmetric_difference(record.filled)
        assert set(record.doubted) == trail.doubted, trail.doubted.symmetric_difference(record.doubted)
        agree({name: one["value"] for name, one in record.converted.items()}, trail.converted)
        agree({name: one["value"] for name, one in record.removed.items()}, trail.removed)
        agree(dict(loaded.assumed), current.assumed)
        backups = [path.read_bytes() for path in self.path.parent.glob("*.bak")]
        assert all(one in backups for one in self.kept)


def overrides_of(given: list[Given], typed: bool) -> Any:
    """Return overrides as a command line has them, or as a mapping where no word needs that."""
    if not typed and not any(str(one.value).startswith("!") for one in given):
        return {one.name: one.value for one in given}
    return [f"{one.name}={one.value if isinstance(one.value, str) else json.dumps(one.value)}" for one in given]


def outcome(resolve: Callable[[], Effective]) -> tuple[Effective | None, ContradictionError | None]:
    """Return what resolving returns, or what it finds contradicted, with the error; nothing where it is refused."""
    try:
        return attempted(resolve)
    except InputError:
        return None, None


def done(path: str, task: MigrationTask) -> None:
    outcome = migrate_file(path, task)
    if outcome.status == "failed":
        raise InputError(outcome.problems)


def differences(found: Values, expected: Values) -> dict[str, Any]:
    """Return what differs, by name: what was found and what was expected; true is not 1."""
    missing = "(missing)"
    names = {*found, *expected}
    pairs = {name: (found.get(name, missing), expected.get(name, missing)) for name in names}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other or is_switch(one, other)}


def agree(found: Values, expected: Values) -> None:
    unlike = differences(found, expected)
    assert not unlike, f"found and expected differ: {unlike}"


def is_switch(one: Any, other: Any) -> bool:
    return isinstance(one, bool) != isinstance(other, bool)
