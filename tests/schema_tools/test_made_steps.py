"""Whatever differs between two schemas: the step that is made turns the one into the other, and their documents too."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.schema_tools.test_codegen import read_back
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import (
    Fragment,
    bare,
    boolean,
    choice,
    free_form,
    integer,
    nullable,
    number,
    properties_at,
    section,
    text,
)
from tttcfg.schema.paths import split, value_paths
from tttcfg.schema_tools.answers import Absent, Answers
from tttcfg.schema_tools.changes import changes
from tttcfg.schema_tools.codegen import migration_source
from tttcfg.schema_tools.frozen import made_by
from tttcfg.schema_tools.plan import plan

PATHS = ("a", "b", "s.c", "s.d", "s.t.e", "u.f")
SHAPES: tuple[Fragment, ...] = (
    boolean(True),
    integer(1, minimum=0),
    integer(2, minimum=1),
    nullable(integer(None, minimum=1)),
    number(0.5),
    text('it\'s "so"'),
    choice("x", "x", "y"),
    free_form(),
)
fields = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(SHAPES), min_size=1)


def schema_of(fragments: dict[str, Fragment]) -> Fragment:
    whole = section()
    for path, fragment in fragments.items():
        properties_at(whole, split(path))[split(path)[-1]] = fragment
    return whole


def answers_for(old: dict[str, Fragment], new: dict[str, Fragment], renaming: bool) -> Answers:
    gone, added = [path for path in old if path not in new], [path for path in new if path not in old]
    renamed = dict(zip(gone[:1], added[:1], strict=False)) if renaming else {}
    absent = {path: Absent(new[path]["default"], "as it was") for path in added if path not in renamed.values()}
    return Answers(absent, {path: "gone" for path in gone if path not in renamed}, renamed)


@given(old=fields, new=fields, renaming=st.booleans())
def test_a_made_step_leads_from_one_schema_to_the_other(
    old: dict[str, Fragment], new: dict[str, Fragment], renaming: bool
) -> None:
    planned = plan(old, new, answers_for(old, new, renaming), "what changes")
    assert planned.missing == ()
    step = read_back(migration_source(Migration(1, "2026-01-01", "what changes", "here", planned.operations)))
    assert {path: bare(fragment) for path, fragment in made_by(step, schema_of(old)).items()} == {
        path: bare(fragment) for path, fragment in new.items()
    }
    assert bool(step.operations) == bool(changes(old, new))


@given(old=fields, new=fields, renaming=st.booleans())
def test_a_made_step_leaves_documents_with_the_new_fields_and_no_others(
    old: dict[str, Fragment], new: dict[str, Fragment], renaming: bool
) -> None:
    first = Migration(0, "2026-01-01", "", "", tuple(Declare(path, fragment) for path, fragment in old.items()))
    planned = plan(old, new, answers_for(old, new, renaming), "what changes")
    chain = Chain([first, Migration(1, "2026-01-02", "", "", planned.operations)])
    document = chain.template(0)
    upgraded: dict[str, Any] = chain.up(document, 0, Record())
    assert {".".join(path) for path in value_paths(upgraded)} == set(new)
    assert document == chain.template(0)
