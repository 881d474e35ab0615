"""Every field has the effects of its role: changed alone, in training and in evaluation, with the real programs."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

import tttcfg
from tests.builders import SECRET
from tests.conftest import some
from tttcfg.schema.fields import ConfigField, Role
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.ttt_moshi.ttt_config import TTTConfig

from .conftest import write_json
from .knobs import BASE, COMPANY, MODEL, VALUES, Bench, Outcome, company_of, texts
from .knobs_page import (
    BEHAVES_AS,
    PAGE,
    STARTS_ELSEWHERE,
    UNSEEN,
    cells,
    change_of_losses,
    code,
    effect_of,
    nearly_equal,
    role_of,
    shown,
)

pytestmark = pytest.mark.program

FIELDS = TTT_MOSHI.fields
UPDATE = "see whether this is meant, then run python -m tests.examples_ttt_moshi.knobs_page"
TOLERANCE = 1e-5
"""Nats by which another number of sequences per batch may change the loss of one."""


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("knobs"))


def same_weights(before: Outcome, after: Outcome) -> bool:
    return before.weights.keys() == after.weights.keys() and all(
        after.weights[name].equal(tensor) for name, tensor in before.weights.items()
    )


def change_of_sequences(before: Outcome, after: Outcome) -> float:
    """Return the largest change of a sequence's loss in the standard evaluation."""
    pairs = zip(before.standard["per_sequence"], after.standard["per_sequence"], strict=True)
    return float(max(abs(one - other) for one, other in pairs))


def architecture(field: ConfigField, before: Outcome, after: Outcome) -> None:
    """Changes names or shapes of tensors, so that the weights of before are refused by name."""
    assert after.shapes
    assert after.shapes != before.shapes
    assert field.name in after.refused


def computation(field: ConfigField, before: Outcome, after: Outcome) -> None:
    """Changes what the same weights compute, and no shape."""
    assert after.shapes == before.shapes
    assert all(map(math.isfinite, after.losses.values())), field.name
    assert change_of_losses(before, after) > TOLERANCE


def training(field: ConfigField, before: Outcome, after: Outcome) -> None:
    """Changes the trained weights, and neither a shape nor what given weights compute."""
    assert after.shapes == before.shapes
    assert change_of_sequences(before, after) < TOLERANCE
    assert after.weights
    assert all(bool(tensor.isfinite().all()) for tensor in after.weights.values()), field.name
    assert not same_weights(before, after)


def run(field: ConfigField, before: Outcome, after: Outcome) -> None:
    """Changes what is written or logged, or is refused by name; and neither a shape nor a number."""
    if field.name in before.refused | after.refused:
        return
    assert after.shapes == before.shapes
    assert after.standard == before.standard
    if field.name in STARTS_ELSEWHERE:
        assert not same_weights(before, after)
    elif after.weights:
        assert same_weights(before, after)
    assert after.log != before.log or field.unit == "path"


def secret(field: ConfigField, before: Outcome, after: Outcome) -> None:
    """Is used, and changes nothing."""
    run(field, before, after)
    assert "logged in: True" in after.log


SENTENCES = {
    Role.ARCHITECTURE: architecture,
    Role.COMPUTATION: computation,
    Role.TRAINING: training,
    Role.RUN: run,
    Role.SECRET: secret,
}


@pytest.mark.parametrize(
    "field", some((field for field in FIELDS.values() if field.name not in UNSEEN), 3, lambda field: field.name)
)
def test_a_field_has_the_effects_of_its_role(field: ConfigField, bench: Bench) -> None:
    old, new = bench.change(field)
    before, after = bench.before(field), bench.after(field, new)
    SENTENCES[role_of(field)](field, before, after)
    if after.log == before.log:  # the same file at another place
        assert field.name in bench.after(field, "gone").refused
    if field in shown(role_of(field)) and role_of(field) not in (Role.RUN, Role.SECRET):
        lines = PAGE.read_text("utf-8").splitlines()
        start, effect = f"| {' | '.join(cells(field, old, new))} | ", effect_of(role_of(field), before, after)
        assert any(line.startswith(start) and nearly_equal(line[len(start) : -2], effect) for line in lines), (
            f"{start}{effect}: {UPDATE}"
        )


@pytest.mark.parametrize("name", UNSEEN)
def test_a_field_that_is_excused_really_does_nothing_here(name: str, bench: Bench) -> None:
    field = FIELDS[name]
    before, after = bench.before(field), bench.after(field, bench.change(field)[1])
    assert same_weights(before, after)
    assert (after.shapes, after.standard, after.steps) == (before.shapes, before.standard, before.steps)
    if field.role is Role.RUN:
        assert after.log == before.log


def test_the_same_configuration_gives_the_same_outcome(bench: Bench) -> None:
    """What is taken for the effect of a change is none of chance."""
    field = FIELDS["log_freq"]
    before, after = bench.before(field), bench.after(field, bench.change(field)[0])
    assert same_weights(before, after)
    assert (after.shapes, after.standard, after.steps) == (before.shapes, before.standard, before.steps)
    assert after.log == before.log


def test_the_secret_is_in_no_file_and_no_line(bench: Bench) -> None:
    field = FIELDS["wandb.key"]
    after = bench.after(field, SECRET)
    assert not any(SECRET in line for line in after.log)
    files = [path for path in bench.here.rglob("*") if path.is_file()]
    assert any(path.name == "wandb.json" for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("name", BEHAVES_AS)
def test_a_field_that_behaves_as_another_role_is_not_of_that_role(name: str) -> None:
    assert FIELDS[name].role is not BEHAVES_AS[name][0]


def test_the_page_has_every_field_that_it_is_to_have_and_no_other() -> None:
    text = PAGE.read_text("utf-8")
    for role in (Role.ARCHITECTURE, Role.COMPUTATION, Role.TRAINING):
        section = text.partition(f"## {role.value.capitalize()}\n")[2].partition("\n## ")[0]
        rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| `")]
        assert rows == [code(field.name) for field in shown(role)]


def test_what_is_declared_here_are_fields() -> None:
    assert {*BASE, *COMPANY, *VALUES, *BEHAVES_AS, *UNSEEN, *STARTS_ELSEWHERE} <= FIELDS.keys()


def test_every_field_of_the_layers_follows_from_a_setting_or_from_config_json(bench: Bench) -> None:
    """`tests/nn/layers/test_knobs.py` shows what each of them does; here, that a user can set it."""

    def layers(settings: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
        path = write_json(bench.here / "other.json", {**MODEL, **model})
        overrides = texts(bench.placed({**settings, "moshi_paths.config_path": str(path)}))
        try:
            found = tttcfg.resolve(config=bench.configs, overrides=overrides, model_config=path).ttt
        except tttcfg.ContradictionError as error:
            found = cast("tttcfg.Effective", error.effective).ttt
        return {} if found is None else dict(found)

    before, reached = layers(BASE, {}), set[str]()
    changes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (BASE, {name: value}) for name, value in (("dim", 64), ("num_heads", 4), ("num_layers", 3))
    ]
    changes += [({**company_of(field), field.name: bench.change(field)[1]}, {}) for field in FIELDS.values()]
    for settings, model in changes:
        reached |= {name for name, value in layers(settings, model).items() if value != before[name]}
    assert reached == set(TTTConfig.model_fields)
