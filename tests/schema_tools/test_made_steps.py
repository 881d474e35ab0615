"""Whatever differs between two schemas: the step that is made turns the one into the other, and their documents too."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.schema_tools.test_codegen import read_back
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Convert, Declare
from tttcfg.migration.record import Record
from tttcfg.schema.containment import accepts
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
    whole_default,
)
from tttcfg.schema.paths import MISSING, copied, get_path, pop_path, prune, split
from tttcfg.schema_tools.answers import Absent, Answers
from tttcfg.schema_tools.changes import changes
from tttcfg.schema_tools.codegen import migration_source
from tttcfg.schema_tools.frozen import made_by
from tttcfg.schema_tools.plan import Plan, plan
from tttcfg.schema_tools.within import with_inside_names

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


def variants(**own: dict[str, Fragment]) -> Fragment:
    """Return the fragment of a field that holds one of several variants, the first one by default."""
    sections = [
        section({"name": {"const": name, "default": name, "type": "string"}, **fields}) for name, fields in own.items()
    ]
    key = {"propertyName": "name"}
    return {"default": {"name": next(iter(own))}, "discriminator": key, "oneOf": sections}


HOLDING: tuple[Fragment, ...] = (
    {"default": [], "type": "array", "items": section({"n": integer(1)})},
    {"default": [], "type": "array", "items": section({"n": number(0.5), "m": boolean(True)})},
    {"default": [], "type": "array", "maxItems": 3, "items": section({"m": boolean(True)})},
    variants(x={"n": integer(1)}, y={}),
    variants(x={"n": integer(1), "m": boolean(False)}, y={"n": number(0.5)}, z={"m": boolean(True)}),
    variants(z={"k": variants(x={"n": integer(1)}, y={}), "n": integer(2)}, y={}),
    variants(z={"k": variants(y={"n": integer(1)}, z={}), "n": integer(2)}, y={}),
    nullable(variants(x={"n": integer(1)}, y={"n": integer(1)})),
)
SHAPES += HOLDING
fields = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(SHAPES), min_size=1)


def schema_of(fragments: dict[str, Fragment]) -> Fragment:
    whole = section()
    for path, fragment in fragments.items():
        properties_at(whole, split(path))[split(path)[-1]] = fragment
    return whole


def answered(old: dict[str, Fragment], new: dict[str, Fragment], renaming: bool) -> Plan:
    """Return the plan with an answer to all that is asked, and with a rename of the first field that is gone."""
    gone, added = [path for path in old if path not in new], [path for path in new if path not in old]
    answers = Answers(renamed=dict(zip(gone[:1], added[:1], strict=False)) if renaming else {})
    now = with_inside_names(new)
    while (planned := plan(old, new, answers, "what changes")).missing:
        absent = {one.key for one in planned.missing if one.code == "absent"} - answers.absent.keys()
        gone_ones = {one.key for one in planned.missing if one.code == "reason"} - answers.reasons.keys()
        assert absent or gone_ones, planned.missing
        answers = Answers(
            {**answers.absent, **{path: Absent(whole_default(now[path]), "as it was") for path in absent}},
            {**answers.reasons, **dict.fromkeys(gone_ones, "gone")},
            answers.renamed,
        )
    return planned


@given(old=fields, new=fields, renaming=st.booleans())
def test_a_made_step_leads_from_one_schema_to_the_other(
    old: dict[str, Fragment], new: dict[str, Fragment], renaming: bool
) -> None:
    planned = answered(old, new, renaming)
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
    planned = answered(old, new, renaming)
    chain = Chain([first, Migration(1, "2026-01-02", "", "", planned.operations)])
    document = chain.template(0)
    upgraded: dict[str, Any] = chain.up(document, 0, Record())
    unwritten = {one.path for whole in planned.operations for one in whole.singly() if isinstance(one, Convert)}
    for path, fragment in new.items():
        value = get_path(upgraded, split(path), MISSING)
        assert value is not MISSING
        assert accepts(fragment, value) or any(one.startswith(path) for one in unwritten)
    left = copied(upgraded)
    for path in map(split, new):
        pop_path(left, path)
        prune(left, path)
    assert left == {}
    assert document == chain.template(0)
