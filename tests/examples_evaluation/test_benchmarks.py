"""Every benchmark is done, not run, or in error, and never anything in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ttt_moshi.evaluation import evaluate
from ttt_moshi.evaluation.accuracy import accuracy
from ttt_moshi.evaluation.pairs import read_gold
from ttt_moshi.evaluation.scoring import codebook_weights
from ttt_moshi.evaluation.streams import streams_of

from tests.examples_evaluation.conftest import Resolve
from tttcfg import InputError
from tttcfg.schema.fields import config_fields
from tttcfg.ttt_moshi.evaluation import EvaluationArgs

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(model: Any, tokenizer: Any, resolve: Resolve, miniature: Path) -> Run:
    """Run the benchmarks on the miniatures, or on the data that settings under `evaluation` name."""

    def ran(settings: dict[str, Any] | None = None, whole: bool = False) -> dict[str, Any]:
        given = {f"evaluation.{key}": value for key, value in (settings or {}).items()}
        config = miniature / "evaluation.yaml" if whole else None
        return evaluate(model, tokenizer, resolve(given, config))["benchmarks"]

    return ran


def test_all_miniatures_are_scored_under_names_of_their_own(run: Run) -> None:
    found = run(whole=True)
    names = {key: entry.get("name") for key, entry in found.items()}
    assert names == {
        "sblimp": "BLiMP-miniature (tones)",
        "swuggy": "WUGGY-miniature (tones)",
        "tstory": "StoryTopic-miniature (tones)",
        "sstory": "StoryEnding-miniature (tones)",
        "librilight": "Books-miniature (tones)",
        "long_context": None,
    }
    assert {key: entry["pairs"] for key, entry in found.items() if "pairs" in entry} == {
        "sblimp": 80,
        "swuggy": 10,
        "tstory": 4,
        "sstory": 4,
    }
    assert found["long_context"]["status"] == "not run"
    for entry in found.values():
        if "accuracy" in entry:
            outcomes = entry["outcomes"]
            assert entry["accuracy"] == (outcomes.count("1") + outcomes.count("=") / 2) / entry["pairs"]
            assert entry["ties"] == outcomes.count("=")
            assert entry["interval"]["low"] < entry["interval"]["high"]
            assert entry["causal"] is False


def test_a_model_that_cannot_tell_the_recordings_apart_is_as_good_as_chance(
    run: Run, copied: Callable[[str], Path]
) -> None:
    folder = copied("sstory")
    for good in folder.glob("*_correct.wav"):
        good.with_name(good.name.replace("_correct", "_incorrect")).write_bytes(good.read_bytes())
    entry = run({"sstory.audio_dir": str(folder)})["sstory"]
    assert entry["outcomes"] == "===="
    assert entry["accuracy"] == entry["chance"] == 0.5


def test_data_without_a_declared_name_never_goes_under_that_of_the_benchmark(
    run: Run, copied: Callable[[str], Path]
) -> None:
    folder = copied("sstory")
    (folder / "dataset.json").unlink()
    assert run({"sstory.audio_dir": str(folder)})["sstory"]["name"] == "sStoryCloze layout, data not identified"
    (folder / "dataset.json").write_text('{"title": "x"}', encoding="utf-8")
    assert "declares no name" in run({"sstory.audio_dir": str(folder)})["sstory"]["problems"][0]


def test_without_data_nothing_is_run_and_no_figure_is_there(run: Run) -> None:
    for name, entry in run().items():
        assert entry.keys() == {"layout", "status", "reason"}
        assert entry["status"] == "not run"
        assert entry["reason"] == f"evaluation.{name}.audio_dir is not set"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sblimp.audio_dir": "M/blimp"}, "evaluation.sblimp.gold_csv: is needed beside audio_dir"),
        ({"swuggy.gold_csv": "M/wuggy/gold.csv"}, "evaluation.swuggy.audio_dir: is needed beside gold_csv"),
        ({"swuggy.audio_dir": "M/wuggy", "swuggy.gold_csv": "M/blimp/gold.csv"}, "the table of sBLIMP"),
        ({"tstory.audio_dir": "M/none"}, "M/none: cannot be read"),
        ({"sstory.audio_dir": "M/blimp"}, "is not named"),
        ({"librilight.audio_dir": "M/blimp"}, "holds no speaker/book/chapter files"),
        ({"librilight.audio_dir": "M/books", "librilight.streaming.use_fixed_method": False}, "use null or true"),
        ({"long_context.audio_dir": "M/books"}, "holds no .wav"),
    ],
)
def test_what_is_asked_for_and_missing_is_an_error_of_that_benchmark_alone(
    run: Run, miniature: Path, settings: dict[str, Any], problem: str
) -> None:
    def here(text: Any) -> Any:
        return text.replace("M/", f"{miniature}/") if isinstance(text, str) else text

    found = run({"sstory.audio_dir": here("M/sstory")} | {key: here(value) for key, value in settings.items()})
    name = next(iter(settings)).split(".")[0]
    assert found[name].keys() == {"layout", "status", "problems"}
    assert found[name]["status"] == "error"
    assert here(problem) in found[name]["problems"][0]
    assert name == "sstory" or found["sstory"]["status"] == "done"


def test_a_broken_recording_is_an_error_and_no_wrong_answer(run: Run, copied: Callable[[str], Path]) -> None:
    folder = copied("wuggy")
    broken = min(folder.glob("*.wav"))
    broken.write_bytes(broken.read_bytes()[:-100])
    entry = run({"swuggy.audio_dir": str(folder), "swuggy.gold_csv": str(folder / "gold.csv")})["swuggy"]
    assert entry["status"] == "error"
    assert f"{broken}: is truncated" in entry["problems"][0]


def test_a_loss_that_is_not_finite_is_an_error_and_no_wrong_answer(run: Run, model: Any, miniature: Path) -> None:
    with torch.no_grad():
        model.linears[0].weight.fill_(math.nan)
    entry = run({"sstory.audio_dir": str(miniature / "sstory")})["sstory"]
    assert entry["status"] == "error"
    assert "the model's loss is not finite, at position 0 first" in entry["problems"][0]
    assert ".wav" in entry["problems"][0]


def test_a_model_that_does_not_predict_the_users_stream_is_an_error(
    resolve: Resolve, tokenizer: Any, model: Any, miniature: Path
) -> None:
    model.dep_q = 2
    settings = {"evaluation.use_user_stream": True, "evaluation.sstory.audio_dir": str(miniature / "sstory")}
    found = evaluate(model, tokenizer, resolve(settings))["benchmarks"]
    assert found["sstory"]["status"] == "error"
    assert found["tstory"]["status"] == "not run"


def test_the_scores_do_not_depend_on_the_order_or_on_the_other_pairs(
    model: Any, tokenizer: Any, miniature: Path
) -> None:
    streams, weights = streams_of(model, tokenizer, EvaluationArgs()), codebook_weights(2, 1.0)
    folder = miniature / "blimp"
    pairs = read_gold("sBLIMP", folder / "gold.csv", folder)
    with torch.no_grad():
        forwards = accuracy(streams, weights, pairs, 12, None)
        backwards = accuracy(streams, weights, pairs[::-1], 12, None)
        fewer = accuracy(streams, weights, pairs, 5, None)
    assert forwards == backwards
    assert forwards["outcomes"].startswith(fewer["outcomes"])
    assert (fewer["pairs"], fewer["pairs_available"]) == (5, 80)


def test_a_model_that_keeps_state_from_item_to_item_is_found_out(
    model: Any, tokenizer: Any, miniature: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the trainer's multi-layer TTT did: its inner weights went on from one sample to the next."""
    streams, weights = streams_of(model, tokenizer, EvaluationArgs()), codebook_weights(2, 1.0)
    block = model.transformer.layers[1].seq_modeling_block
    monkeypatch.setattr(block, "carrying", True)
    with torch.no_grad():
        block.forward_ssm_gating.gating_alpha.fill_(1.0)
    folder = miniature / "wuggy"
    with torch.no_grad(), pytest.raises(InputError, match="carries state from one item to the next"):
        accuracy(streams, weights, read_gold("sWUGGY", folder / "gold.csv", folder), 10, None)


def test_the_first_codebooks_weight_is_the_configurations(
    model: Any, tokenizer: Any, resolve: Resolve, miniature: Path
) -> None:
    """The trainer's evaluator had 100 hard-coded."""
    settings = {"evaluation.sstory.audio_dir": str(miniature / "sstory"), "first_codebook_weight_multiplier": 7.0}
    found = evaluate(model, tokenizer, resolve(settings))
    assert found["scoring"]["codebook_weights"] == [7.0, 1.0]


def test_a_model_in_training_is_evaluated_in_eval_mode_and_goes_on_training(
    model: Any, tokenizer: Any, resolve: Resolve
) -> None:
    model.train()
    evaluate(model, tokenizer, resolve())
    assert model.training
    assert all(module.training for module in model.modules())


class Recorder:
    """Replaces a section and records which of its fields are read."""

    def __init__(self, section: Any, read: set[str], prefix: str = "") -> None:
        self._section, self._read, self._prefix = section, read, prefix

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._section, name)
        if hasattr(type(value), "model_fields"):
            return Recorder(value, self._read, f"{self._prefix}{name}.")
        self._read.add(f"{self._prefix}{name}")
        return value


def modes(miniature: Path) -> Iterator[dict[str, Any]]:
    yield {}
    yield {"evaluation.librilight.evaluation_mode": "single_book"}
    yield {"evaluation.long_context.audio_dir": str(miniature / "sstory")}


def test_every_setting_is_read_but_for_those_that_are_the_trainers(
    model: Any, tokenizer: Any, resolve: Resolve, miniature: Path
) -> None:
    """The trainer reads `enable` and `freq`."""
    read: set[str] = set()
    for settings in modes(miniature):
        effective = resolve(settings, miniature / "evaluation.yaml")
        recorded = Recorder(effective.training.evaluation, read)
        training = effective.training.model_copy(update={"evaluation": recorded})
        evaluate(model, tokenizer, type(effective)(**{**vars(effective), "training": training}))
    assert set(config_fields(EvaluationArgs)) - read == {"enable", "freq"}
