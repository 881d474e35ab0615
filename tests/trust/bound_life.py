"""The life of a checkpoint with weights, beside a plain model of the configuration that they are bound to."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import tttcfg
from tests.builders import write_json
from tests.trust.faults import Fault, struck
from tests.trust.history_model import NEWEST, Values, flat, nested, put
from tests.trust.life import RESERVED, agree, faults, values_of
from tests.trust.merging_model import FIELDS, MODEL_DEFINING
from tests.trust.test_crashes import litter
from tests.verification.bound import DATA, made, sidecar
from tttcfg.documents.effective import attempted
from tttcfg.errors import ContradictionError

MOMENT = {"written_by": "a trainer", "written_at": "2026-01-01T00:00:00Z"}
"""In every document: what is bound, and in how many calls, does not depend on the clock."""
RULED = ("param_dtype", "ttt.kernel", "ttt.tensor_parallel_size", "full_finetuning")
"""What tensors show although it is of no architecture, or another setting may exclude."""
FREE = sorted(name for name, role in FIELDS.items() if role != "architecture" and name not in RULED)


def drawn(names: list[str], least: int = 0) -> st.SearchStrategy[Values]:
    """Return a strategy for some settings with values."""
    one = st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(values_of(name))))
    return st.lists(one, min_size=least, max_size=3).map(dict)


changes = drawn(FREE) | drawn([name for name in FREE if name in MODEL_DEFINING], least=1)


class BoundLife(RuleBasedStateMachine):
    """Weights and a document that are bound, saved, edited, and killed in between.

    Attributes:
        values: What the document has.
        bound: What defines the model in the configuration that the weights are bound to; None where they are to none.
        embedded: What is embedded in the weights: all of it has to be as the document has it.
    """

    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="soak"))
        self.weights = made(self.folder)
        self.path = sidecar(self.weights)
        put_moment(self.path)
        self.values = self.read()
        self.bound: Values | None = None
        self.embedded: Values | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def read(self) -> Values:
        document = json.loads(self.path.read_bytes())
        return flat({key: value for key, value in document.items() if key not in RESERVED})

    @property
    def is_contradicted(self) -> bool:
        return self.bound not in (None, model_defining(self.values)) or self.embedded not in (None, self.values)

    @rule(changed=changes)
    def edit(self, changed: Values) -> None:
        self.write(changed)
        self.seen["edited"] += 1

    def write(self, changed: Values) -> None:
        document = json.loads(self.path.read_bytes())
        for name, value in changed.items():
            put(document, name, value)
        self.path.write_text(json.dumps(document), "utf-8")
        self.values = {**self.values, **changed}

    @precondition(lambda self: self.is_contradicted)
    @rule()
    def edit_back(self) -> None:
        """A person writes what the weights are bound to."""
        self.write(self.embedded or self.bound or {})
        self.seen["edited back"] += 1

    @rule(fault=faults)
    def bind(self, fault: Fault | None) -> None:
        """Bind what is there: refused where that contradicts each other."""
        if self.is_contradicted:
            assert is_refused(partial(tttcfg.bind, self.folder)), "bound although the two contradict each other"
            self.seen["binding refused"] += 1
            return
        if self.did(partial(tttcfg.bind, self.folder), fault, self.values):
            self.bound = model_defining(self.values)
            self.seen["bound"] += 1

    @rule(changed=changes, embed=st.sampled_from((None, True, False)), fault=faults)
    def bind_to(self, changed: Values, embed: bool | None, fault: Fault | None) -> None:
        """Bind to another configuration on purpose."""
        document, wanted = self.other(changed)
        if self.did(partial(tttcfg.bind, self.folder, document, embed=embed), fault, wanted):
            is_embedded = self.embedded is not None if embed is None else embed
            self.values, self.bound, self.embedded = wanted, model_defining(wanted), wanted if is_embedded else None
            self.seen["bound to another"] += 1

    @rule(changed=changes, fault=faults)
    def save(self, changed: Values, fault: Fault | None) -> None:
        """Save another configuration beside the weights: refused where they are bound to another one."""
        document, wanted = self.other(changed)
        if self.bound not in (None, model_defining(wanted)) or self.embedded not in (None, wanted):
            assert is_refused(partial(tttcfg.save_document, self.path, document)), "saved beside another's weights"
            self.seen["saving refused"] += 1
        elif self.did(partial(tttcfg.save_document, self.path, document), fault, wanted):
            self.values = wanted
            self.seen["saved"] += 1

    @rule()
    def resolve(self) -> None:
        effective, contradiction = attempted(partial(tttcfg.resolve, self.folder))
        codes = {problem.code for problem in contradiction.problems} if contradiction else set()
        assert codes == ({"binding"} if self.is_contradicted else set()), (
            f"{codes}, although it is bound to {self.bound}"
        )
        agree(effective.settings(), self.values)
        self.seen["contradicted" if self.is_contradicted else "resolved"] += 1
        assert self.weights.read_bytes().endswith(DATA)

    def other(self, changed: Values) -> tuple[Any, Values]:
        """Return a configuration with other values than the document's, and these by name."""
        wanted = {**self.values, **changed}
        head = {"schema_version": NEWEST, "provenance": MOMENT}
        path = write_json(self.folder / "other.json", {**head, **nested(wanted)})
        return tttcfg.load_document(path), wanted

    def did(self, action: Any, fault: Fault | None, wanted: Values) -> bool:
        """Do what binds or saves, and return whether it came to its end; else take over what it left."""
        if fault is None:
            action()
            assert not litter(self.folder), litter(self.folder)
            return True
        was_contradicted = self.is_contradicted
        ended = struck(action, fault)
        assert ended.how in ("done", "killed"), ended.message
        if ended.how == "done":
            return True
        self.seen["killed"] += 1
        found, tag = self.read(), self.tag()
        assert found in (self.values, wanted)
        self.values, self.embedded = found, flat(tag["training"]) if "training" in tag else None
        if is_refused(partial(tttcfg.verify, self.folder)):
            assert was_contradicted, "a kill made a contradiction"
        else:
            state = tttcfg.verify(self.folder).binding
            self.bound = model_defining(found) if state == "bound" else None
        return False

    def tag(self) -> Any:
        """Return the metadata of the weights, read as plain JSON."""
        with self.weights.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return json.loads(header.get("__metadata__", {}).get("tttcfg", "{}"))


def model_defining(values: Values) -> Values:
    return {name: values[name] for name in MODEL_DEFINING}


def put_moment(path: Path) -> None:
    document = json.loads(path.read_bytes())
    write_json(path, {**document, "provenance": MOMENT})


def is_refused(action: Any) -> bool:
    try:
        action()
    except ContradictionError:
        return True
    return False
