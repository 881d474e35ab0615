"""The experiment: the same numbers through tttcfg, and what happens to weights with a foreign configuration."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from ttt_moshi import experiment, old_way
from ttt_moshi.experiment_tables import markdown
from ttt_moshi.recall import paired, recalled
from ttt_moshi.voices import FIRST_WORD, WORD, Voices
from ttt_moshi.wrong_settings import wrong_settings

from tests.launcher import python
from tttcfg import InputError

from .conftest import CONFIGS, write_json

pytestmark = pytest.mark.program

PAGE = CONFIGS.parent.parent.parent / "docs" / "experiment.md"
FOREIGN = sorted(path.stem for path in (CONFIGS / "foreign").glob("*.yaml"))
OF_SHAPES = {"`ttt.mlp.expansion_factor=2.0`", "`ttt.inner_model=linear`"}
OF_NAMES = {"`ttt.enable=false`", "`ttt.layers=1`", "`ttt.mlp.layers=3`"}

NUMBER = {"type": ["number", "null"]}
FIGURE = {
    "type": ["object", "null"],
    "required": ["mean", "standard_error"],
    "properties": {"mean": {"type": "number"}, "standard_error": NUMBER, "seeds": {"type": "array"}},
    "additionalProperties": False,
}
DIGESTS = {"type": "array", "items": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}}
OUTCOME = {
    "name": {"type": "string"},
    "strict": {"type": "string"},
    "lenient": {"type": "string"},
    "missing": {"type": "integer"},
    "unexpected": {"type": "integer"},
    "contradicting": {"type": "array", "items": {"type": "string"}},
    "caught_by_fingerprint": {"type": "integer"},
    "change": {"type": "object", "additionalProperties": FIGURE},
}


def rows(properties: dict[str, Any]) -> dict[str, Any]:
    item = {"type": "object", "required": [*properties], "properties": properties, "additionalProperties": False}
    return {"type": "array", "minItems": 1, "items": item}


SCHEMA = {
    "type": "object",
    "required": ["experiment_version", "tttcfg", "torch", "processors", "seeds", "data", "checkpoints"],
    "properties": {
        "experiment_version": {"const": 1},
        "seeds": {"type": "array", "items": {"type": "integer"}},
        "data": {"required": ["sha256", "duration_sec"]},
        "checkpoints": rows(
            {
                "seed": {"type": "integer"},
                **dict.fromkeys(("configuration_digest", "losses_digest", "weights_header_digest"), DIGESTS["items"]),
                **dict.fromkeys(("loss", "recall_loss", "recall_accuracy"), FIGURE),
            }
        ),
        "through_tttcfg": rows(
            {
                "name": {"type": "string"},
                "identical": {"type": "boolean"},
                "restored": {"type": "array", "items": {"type": "string"}},
                **dict.fromkeys(("configuration_digests", "losses_digests"), DIGESTS),
            }
        ),
        "old_way": rows({**OUTCOME, "five_restored": {"type": "boolean"}, "reported_loss": FIGURE}),
        "wrong": rows(OUTCOME),
    },
}


@pytest.fixture(scope="module")
def arguments(here: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training of six steps and an evaluation of four sequences, long enough for something to be recalled."""
    folder = tmp_path_factory.mktemp("experiment")
    voices = {"seed": 2, "sequences": 4, "words": 3, "sounds": 8}
    data = write_json(folder / "eval.jsonl", {"voices": voices, "duration": 5.12})
    words = ["--config", str(here / "config.json"), "--steps", "6", "--run_dir", str(folder / "runs")]
    return [*words, f"data.eval_data={data}", "duration_sec=5.12", "ckpt_freq=0"]


@pytest.fixture(scope="module")
def output(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program wrote, having left with 0."""
    path = tmp_path_factory.mktemp("output") / "experiment.json"
    threads = torch.get_num_threads()
    try:
        assert experiment.main(["--seeds", "0", "--output", str(path), *arguments]) == 0
    finally:
        torch.set_num_threads(threads)
    return path


@pytest.fixture(scope="module")
def results(output: Path) -> dict[str, Any]:
    return json.loads(output.read_text("utf-8"))


def of(results: dict[str, Any], part: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in results[part]}


def test_the_results_are_as_described(results: dict[str, Any]) -> None:
    jsonschema.validate(results, SCHEMA)
    assert (results["seeds"], len(results["checkpoints"])) == ([0], 1)


def test_through_tttcfg_every_foreign_configuration_gives_the_same_losses(results: dict[str, Any]) -> None:
    (own,) = results["checkpoints"]
    found = of(results, "through_tttcfg")
    assert sorted(found) == FOREIGN
    for row in found.values():
        assert row["identical"]
        assert row["restored"]
        assert row["losses_digests"] == [own["losses_digest"]]
        assert row["configuration_digests"] == [own["configuration_digest"]]


def test_a_result_that_is_not_identical_is_no_success(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    other["through_tttcfg"][2]["identical"] = False
    assert (experiment.exit_code(results), experiment.exit_code(other)) == (0, 1)
    assert "**not identical**" in markdown(other)


def test_an_output_that_cannot_be_written_is_reported_before_anything_is_trained(
    arguments: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}: cannot be written: "):
        experiment.main([*arguments, "--run_dir", str(tmp_path / "runs"), "--output", str(tmp_path)])
    assert not (tmp_path / "runs").exists()


def test_the_old_way_refuses_what_shows_in_names_and_nothing_else(results: dict[str, Any]) -> None:
    refused = [row["name"] for row in results["old_way"] if not row["five_restored"] and row["strict"]]
    assert refused == ["layers", "lora"]
    for row in results["old_way"]:
        assert not row["lenient"]
        assert row["reported_loss"]["mean"] > 0
        assert row["contradicting"]
        assert (row["missing"] + row["unexpected"] > 0) == bool(row["strict"])


def test_five_restored_settings_are_enough_for_one_foreign_configuration(results: dict[str, Any]) -> None:
    restored = {row["name"]: row["change"]["loss"]["mean"] for row in results["old_way"] if row["five_restored"]}
    assert [name for name, change in restored.items() if change == 0] == ["inner_loop"]


def test_what_is_wrong_crashes_or_loads_silently(results: dict[str, Any]) -> None:
    found = of(results, "wrong")
    assert {name for name, row in found.items() if row["lenient"]} == OF_SHAPES
    assert {name for name, row in found.items() if row["strict"]} == OF_SHAPES | OF_NAMES
    assert "6 missing (transformer.layers.0." in found["`ttt.enable=false`"]["strict"]
    assert "of another shape (transformer.layers.0." in found["`ttt.inner_model=linear`"]["lenient"]
    assert found["`ttt.inner_model=linear`"]["change"]["loss"] is None


def test_nothing_wrong_changes_nothing_and_is_not_refused(results: dict[str, Any]) -> None:
    found = of(results, "wrong")
    for name in ("nothing", '`ttt.layers=[0]` for `"0"`'):
        assert not found[name]["contradicting"]
        assert not found[name]["caught_by_fingerprint"]
        assert all(figure["mean"] == 0 for figure in found[name]["change"].values())


def test_whatever_changes_a_loss_is_noticed(results: dict[str, Any]) -> None:
    changed = [row for row in results["wrong"] if row["change"]["loss"] and row["change"]["loss"]["mean"] != 0]
    assert len(changed) > 12
    for row in changed:
        assert row["contradicting"] or row["caught_by_fingerprint"], row["name"]
    unconfigured = [row["name"] for row in changed if not row["contradicting"]]
    assert unconfigured == ["gating alpha overwritten with 0.1", "`delays` of another config.json"]


def test_persistent_states_show_in_pieces_only(results: dict[str, Any]) -> None:
    found = of(results, "wrong")
    assert found["`ttt.persistent_states=never`"]["change"]["loss"]["mean"] == 0
    assert found["`ttt.persistent_states=never`, in pieces"]["change"]["loss"]["mean"] != 0


def test_the_same_seed_gives_the_same_results(arguments: list[str], results: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "again.json"
    done = python(experiment.__file__, "--seeds", "0", "--output", path, *arguments)
    assert done.out == markdown(results)
    assert "Evaluating the checkpoint of seed 0" in done.err
    assert json.loads(path.read_text("utf-8")) == results


def test_seeds_are_combined_as_means_over_seeds() -> None:
    def row(mean: float, caught: bool) -> dict[str, Any]:
        figure = {"mean": mean, "standard_error": 0.5}
        return {"name": "one", "losses_digest": str(mean), "change": {"loss": figure}, "caught_by_fingerprint": caught}

    found = experiment.combined([row(1.0, True), row(2.0, False), row(6.0, True)])
    assert found["change"]["loss"]["mean"] == 3.0
    assert found["change"]["loss"]["standard_error"] == pytest.approx((7 / 3) ** 0.5)
    assert [one["mean"] for one in found["change"]["loss"]["seeds"]] == [1.0, 2.0, 6.0]
    assert (found["losses_digests"], found["caught_by_fingerprint"]) == (["1.0", "2.0", "6.0"], 2)


def test_recalled_tokens_are_those_of_words_that_were_spoken_before() -> None:
    codes = Voices(seed=3, sequences=1, words=3, sounds=8, steps=20 * WORD, codebooks=3).sequence(0)
    words = (codes[0, WORD - 1 :: WORD] - FIRST_WORD).tolist()[:-1]
    expected = [(2 + at) * WORD - 2 for at, word in enumerate(words) if word in words[:at]]
    assert len(expected) == 19 - 3
    assert recalled(codes[None], stream=3)[0].nonzero().flatten().tolist() == expected


def test_differences_are_paired_by_sequence() -> None:
    found = paired([1.0, None, 5.0, 2.0], [0.5, 1.0, 4.0, None])
    assert found == (0.75, 0.25)
    assert paired([None], [1.0]) is None


def test_an_error_of_torch_is_shortened_to_counts() -> None:
    model = torch.nn.ModuleDict({"one": torch.nn.Linear(2, 2), "two": torch.nn.Linear(2, 2)})
    tensors = {"one.weight": torch.zeros(3, 2), "one.bias": torch.zeros(2), "three": torch.zeros(1)}
    with pytest.raises(RuntimeError) as error:
        model.load_state_dict(tensors)
    expected = "2 missing (two.weight), 1 unexpected (three), 1 of another shape (one.weight)"
    assert old_way.shortened(str(error.value)) == expected


def test_tables_and_page_have_a_row_for_everything_that_is_tried(results: dict[str, Any]) -> None:
    names = [wrong.name for wrong in wrong_settings(4)]
    for text in (markdown(results), PAGE.read_text("utf-8")):
        for name in [*names, *FOREIGN]:
            assert f"| {name} |" in text
