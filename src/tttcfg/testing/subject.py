"""The family that the laws check, and how its documents are drawn."""

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
from tttcfg.schema.fragments import body_of
from tttcfg.schema.paths import Tree, copied, get_path
from tttcfg.schema_tools.check import check
from tttcfg.schema_tools.layout import History
from tttcfg.testing.values import Settled, Strategies, documents

Effects = Callable[[Tree], Mapping[str, Any]]


class Applied(NamedTuple):
    """One operation on one document.

    Attributes:
        renamed: The new paths of fields that earlier operations of its step renamed.
        value: The value at its path before it.
        kept: A copy of `value`, made before it.
        new: The value at its path after it.
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
    """A family, its golden documents, and the options for drawing documents."""

    family: Family
    golden: Path
    overrides: Callable[[int], Strategies]
    settled: Settled | None
    effects: Mapping[int, Effects]
    examples: int

    @cached_property
    def problems(self) -> list[Problem]:
        """The problems that `tttcfg schema check` reports."""
        return check(History(self.family, self.golden))

    def chain(self) -> Chain:
        """Return the chain; skip the test where it is broken, as a law reports."""
        try:
            return self.family.chain
        except ValueError as error:
            pytest.skip(f"needs one line of steps: {error}")

    def golden_document(self, version: int) -> Tree:
        """Return the golden document of a version; skip the test where it is missing, as a law reports."""
        path = self.golden / f"v{version:04d}.json"
        if not path.is_file():
            pytest.skip(f"needs {path}")
        tree: Tree = json.loads(path.read_bytes())
        return tree

    def documents(self, version: int) -> st.SearchStrategy[Tree]:
        """Return the strategy for documents of a version; skip the test where chain or schema is missing."""
        self.chain()
        for needed in (version, self.family.head):
            if not files(self.family.schemas).joinpath(schema_name(needed)).is_file():
                pytest.skip(f"needs {schema_name(needed)}")
        return documents(self.family, version, self.overrides(version), self.settled)

    def made_consistent(self, document: Tree) -> Tree:
        return document if self.settled is None else self.settled(document)

    def settings(self) -> hypothesis.settings:
        check = hypothesis.HealthCheck
        slow = [check.too_slow, check.data_too_large, check.large_base_example]
        return hypothesis.settings(max_examples=self.examples, deadline=None, suppress_health_check=slow)

    def for_every_document(self, version: int, law: Callable[[Tree], None]) -> None:
        """Check a law on the golden document of a version, where there is one, and on drawn documents."""
        drawn = self.documents(version)
        if (self.golden / f"v{version:04d}.json").is_file():
            law(self.golden_document(version))

        @self.settings()
        @hypothesis.given(drawn)
        def holds(document: Tree) -> None:
            law(document)

        holds()

    def operations(self, document: Tree, version: int) -> Iterator[Applied]:
        """Upgrade a document of `version` operation by operation."""
        tree, record = copied(body_of(document)), Record()
        for step in self.family.chain.migrations[version + 1 :]:
            renamed: frozenset[str] = frozenset()
            for operation in step.operations:
                value = get_path(tree, operation.parts)
                kept = copy.deepcopy(value)
                operation.up(tree, record, None)
                yield Applied(operation, renamed, value, kept, get_path(tree, operation.parts), tree)
                renamed |= {new for new in operation.spellings().values() if new}
