"""A family whose laws are held, and how its documents are drawn."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import hypothesis.strategies as st
import pytest

from tttcfg.errors import Problem
from tttcfg.family.family import Family, schema_name
from tttcfg.migration.chain import Chain
from tttcfg.migration.operations import Operation
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import RESERVED
from tttcfg.schema.paths import Tree, copied, get_path
from tttcfg.schema_tools.check import check
from tttcfg.testing.documents import Settled, documents
from tttcfg.testing.values import Overrides

Effects = Callable[[Tree], Mapping[str, Any]]


class Applied(NamedTuple):
    """One operation on one document.

    Attributes:
        renamed: The paths that earlier operations of its step brought values to.
        value: What stood at its path.
        kept: A copy of that, made before.
        new: What stands there after it.
        tree: The document after it.
    """

    operation: Operation
    renamed: frozenset[str]
    value: Any
    kept: Any
    new: Any
    tree: Tree


@dataclass(frozen=True, eq=False)
class Subject:
    """A family, its golden documents, and what it says of how documents are drawn."""

    family: Family
    golden: Path
    overrides: Callable[[int], Overrides]
    settled: Settled | None
    effects: Mapping[int, Effects]
    examples: int

    @cached_property
    def problems(self) -> list[Problem]:
        """What `tttcfg schema check` finds."""
        return check(self.family, self.golden)

    def chain(self) -> Chain:
        """Return the chain; where there is none, one law says so, and the others wait for it."""
        try:
            return self.family.chain
        except ValueError as error:
            pytest.skip(f"not before there is one line of steps: {error}")

    def golden_document(self, version: int) -> Tree:
        """Return the golden document of a version; where there is none, one law says so."""
        path = self.golden / f"v{version:04d}.json"
        if not path.is_file():
            pytest.skip(f"not before there is {path}")
        tree: Tree = json.loads(path.read_bytes())
        return tree

    def documents(self, version: int) -> st.SearchStrategy[Tree]:
        """Return how documents of a version are drawn; where it has no frozen schema, one law says so."""
        for needed in (version, self.family.head):
            if not files(self.family.schemas).joinpath(schema_name(needed)).is_file():
                pytest.skip(f"not before there is {schema_name(needed)}")
        return documents(self.family, version, self.overrides(version), self.settled)

    def settle(self, document: Tree) -> Tree:
        return document if self.settled is None else self.settled(document)

    def settings(self) -> hypothesis.settings:
        check = hypothesis.HealthCheck
        slow = [check.too_slow, check.data_too_large, check.large_base_example]
        return hypothesis.settings(max_examples=self.examples, deadline=None, suppress_health_check=slow)

    def for_every_document(self, version: int, law: Callable[[Tree], None]) -> None:
        """Hold a law against the golden document of a version, where there is one, and against drawn ones."""
        if (self.golden / f"v{version:04d}.json").is_file():
            law(self.golden_document(version))

        @self.settings()
        @hypothesis.given(self.documents(version))
        def holds(document: Tree) -> None:
            law(document)

        holds()

    def operations(self, document: Tree, version: int) -> Iterator[Applied]:
        """Upgrade a document of `version` operation by operation."""
        tree, record = body_of(document), Record()
        for step in self.family.chain.migrations[version + 1 :]:
            renamed: frozenset[str] = frozenset()
            for operation in step.operations:
                value = get_path(tree, operation.parts)
                kept = copy.deepcopy(value)
                operation.up(tree, record, None)
                yield Applied(operation, renamed, value, kept, get_path(tree, operation.parts), tree)
                renamed |= {new for new in operation.spellings().values() if new}


def body_of(document: Tree) -> Tree:
    """Return a copy of a document's fields."""
    return {key: copied(value) for key, value in document.items() if key not in RESERVED}
