"""The chain of migrations, and what single steps of this family do; test_migrations_laws.py holds the laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import NEWEST
from tttcfg.documents.document import document_of
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import boolean
from tttcfg.ttt_moshi.family import TTT_MOSHI

CHAIN = TTT_MOSHI.chain
VERSIONS = range(TTT_MOSHI.head + 1)
Read = Callable[[str], Any]


@pytest.mark.parametrize("versions", [(0, 2), (1, 2), (0, 1, 1), (0, 0)])
def test_a_chain_with_a_gap_or_a_repetition_is_refused(versions: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="each once"):
        Chain([Migration(version, "2026-01-01", "", "", ()) for version in versions])


def test_steps_may_be_given_in_any_order() -> None:
    steps = [Migration(version, "2026-01-01", "", "", (Declare("a", boolean(False)),)) for version in (1, 0)]
    assert [migration.version for migration in Chain(steps).migrations] == [0, 1]


def upgraded(golden: Read, version: int) -> Any:
    return document_of(golden(f"v{version:04d}"), TTT_MOSHI)


def test_before_version_2_gating_alpha_was_0_05(golden: Read) -> None:
    assert [upgraded(golden, version).training.ttt.initial_gating_alpha for version in (0, 1, 2)] == [0.05, 0.05, 0.01]


def test_before_version_4_all_learning_rates_were_one(golden: Read) -> None:
    """Today's defaults are 10 and 100; an old checkpoint was not trained with them."""
    for version in range(4):
        ttt = upgraded(golden, version).training.ttt
        assert (ttt.weight_lr_multiplier, ttt.alpha_lr_multiplier) == (1.0, 1.0)
    ttt = upgraded(golden, 4).training.ttt
    assert (ttt.weight_lr_multiplier, ttt.alpha_lr_multiplier) == (25.0, 500.0)


def test_before_version_5_it_is_unknown_what_rotary_positions_did(golden: Read) -> None:
    modes = [upgraded(golden, version).training.ttt.rope_mode for version in range(8)]
    assert modes == ["legacy"] * 5 + ["mini_batch", "off", "mini_batch"]


def test_before_version_6_contexts_were_3000(golden: Read) -> None:
    for version in range(6):
        ttt = upgraded(golden, version).training.ttt
        assert (ttt.ttt_layer_context, ttt.non_ttt_layer_context) == (3000, 3000)
    assert upgraded(golden, 6).training.ttt.non_ttt_layer_context == 750


def test_a_context_of_ttt_layers_from_version_6_is_doubted(golden: Read) -> None:
    """Until 2025-11-01 the trainer set an attribute of the wrong name; the value stays, the doubt is recorded."""
    document = upgraded(golden, 6)
    assert document.training.ttt.ttt_layer_context == 50
    assert "ttt.ttt_layer_context" in document.record.doubted


@pytest.mark.parametrize("context", [None, 3000])
def test_a_context_that_the_trainer_obeyed_is_not_doubted(context: int | None, golden: Read) -> None:
    tree = golden("v0006")
    tree["ttt"]["ttt_layer_context"] = context
    assert "ttt.ttt_layer_context" not in document_of(tree, TTT_MOSHI).record.doubted


CONSTANTS = {
    "ttt.inner_norm_eps": (1e-8, 1e-8),
    "ttt.read_out": ("once", "twice"),
    "ttt.scan_dtype": ("float32", "parameters"),
    "ttt.state_dtype": ("parameters", "parameters"),
    "ttt.rope_scaling": ("audio", "audio"),
}
"""What the last public commit does with two inner layers, and with three and more."""


@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_constants_are_what_the_last_public_commit_does_and_doubted(version: int, layers: int, golden: Read) -> None:
    tree = golden(f"v{version:04d}")
    tree["ttt"] |= {"ttt_mlp_layers": layers, "ttt_mlp_hidden_dims": None}
    document = document_of(tree, TTT_MOSHI)
    for name, values in CONSTANTS.items():
        expected = values[layers > 2]
        assert TTT_MOSHI.fields[name].get(document.training) == expected
        assert document.record.filled[name]["value"] == document.record.doubted[name]["value"] == expected


@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("written", [False, True])
def test_states_went_on_by_the_depth_whatever_was_written(layers: int, written: bool, golden: Read) -> None:
    tree = golden("v0006")
    tree["ttt"] |= {"persistent_states": written, "ttt_mlp_layers": layers, "ttt_mlp_hidden_dims": None}
    document = document_of(tree, TTT_MOSHI)
    assert document.training.ttt.persistent_states == ("first_sequence" if layers > 2 else "never")
    assert ("ttt.persistent_states" in document.record.converted) == (written != (layers > 2))


def test_where_persistence_is_missing_the_depth_decides_as_well(golden: Read) -> None:
    """Of that version the default was true, and the program did with it what it did with every value."""
    tree = golden("v0006")
    tree["ttt"] |= {"ttt_mlp_layers": 3, "ttt_mlp_hidden_dims": None}
    del tree["ttt"]["persistent_states"]
    document = document_of(tree, TTT_MOSHI)
    assert document.training.ttt.persistent_states == document.assumed["ttt.persistent_states"] == "first_sequence"


def test_in_a_current_document_what_is_missing_follows_from_the_rest(golden: Read) -> None:
    tree = golden(NEWEST)
    tree["ttt"]["inner_model"] = "mlp"
    tree["ttt"]["mlp"] |= {"layers": 3, "hidden_dims": None}
    for name in ("read_out", "scan_dtype", "persistent_states"):
        del tree["ttt"][name]
    document = document_of(tree, TTT_MOSHI)
    found = document.training.ttt
    assert (found.read_out, found.scan_dtype, found.persistent_states) == ("twice", "parameters", "first_sequence")
    assert dict(document.assumed) == {
        "ttt.read_out": "twice",
        "ttt.scan_dtype": "parameters",
        "ttt.persistent_states": "first_sequence",
    }


def test_two_inner_layers_were_always_four_times_as_wide(golden: Read) -> None:
    """Version 2's golden document asks for 2.0, which the trainer never read for two layers."""
    document = upgraded(golden, 2)
    assert document.training.ttt.mlp.expansion_factor == 4.0
    assert document.record.converted["ttt.mlp.expansion_factor"]["value"] == 2.0


def test_three_inner_layers_keep_their_own_width(golden: Read) -> None:
    document = upgraded(golden, 4)
    assert document.training.ttt.mlp.expansion_factor == 1.5
    assert not {name for name in document.record.converted if name.startswith("ttt.mlp")}


def test_paper_metrics_become_typed_settings(golden: Read) -> None:
    evaluation = upgraded(golden, 3).training.evaluation
    assert (evaluation.enable, evaluation.freq, evaluation.use_user_stream) == (True, 1000, True)
    assert evaluation.librilight.max_chapters == 6
    assert evaluation.librilight.streaming.max_sequence_length == 45000


def test_an_unknown_librilight_mode_was_a_random_book(golden: Read) -> None:
    document = upgraded(golden, 3)
    assert document.training.evaluation.librilight.evaluation_mode == "random"
    assert document.record.converted["evaluation.librilight.evaluation_mode"]["value"] == "pre_concatenated"


def test_a_speaker_given_as_a_number_becomes_text(golden: Read) -> None:
    document = upgraded(golden, 3)
    assert document.training.evaluation.librilight.speaker_id == "1401"
    assert document.record.converted["evaluation.librilight.speaker_id"]["value"] == 1401


def test_keys_that_nothing_read_are_kept_in_the_record(golden: Read) -> None:
    removed = upgraded(golden, 3).record.removed
    assert removed["ttt.normalize_ttt_output"]["value"] is True
    assert removed["ttt.target_output_norm"]["value"] == 12.5
    assert removed["paper_metrics.results_dir"]["value"] == "./results"
    assert removed["paper_metrics"]["value"]["librilight_streaming"] == {"warm_up": 12}


def test_a_knob_that_was_only_filled_in_is_not_recorded_as_removed(golden: Read) -> None:
    assert "ttt.normalize_ttt_output" not in upgraded(golden, 2).record.removed


def test_a_run_without_a_launcher_has_no_world_size(golden: Read) -> None:
    document = upgraded(golden, 3)
    assert document.training.world_size is None
    assert document.record.converted["world_size"]["value"] == -1
    assert upgraded(golden, 0).training.world_size == 8


def test_a_world_size_of_zero_is_none_at_all(golden: Read) -> None:
    """The old schemas allow every number from -1."""
    assert document_of({**golden("v0003"), "world_size": 0}, TTT_MOSHI).training.world_size is None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_filled_value_is_one_that_the_document_lacked(version: int, golden: Read) -> None:
    """What was filled is no key of the old document, and what the document holds is never overwritten."""
    record = Record()
    document = golden(f"v{version:04d}")
    newer = CHAIN.up(document, version, record)
    assert not set(record.filled) & set(record.renamed)
    for path, entry in record.filled.items():
        assert entry["reason"]
        value: Any = newer
        for part in path.split("."):
            value = value[part]
        assert value == entry["value"] or record.converted[path]["value"] == entry["value"]
