"""The source of a migration's file: read back as the same migration, and formatted as people would."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.launcher import launch
from tttcfg.family.json_schema import model_schema
from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Convert, Declare, Operation, Redeclare, Remove, Rename, Withhold
from tttcfg.schema.fragments import bare, boolean, choice, either, fields_of, free_form, integer, nullable, number, text
from tttcfg.schema_tools.codegen import fragment_source, migration_source, source_digest
from tttcfg.schema_tools.plan import unchanged
from tttcfg.ttt_moshi.family import TTT_MOSHI

HOSTILE = 'quotes " and \' and \\ and \n and \u202e and é and three """'
BETAS = {"default": [0.9, 0.95], "type": "array", "prefixItems": [{"type": "number"}] * 2, "minItems": 2, "maxItems": 2}
OPERATIONS: tuple[Operation, ...] = (
    Rename("a.b", "c.d", HOSTILE),
    Redeclare("c.d", nullable(integer(None, minimum=1)), "why"),
    Remove("e", "why"),
    Withhold("f", "why"),
    Add("g", BETAS, [0.9, 0.95], "a reason that is long enough to push the whole of the operation over a line's end"),
    Add("h", choice("x", "x", HOSTILE), HOSTILE, "why"),
    Declare("i", free_form()),
)


def read_back(source: str) -> Migration:
    names: dict[str, Any] = {}
    exec(compile(source, "step", "exec"), names)  # the file that was just made
    migration: Migration = names["migration"]
    return migration


@pytest.mark.parametrize("summary", ["dropout", 'ends in a quote"', HOSTILE, "x" * 200])
def test_a_step_reads_back_as_it_was(summary: str) -> None:
    migration = Migration(8, "2026-12-01", summary, HOSTILE, OPERATIONS)
    assert read_back(migration_source(migration)) == migration


def test_a_step_without_operations_reads_back() -> None:
    migration = Migration(8, "2026-12-01", "nothing", "it was not recorded", ())
    assert read_back(migration_source(migration)) == migration


def test_the_source_depends_on_the_migration_alone() -> None:
    """So an unchanged file can be distinguished from an edited one."""
    migration = Migration(8, "2026-12-01", "many", "here", OPERATIONS)
    source = migration_source(migration)
    assert migration_source(read_back(source)) == source


def test_a_conversion_is_a_function_to_write() -> None:
    source = migration_source(
        Migration(8, "2026-12-01", "x", "y", (Convert("ttt.layers", unchanged, "why", number(1.0)),))
    )
    assert "def convert_ttt_layers(value: Any) -> Any:" in source
    assert "# EDIT:" in source
    (operation,) = read_back(source).operations
    assert isinstance(operation, Convert)
    assert operation.forward([1]) == [1]
    assert operation.fragment == number(1.0)


@pytest.mark.parametrize(
    ("fragment", "source"),
    [
        (boolean(True), "boolean(True)"),
        (integer(3, minimum=1), "integer(3, minimum=1)"),
        (integer(3, maximum=7), "integer(3, maximum=7)"),
        (number(0.5, exclusiveMinimum=0), "number(0.5, exclusiveMinimum=0)"),
        (text("it's"), 'text("it\'s")'),
        (nullable(text(None, minLength=1)), "nullable(text(None, minLength=1))"),
        (choice("a", "a", "b"), 'choice("a", "a", "b")'),
        (free_form(), "free_form()"),
        (either(1, {"type": "integer"}, {"type": "boolean"}), 'either(1, {"type": "integer"}, {"type": "boolean"})'),
        ({"default": 1, "type": "integer"}, '{"default": 1, "type": "integer"}'),
        ({"type": "integer"}, '{"type": "integer"}'),
    ],
)
def test_shapes_are_written_with_the_words_that_make_them(fragment: dict[str, Any], source: str) -> None:
    assert fragment_source(fragment) == source


@pytest.mark.parametrize("name", sorted(fields_of(model_schema(TTT_MOSHI))))
def test_every_shape_of_the_models_reads_back(name: str) -> None:
    fragment = bare(fields_of(model_schema(TTT_MOSHI))[name])
    migration = Migration(0, "2026-12-01", "x", "y", (Declare(name, fragment),))
    assert read_back(migration_source(migration)) == migration


@pytest.mark.parametrize("width", ["60", "120"])
def test_a_formatter_changes_nothing_that_it_means(tmp_path: Path, width: str) -> None:
    ruff = shutil.which("ruff", path=os.path.dirname(sys.executable)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("needs ruff")
    convert = Convert("ttt.layers", unchanged, "why", number(1.0))
    other = Convert("a", unchanged, "why", text(""))
    for operations in (OPERATIONS[1:5], OPERATIONS, (convert,), (convert, other), ()):
        path = tmp_path / "step.py"
        source = migration_source(Migration(8, "2026-12-01", "many", "here", operations))
        path.write_text(source, "utf-8")
        launch(ruff, "format", "-q", "--line-length", width, "--isolated", path)
        for prose in (False, True):
            formatted = source_digest(path.read_text("utf-8"), "step.py", prose=prose)
            assert formatted == source_digest(source, "step.py", prose=prose)


def test_what_is_edited_means_something_else() -> None:
    source = migration_source(Migration(8, "2026-12-01", "many", "here", OPERATIONS))
    for old, new in (('"e"', '"f"'), ("Remove(", "Withhold("), ("minimum=1", "minimum=2"), ("version=8", "version=9")):
        assert old in source
        assert source_digest(source.replace(old, new, 1), "step.py") != source_digest(source, "step.py")
    commented = source.replace("migration = ", "# by hand\nmigration = ")
    assert source_digest(commented, "step.py") == source_digest(source, "step.py")
    assert source_digest(commented, "step.py", prose=True) != source_digest(source, "step.py", prose=True)


@pytest.mark.parametrize("migration", TTT_MOSHI.chain.migrations, ids=lambda one: f"v{one.version}")
def test_of_a_step_that_was_written_by_hand_there_is_a_source_to_compare(migration: Migration) -> None:
    """With whatever operations: `schema new --amend` detects with it that the step was edited."""
    compile(migration_source(migration), "step.py", "exec")
