"""Documents of any version of a family, drawn from its frozen schemas."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import hypothesis.strategies as st
from jsonschema import Draft202012Validator

from tttcfg.family.extension import KEY as EXTENSIONS
from tttcfg.family.family import Family, frozen_schema
from tttcfg.schema.paths import Tree
from tttcfg.testing.values import Overrides, names, plain_values, values

Settled = Callable[[Tree], Tree]


@cache
def validator(family: Family, version: int) -> Draft202012Validator:
    """Return what holds a document against the frozen schema of `version`."""
    return Draft202012Validator(frozen_schema(family, version))


def documents(
    family: Family, version: int, overrides: Overrides | None = None, settled: Settled | None = None
) -> st.SearchStrategy[Tree]:
    """Generate complete documents of `version`: every field is there, and the frozen schema allows each draw.

    A schema knows nothing of rules across fields. Where the model has some, say how documents come to obey them, or
    tttcfg will refuse those that do not.

    Args:
        overrides: Strategies for single fields, by their dotted path in that version.
        settled: Returns a drawn document with what the rules across fields demand.

    Raises:
        UnsupportedSchema: The frozen schema has a keyword that nothing here knows how to obey; `overrides` help.
    """
    frozen = frozen_schema(family, version)
    schema = {**frozen, "properties": {key: one for key, one in frozen["properties"].items() if key != EXTENSIONS}}
    reserved = {
        "$schema": st.just(family.schema_id_of(version)),
        "schema_version": st.just(version),
        "provenance": st.dictionaries(names, plain_values, max_size=3),
    }
    drawn = values(schema, overrides={**reserved, **(overrides or {})})
    return drawn if settled is None else drawn.map(settled).map(lambda document: _valid(document, family, version))


def _valid(document: Any, family: Family, version: int) -> Tree:
    for error in validator(family, version).iter_errors(document):
        where = ".".join(map(str, error.absolute_path))
        raise AssertionError(f"what `settled` returns is no document of version {version}: {where}: {error.message}")
    settled: Tree = document
    return settled
