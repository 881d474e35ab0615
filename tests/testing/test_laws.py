"""The laws in a downstream project: they hold for a sound history, and each way to break it breaks its law."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import some
from tests.launcher import python
from tests.testing.trainer import OPERATIONS, amend, broken_laws, write_step, write_trainer

MEANING = "a_migrated_document_means_what_the_old_program_did"


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "project"
    write_trainer(folder)
    return folder


@pytest.fixture
def project(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "project"))


def with_step(version: int, old: str, new: str, helpers: str = "") -> Callable[[Path], None]:
    """Return what changes one operation of a step, and takes over everything that follows from the code."""

    def change(folder: Path) -> None:
        operations = [one.replace(old, new) for one in OPERATIONS[version]]
        assert operations != OPERATIONS[version]
        write_step(folder, version, operations, helpers)
        amend(folder)

    return change


def replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / path).read_text("utf-8")
        assert old in text
        (folder / path).write_text(text.replace(old, new), "utf-8")

    return change


def removed(path: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).unlink()


def second_head(folder: Path) -> None:
    step = folder / "trainer" / "migrations" / "v0001_to_v0002.py"
    shutil.copy(step, step.with_name("v0000_to_v0002.py"))


def released_and_edited(folder: Path) -> None:
    """What was frozen as released is edited afterwards, with everything that follows from it."""
    python("-m", "tttcfg", "schema", "freeze", "--family", "trainer.config:FAMILY", "--golden", "golden", cwd=folder)
    replaced("golden/v0001.json", '"dropout": 0.25', '"dropout": 0.75')(folder)
    replaced("golden/meaning/v0001.json", '"dropout": 0.25', '"dropout": 0.75')(folder)
    amend(folder)


def drifted(folder: Path) -> None:
    replaced("trainer/config.py", "setting(0.1, role=Role.COMP", "setting(0.2, role=Role.COMP")(folder)


WIDER = 'Convert("width", lambda n: n + 2, "wider", None, lambda n: n - 2), '


def unambiguous_and_wider(folder: Path) -> None:
    replaced("trainer/config.py", 'schemas="trainer.schemas"', 'schemas="trainer.schemas", unambiguous=True')(folder)
    with_step(2, 'Remove("hub', f'{WIDER}Remove("hub')(folder)


NOTES = '{"default": {}, "type": "object", "additionalProperties": True}'
CLOCK = """
class Clocked(Operation):
    def up(self, tree, record, partial):
        if tree["width"] % 2:
            tree["width"] = int(time.time() % 1e6) + 1

"""
UNRECORDED = """
class Floored(Operation):
    def up(self, tree, record, partial):
        tree["width"] = tree["width"] // 2 * 2 or 2

"""
FORGETFUL = """
class Moved(Rename):
    def down(self, tree, record):
        return iter(())

"""
STALE = """
class Kept(Remove):
    def up(self, tree, record, partial):
        record.converted[self.path] = {"value": take(tree, self.parts), "reason": "kept"}

    def down(self, tree, record):
        tree["hub"]["retries"] = record.converted.pop(self.path)["value"]
        return iter(())

"""
LEAKY = 'Convert("hub", lambda hub: {**hub, "url": hub["url"].upper()}, "loud")'

BREAKS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "a fill that reads the clock": (
        with_step(1, "0.0, ", "round(time.time() % 1e6 / 1e6, 9), ", "import time\n"),
        {"upgrading_in_another_process_gives_the_same", MEANING, "every_version_has_a_golden_document"},
    ),
    "a clock that the golden documents do not show": (
        with_step(2, 'Remove("hub', 'Clocked("width"), Remove("hub', f"import time\n{CLOCK}"),
        {"upgrading_in_another_process_gives_the_same"},
    ),
    "a fill that depends on the order of a set": (
        with_step(1, '"1", "there was', '",".join({str(one) for one in "123456789"}), "there was'),
        {"upgrading_in_another_process_gives_the_same", MEANING, "every_version_has_a_golden_document"},
    ),
    "an operation that changes the value it is given": (
        with_step(
            1,
            'Rename("lr"',
            'Convert("hub", lambda hub: hub.update(url=hub["url"].lower()) or hub, "lower"), Rename("lr"',
        ),
        {"upgrading_leaves_its_input_as_it_is", "a_round_trip_restores_a_document"},
    ),
    "a gap in the versions": (
        removed("trainer/migrations/v0000_to_v0001.py"),
        {"one_line_of_steps_leads_to_a_single_head", "every_version_has_a_golden_document"},
    ),
    "two heads": (
        second_head,
        {"one_line_of_steps_leads_to_a_single_head", "every_version_has_a_golden_document"},
    ),
    "no golden document": (removed("golden/v0001.json"), {"every_version_has_a_golden_document"}),
    "no meaning": (removed("golden/meaning/v0001.json"), {MEANING}),
    "a meaning under an old name": (replaced("golden/meaning/v0001.json", '"optim.lr"', '"lr"'), {MEANING}),
    "a meaning that leaves open what absence meant": (
        replaced("golden/meaning/v0000.json", ' "dropout": 0.0,', ""),
        {MEANING},
    ),
    "effects that the migrations do not have": (
        replaced("test_schema.py", "examples=4", "examples=4, effects={0: lambda old: {'optim.lr': old['lr'] + 1}}"),
        {"drawn_documents_mean_what_the_old_program_did"},
    ),
    "a frozen schema that was edited": (
        replaced("trainer/schemas/v0001.schema.json", '"default": 64', '"default": 65'),
        {"one_line_of_steps_leads_to_a_single_head"},
    ),
    "a frozen schema that was lost": (
        removed("trainer/schemas/v0001.schema.json"),
        {"every_version_has_a_frozen_schema"},
    ),
    "a golden document that upgrades otherwise": (
        replaced("golden/v0000.upgraded.json", '"width": 32', '"width": 33'),
        {"every_version_has_a_golden_document"},
    ),
    "a model that was changed without a step": (
        drifted,
        {"the_model_matches_the_newest_schema", "every_version_has_a_golden_document"},
    ),
    "a released document that was edited": (released_and_edited, {"what_is_released_has_not_changed"}),
    "a rename that is written as a removal and an addition": (
        with_step(
            1,
            'Rename("lr", "optim.lr", "a section of its own")',
            'Remove("lr", "moved"), Add("optim.lr", number(0.1, minimum=0), 0.1, "new")',
        ),
        {MEANING},
    ),
    "a rename that does not go back": (
        with_step(1, "Rename(", "Moved(", FORGETFUL),
        {"a_round_trip_restores_a_document", "an_edited_document_loses_nothing_silently"},
    ),
    "a conversion that records nothing": (
        with_step(2, 'Remove("hub', 'Floored("width"), Remove("hub', UNRECORDED),
        {"a_round_trip_restores_a_document"},
    ),
    "a default in place of what absence meant": (with_step(1, "0.0, ", "0.1, "), {MEANING}),
    "a conversion under an unchanged name of a family that says that there is none": (
        unambiguous_and_wider,
        {"a_converted_value_is_read_in_one_way", MEANING},
    ),
    "a secret in the record": (
        with_step(1, "Withhold(", f"{LEAKY}, Withhold("),
        {"no_secret_is_written"},
    ),
    "a fill that the newest schema refuses": (
        replaced("trainer/migrations/v0000_to_v0001.py", "0.0, ", "7.0, "),
        {"a_document_upgrades_to_a_valid_current_one"},
    ),
    "a stale value that comes back": (
        with_step(2, 'Remove("hub', 'Kept("hub', STALE),
        {"an_edited_document_loses_nothing_silently"},
    ),
}


def test_the_laws_hold_for_a_sound_history(project: Path) -> None:
    broken, output = broken_laws(project)
    assert not broken, output
    assert "skipped" not in output


def test_the_laws_hold_for_a_conversion_under_an_unchanged_name(project: Path) -> None:
    """Applied twice it gives something else, so that a file without a version is refused."""
    with_step(2, 'Remove("hub', f'{WIDER}Remove("hub')(project)
    replaced("golden/meaning/v0000.json", '"width": 32', '"width": 34')(project)
    replaced("golden/meaning/v0001.json", '{"optim', '{"width": 34, "optim')(project)
    broken, output = broken_laws(project)
    assert not broken, output


OPERATIONS_IMPORT = "from tttcfg.migration.operations import"


def test_the_laws_hold_for_fields_that_merge_and_split_and_for_what_is_computed(project: Path) -> None:
    fields = (
        '    total: Whole = setting(8, role=Role.TRAINING, unit="sequences", description="Of a step.", ge=0)\n'
        '    depth: Whole = setting(9, role=Role.ARCHITECTURE, unit="layers", description="Depth.", ge=0)\n'
        '    low: Whole = setting(0, role=Role.TRAINING, unit="steps", description="From.")\n'
        '    high: Whole = setting(9, role=Role.TRAINING, unit="steps", description="To.")\n'
    )
    replaced("trainer/config.py", "    dropout:", f"{fields}    dropout:")(project)
    old = ("ranks", "batch")
    declared = [f'Declare("{name}", integer(2, minimum=0, maximum=1000))' for name in old]
    two = '"items": {"type": "integer", "maximum": 2**53}, "minItems": 2, "maxItems": 2'
    span = f'{{"default": [0, 9], "type": "array", {two}}}'
    write_step(project, 0, [*OPERATIONS[0], *declared, f'Declare("span", {span})'])
    computed = 'Computed(lambda document: document["width"] // 32, "a 32nd of the width")'
    write_step(
        project, 1, [*OPERATIONS[1], f'Add("depth", integer(9, minimum=0), {computed}, "it followed the width")']
    )
    merge = 'Merge("total", ("ranks", "batch"), lambda ranks, batch: ranks * batch, lambda total: (1, total), '
    split = 'Split("span", ("low", "high"), list, lambda *both: list(both), (integer(0), integer(9)), "clearer")'
    write_step(project, 2, [*OPERATIONS[2], merge + 'integer(8, minimum=0), "the product counts")', split])
    for step in (project / "trainer" / "migrations").glob("v*.py"):
        imported = "from tttcfg.migration.reshaping import Merge, Split\n" + OPERATIONS_IMPORT
        replaced(step.relative_to(project).as_posix(), OPERATIONS_IMPORT, f"{imported} Computed,")(project)
    given = '"ranks": 3, "batch": 4, "span": [2, 5]'
    for version, text in ((0, given), (1, f'{given}, "depth": 1'), (2, '"total": 12, "low": 2, "high": 5, "depth": 1')):
        replaced(f"golden/v{version:04d}.json", '"width": 32,', f'"width": 32, {text},')(project)
    replaced("golden/meaning/v0000.json", '"dropout": 0.0', '"dropout": 0.0, "depth": 1, "total": 12, "high": 5')(
        project
    )
    amend(project)
    broken, output = broken_laws(project)
    assert not broken, output


def test_the_laws_hold_for_a_free_form_field(project: Path) -> None:
    """Whatever its keys are, an empty name or one with a dot too, it is one value."""
    config = project / "trainer" / "config.py"
    field = '    notes: dict[str, Any] = setting({}, role=Role.RUN, unit="dimensionless", description="Anything.")\n'
    text = config.read_text("utf-8").replace("import Annotated\n", "import Annotated, Any\n")
    config.write_text(text.replace("    dropout:", f"{field}    dropout:"), "utf-8")
    write_step(project, 0, [*OPERATIONS[0], f'Declare("notes", {NOTES})'])
    for version in OPERATIONS:
        replaced(f"golden/v{version:04d}.json", '"width": 32,', '"width": 32, "notes": {"": 1, "a.b": {}},')(project)
    amend(project)
    broken, output = broken_laws(project)
    assert not broken, output


@pytest.mark.parametrize("name", some(BREAKS, 3))
def test_what_breaks_a_history_breaks_its_law(name: str, project: Path) -> None:
    change, expected = BREAKS[name]
    change(project)
    broken, output = broken_laws(project)
    assert expected <= broken, output
