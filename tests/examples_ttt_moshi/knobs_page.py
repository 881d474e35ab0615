"""docs/knobs.md: how much every field does. Write it anew by `python -m tests.examples_ttt_moshi.knobs_page`."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.builders import ROOT
from tttcfg.schema.fields import ConfigField, Role
from tttcfg.ttt_moshi.family import TTT_MOSHI

from .knobs import COMPANY, Bench, Outcome

PAGE = ROOT / "docs" / "knobs.md"
NUMBER = re.compile(r"\d[\d.]*(?:e[+-]?\d+)?")
BEHAVES_AS = {
    "world_size": (
        Role.RUN,
        "records how many ranks were launched: setting it starts none, and the launcher's number is saved",
    ),
}
"""Fields that have the effect of another role, and why."""
UNSEEN = {
    "gradient_checkpointing": "trades time for memory: the same activations are computed again, with equal bits",
    "moshi_paths.hf_repo_id": "names the base model on the Hub, which only the real Moshi has: "
    "`tests/examples_ttt_moshi/test_moshi_model.py` takes its weights from there",
    "evaluation.librilight.streaming.cache_clear_interval": "clears a GPU's cache; a CPU has none",
}
"""Fields that do nothing here that could be seen, and why."""
STARTS_ELSEWHERE = {"reset_optimizer", "reset_step"}
"""Run fields that determine from where training continues, and so change its result."""
SECTIONS = {
    Role.ARCHITECTURE: "Evaluation of the earlier weights fails, and reports the setting.",
    Role.COMPUTATION: "The same weights, evaluated: the largest change of a mean loss in nats, over the text, the\n"
    "audio, both as they are weighted in training, and the long sequences.",
    Role.TRAINING: "Trained weights after three steps: the norm of the change over the norm of all. Given weights "
    "compute the same.",
}
INTRODUCTION = """# Every knob is alive

<!-- Written by `python -m tests.examples_ttt_moshi.knobs_page`, which changes every field and measures. -->

`tests/examples_ttt_moshi/test_every_knob.py` changes every field of the configuration, one at a time, and runs the
programs of `examples/ttt_moshi` on a small model: three steps of training with the change, and an evaluation, with the
change, of weights trained without it. A field that does not do what its role states fails the test. Sizes are those of
one tiny model and one seed: they show that a setting has an effect, not how much it matters. The test allows a factor
of 10. [roles.md](roles.md) explains roles.
"""


def page(bench: Bench) -> str:
    """Return the whole page, measured."""
    text = INTRODUCTION
    for role, sentence in SECTIONS.items():
        rows = [row(field, bench) for field in shown(role)]
        text += f"\n## {role.value.capitalize()}\n\n{sentence}\n\n" + table(
            ("field", "from", "to", "beside", role.value), rows
        )
    text += "\n## Run and secret\n\n"
    but_for = " and ".join(code(name) for name in sorted(STARTS_ELSEWHERE))
    text += (
        f"The {len(shown(Role.RUN))} run fields change neither names and shapes, nor what given weights compute, and\n"
    )
    text += f"no trained weight except with {but_for}. Each changes what a program writes\n"
    text += "or prints, or is refused by name. The secret is in no file and no output.\n\n## Exceptions\n\n"
    reasons = [(name, f"as {role.value}: {why}") for name, (role, why) in BEHAVES_AS.items()]
    reasons += [(name, f"no effect here: {why}") for name, why in UNSEEN.items()]
    return text + table(("field", "role", "what it does"), exceptions(reasons))


def exceptions(reasons: Iterable[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    for name, why in reasons:
        yield code(name), TTT_MOSHI.fields[name].role.value, why


def role_of(field: ConfigField) -> Role:
    """Return the role whose sentence a field is held to."""
    return BEHAVES_AS[field.name][0] if field.name in BEHAVES_AS else field.role


def shown(role: Role) -> list[ConfigField]:
    """Return the fields of one table."""
    return [field for field in TTT_MOSHI.fields.values() if role_of(field) is role and field.name not in UNSEEN]


def row(field: ConfigField, bench: Bench) -> tuple[str, ...]:
    before, after = bench.change(field)
    effect = effect_of(role_of(field), bench.before(field), bench.after(field, after))
    return (*cells(field, before, after), effect)


def cells(field: ConfigField, before: Any, after: Any) -> tuple[str, ...]:
    """Return the cells of a field's row before the figure."""
    beside = ", ".join(
        code(f"{name}={plainly(value)}") for name, value in COMPANY.get(field.name, {}).items() if name != field.name
    )
    return code(field.name), code(plainly(before)), code(plainly(after)), beside


def effect_of(role: Role, before: Outcome, after: Outcome) -> str:
    """Return what a field's change did, as the page shows it."""
    if role is Role.ARCHITECTURE:
        names = before.shapes.keys() | after.shapes.keys()
        changed = sum(before.shapes.get(name) != after.shapes.get(name) for name in names)
        return f"{changed} of {len(names)} tensors"
    if role is Role.COMPUTATION:
        return f"{change_of_losses(before, after):.1g}"
    if before.weights.keys() != after.weights.keys():
        return f"{len(after.weights)} tensors saved, not {len(before.weights)}"
    return f"{change_of_weights(before, after):.1g}"


def change_of_losses(before: Outcome, after: Outcome) -> float:
    """Return the largest change of a mean loss, in nats."""
    assert before.losses.keys() == after.losses.keys()
    return max(abs(after.losses[name] - loss) for name, loss in before.losses.items())


def change_of_weights(before: Outcome, after: Outcome) -> float:
    """Return the norm of the change of weights over the norm of the weights."""
    one, other = (
        torch.cat([tensor.flatten().double() for _, tensor in sorted(found.weights.items())])
        for found in (before, after)
    )
    return float((other - one).norm() / one.norm())


def nearly_equal(one: str, other: str) -> bool:
    """Whether two figures of the page are the same but for numbers within a factor of ten."""
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (one, other)]
    if NUMBER.sub("", one) != NUMBER.sub("", other):
        return False
    return all(0 < left <= 10 * right and right <= 10 * left for left, right in zip(*numbers, strict=True))


def plainly(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text.replace("{here}/", "")


def code(words: str) -> str:
    return f"`{words}`"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(Bench(Path(folder))), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
