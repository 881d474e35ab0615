"""Going between versions that both have a number: nothing of the record is lost on the way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.extensions import write_extension
from tests.testing.trainer import GOLDEN, OPERATIONS, write_step, write_trainer
from tttcfg.documents.downgrade import migrate_tree
from tttcfg.documents.save import canonical_bytes
from tttcfg.errors import LossError
from tttcfg.family import extension
from tttcfg.family.family import Family

EARLY = [*OPERATIONS[1], OPERATIONS[2][0]]
"""Version 1 removes hub.retries already."""
LATE = [OPERATIONS[2][1], 'Convert("hub.url", lambda url: url.replace("https", "http"), "plain")']
"""Version 2 changes another field of the same section."""

MOVED = """
from tttcfg.schema.fields import Role, Section, setting


class Deep(Section):
    rate: float = setting(0.5, role=Role.TRAINING, unit="dimensionless", description="Rate.")


class New(Section):
    kind: int = setting(1, role=Role.TRAINING, unit="dimensionless", description="Kind.")
    deep: Deep = Deep()

"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trainer(tmp_path)
    return tmp_path


def family_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.syspath_prepend(str(folder))
    found: Family = import_module("trainer.config").FAMILY
    return found


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("trainer", "noise")]:
        del sys.modules[name]


def golden(version: int) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(GOLDEN[f"v{version:04d}"])
    return tree


def test_an_older_version_gets_its_number_and_its_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = family_in(folder, monkeypatch)
    document = golden(1) | {"provenance": {"written_by": "tttcfg 0.1", "removed": {"why": {"old": 1}}}}
    older = migrate_tree(migrate_tree(document, family), family, to=1)
    assert older == document


def test_part_of_the_way_is_the_whole_way_and_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = family_in(folder, monkeypatch)
    part = migrate_tree(golden(0), family, to=1)
    assert (part["schema_version"], part["provenance"]["migrated_from"]) == (1, 0)
    assert migrate_tree(migrate_tree(golden(0), family), family, to=1) == part
    assert migrate_tree(part, family) == migrate_tree(golden(0), family)
    assert migrate_tree(part, family, to=1) == part


def test_a_digest_is_renewed_where_an_upgrade_changes_the_section(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the operations do to a section is no edit."""
    write_step(folder, 1, EARLY)
    write_step(folder, 2, LATE)
    family = family_in(folder, monkeypatch)
    part = migrate_tree(golden(0), family, to=1)
    head = migrate_tree(part, family)
    assert head["hub"]["url"] == "http://old"
    assert head["provenance"]["section_digests"] != part["provenance"]["section_digests"]
    assert migrate_tree(head, family, to=0) == golden(0)


def test_an_edit_between_two_upgrades_is_not_forgotten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_step(folder, 1, EARLY)
    write_step(folder, 2, LATE)
    family = family_in(folder, monkeypatch)
    part = migrate_tree(golden(0), family, to=1)
    part["hub"]["url"] = "https://new"
    head = migrate_tree(part, family)
    with pytest.raises(LossError, match=r"hub\.retries: was removed, and hub was edited since"):
        migrate_tree(head, family, to=0)
    assert "retries" not in migrate_tree(head, family, to=0, allow_loss=True)["hub"]
    assert migrate_tree(head, family, to=1) == part


def test_the_section_of_an_extension_goes_along_where_versions_have_numbers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not installed is passed through; a version without a number has no place for it."""
    family = family_in(folder, monkeypatch)
    document = golden(1) | {"extensions": {"unheard_of": {"schema_version": 3, "a": [1.50]}}}
    head = json.loads(canonical_bytes(migrate_tree(document, family)))
    older = json.loads(canonical_bytes(migrate_tree(head, family, to=1)))
    assert older == document
    with pytest.raises(LossError, match=r"extensions\.unheard_of: version 0 has no extensions"):
        migrate_tree(head, family, to=0)
    assert "extensions" not in migrate_tree(head, family, to=0, allow_loss=True)


def test_an_extension_that_needs_a_later_version_does_not_go_along(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_extension(folder)
    family = family_in(folder, monkeypatch)
    noise = replace(import_module("noise.config").EXTENSION, extends=family.name, needs=2)
    monkeypatch.setattr(extension, "_REGISTERED", {(family.name, "noise"): noise})
    head = migrate_tree({**golden(2), "extensions": {"noise": {"schema_version": 1, "dropout": 0.5}}}, family)
    with pytest.raises(LossError, match=r"extensions\.noise: needs version 2 or later"):
        migrate_tree(head, family, to=1)
    assert "extensions" not in migrate_tree(head, family, to=1, allow_loss=True)


def test_what_was_filled_and_then_removed_is_recorded_as_filled_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value was filled in, and the older document records that, as does the one upgraded to that version."""
    write_step(folder, 2, [*OPERATIONS[2], 'Remove("dropout", "nothing read it")'])
    config = folder / "trainer" / "config.py"
    lines = config.read_text("utf-8").splitlines(keepends=True)
    config.write_text("".join(line for line in lines if "dropout" not in line), "utf-8")
    family = family_in(folder, monkeypatch)
    part = migrate_tree(golden(0), family, to=1)
    assert part["provenance"]["filled"]["there was no dropout"] == {"dropout": 0.0}
    assert migrate_tree(migrate_tree(golden(0), family), family, to=1) == part


def test_a_section_that_moved_is_no_loss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stayed behind of it holds nothing, however deep: an edit of a field that moved makes nothing stale."""
    fields = ('Declare("old.kind", integer(1))', 'Declare("old.deep.rate", number(0.5))')
    moves = ('Rename("old.kind", "new.kind", "m")', 'Rename("old.deep.rate", "new.deep.rate", "m")')
    write_step(folder, 0, [*OPERATIONS[0], *fields])
    write_step(folder, 1, [*OPERATIONS[1], *moves, 'Remove("old", "m")'])
    config = folder / "trainer" / "config.py"
    config.write_text(MOVED + config.read_text("utf-8").replace("    hub: Hub", "    new: New = New()\n    hub: Hub"))
    family = family_in(folder, monkeypatch)
    document = {**golden(0), "old": {"kind": 3, "deep": {"rate": 0.25}}}
    head = migrate_tree(document, family)
    assert migrate_tree(head, family, to=0) == document
    head["new"]["deep"]["rate"] = 0.75
    assert migrate_tree(head, family, to=0) == {**document, "old": {"kind": 3, "deep": {"rate": 0.75}}}
