"""What was found, for people, for programs and as a picture."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import tttcfg
from tttcfg.errors import InputError, WriteError
from tttcfg.nn import Answer, Estimate, Recovery, Trial

FAR = Estimate(math.inf, math.inf, 8)


def trial(value: object, errors: float, norm: Estimate | None = None) -> Trial:
    found = norm or Estimate(0.001 * (1 + errors), 0.001, 32)
    return Trial(
        {"ttt.mini_batch_size": value},
        found,
        Estimate(errors, 1.0, 32),
        Estimate(errors, 1.0, 32),
        0.0,
        0.1,
        1.0,
        differs=True,
    )


TRIALS = (trial(8, 0.0), trial(4, 3.25), trial(16, 5.0), trial(64, math.inf, FAR))
SIZE = Answer("ttt.mini_batch_size", "recovered", 8, (8,), 3.25, "", TRIALS, 64)
RATE = Answer("ttt.base_lr", "narrowed", 1.0, (1.0, 4.0), 6.0, "", (), None)
MODE = Answer("ttt.rope_mode", "not_determined", None, (), 0.0, "it changes nothing on these batches", (), None)
ANSWERS = {one.name: one for one in (SIZE, RATE, MODE)}
FOUND = Recovery(
    tttcfg.resolve(), ANSWERS, ({"ttt.mini_batch_size": 4},), TRIALS[0], None, "sha256:ab", 32, 1234, 234, {}
)


def test_the_table_says_what_is_known_and_what_is_not() -> None:
    assert FOUND.table() == (
        "setting              answer\n"
        "ttt.mini_batch_size  recovered: 8; others that were tried are 3.2 standard errors and more further away\n"
        "                     4: 3.2  8: 0.0  16: 5.0  64: inf  (lowest loss: 64)\n"
        "ttt.base_lr          narrowed to 1, 4\n"
        "ttt.rope_mode        not determined: it changes nothing on these batches\n"
        "as near as the best, together:\n"
        "  ttt.mini_batch_size=4\n"
        "squared norm at the best: 0.001 ± 0.001, by 32 batches\n"
        "measured: 1,234 batches of 32, all settings together, of 234 the loss alone; data sha256:ab"
    )


def test_the_object_is_json_without_infinities() -> None:
    found = json.loads(json.dumps(FOUND.to_dict(), allow_nan=False))
    assert found["recovery_version"] == 1
    assert (found["separated_by"], found["near"]) == (3.0, 3.0)
    size = found["settings"]["ttt.mini_batch_size"]
    assert (size["outcome"], size["value"], size["remaining"], size["separation"]) == ("recovered", 8, [8], 3.25)
    assert [one["value"] for one in size["trials"]] == [8, 4, 16, 64]
    assert size["trials"][-1]["squared_norm"] == {
        "value": None,
        "standard_error": None,
        "standard_errors": None,
        "batches": 8,
    }
    assert found["best"]["values"] == {"ttt.mini_batch_size": 8}
    assert found["together"] == [{"ttt.mini_batch_size": 4}]
    assert (found["passes"], found["forward"]) == (1234, 234)


def test_without_a_best_there_are_answers_still() -> None:
    found = replace(FOUND, best=None, answers={MODE.name: MODE})
    assert found.to_dict()["best"] is None
    assert found.table().startswith("setting        answer\nttt.rope_mode  not determined: it changes")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_it_is_drawn(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"found.{ending}"
    FOUND.draw(path)
    assert path.stat().st_size > 1000


def test_what_cannot_be_drawn_is_no_traceback(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(WriteError, match="cannot be written"):
        FOUND.draw(tmp_path / "none" / "found.png")
    with pytest.raises(InputError, match="not supported"):
        FOUND.draw(tmp_path / "found.words")


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(InputError, match=r"plot: needs matplotlib; install it: pip install \"tttcfg\[plot\]\""):
        FOUND.draw(tmp_path / "found.png")
