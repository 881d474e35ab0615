"""The chain of migrations: complete, in order, and true to what the programs of each time did."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tttcfg.document import document_of
from tttcfg.migrating import migrate_tree
from tttcfg.migration import Chain, Migration
from tttcfg.operations import Declare
from tttcfg.record import Record
from tttcfg.saving import canonical_bytes
from tttcfg.schema import document_schema, schema_name
from tttcfg.shapes import bare, boolean, section
from tttcfg.ttt_moshi.family import TTT_MOSHI

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
STEPS = ROOT / "migrations" / "ttt_moshi"
SCHEMAS = ROOT / "schemas" / "ttt_moshi"
CHAIN = TTT_MOSHI.chain
VERSIONS = range(TTT_MOSHI.head + 1)
DOCUMENTS = [*(f"v{version:04d}" for version in VERSIONS), "seed_excerpt"]
Read = Callable[[str], Any]


def frozen(version: int) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / schema_name(version)).read_bytes())
    return schema


def fields_only(schema: dict[str, Any]) -> Any:
    """Return a frozen schema as its bare fields, without the reserved keys."""
    properties = {name: shape for name, shape in schema["properties"].items() if name not in RESERVED}
    return bare(section(properties))


RESERVED = ("$schema", "schema_version", "provenance")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_golden_document_upgrades_to_the_expected_one(name: str) -> None:
    """Byte for byte: values, provenance, and the order of keys."""
    document = json.loads((GOLDEN / f"{name}.json").read_bytes())
    expected = (GOLDEN / f"{name}.upgraded.json").read_bytes()
    assert canonical_bytes(migrate_tree(document, TTT_MOSHI)) == expected


def test_golden_files_are_the_released_ones() -> None:
    """A golden file is never edited; a new one is entered into SHA256SUMS by hand."""
    listed = dict(line.split()[::-1] for line in (GOLDEN / "SHA256SUMS").read_text("utf-8").splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in GOLDEN.glob("*.json")}
    assert found == listed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_document_is_valid_and_complete(version: int, golden: Read) -> None:
    document = golden(f"v{version:04d}")
    Draft202012Validator(frozen(version)).validate(document)
    assert not lacking(document, frozen(version))


def lacking(document: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return the fields of `schema` that `document` does not hold."""
    found = [name for name in schema["properties"] if name not in document]
    for name, shape in schema["properties"].items():
        if name in document and "properties" in shape:
            found += [f"{name}.{below}" for below in lacking(document[name], shape)]
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_upgraded_golden_document_is_valid(name: str, golden: Read) -> None:
    Draft202012Validator(frozen(TTT_MOSHI.head)).validate(golden(f"{name}.upgraded"))


def test_every_version_has_a_step_a_schema_and_a_golden_document() -> None:
    assert [migration.version for migration in CHAIN.migrations] == list(VERSIONS)
    assert {path.name for path in SCHEMAS.glob("*.json")} == {schema_name(version) for version in VERSIONS}
    for version in VERSIONS:
        assert (GOLDEN / f"v{version:04d}.json").is_file()
        assert (GOLDEN / f"v{version:04d}.upgraded.json").is_file()


def test_the_last_step_leads_to_the_head() -> None:
    assert CHAIN.head == TTT_MOSHI.head


def test_each_file_is_named_after_the_step_it_holds() -> None:
    for path in STEPS.glob("v*.py"):
        version = int(re.findall(r"\d{4}", path.stem)[-1])
        expected = f"v{version - 1:04d}_to_v{version:04d}" if version else "v0000"
        assert path.stem == expected
        assert f"\n    version={version},\n" in path.read_text("utf-8")


def test_every_step_says_when_and_why() -> None:
    for migration in CHAIN.migrations:
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", migration.date)
        assert migration.summary
        assert migration.evidence
        for operation in migration.operations:
            assert operation.why or isinstance(operation, Declare), operation.path


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_a_step_turns_one_frozen_schema_into_the_next(version: int) -> None:
    shape = section(frozen(version - 1)["properties"])
    CHAIN.migrations[version].reshape(shape)
    assert bare(shape) == fields_only(frozen(version))


def test_the_first_step_declares_the_first_frozen_schema() -> None:
    shape = section()
    CHAIN.migrations[0].reshape(shape)
    assert bare(shape) == fields_only(frozen(0))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frozen_schema_is_what_would_be_frozen_today(version: int) -> None:
    """Only its explanations may have been improved since."""
    assert fields_only(frozen(version)) == fields_only(document_schema(TTT_MOSHI, version))


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


def test_before_version_5_nobody_knows_what_rotary_positions_did(golden: Read) -> None:
    modes = [upgraded(golden, version).training.ttt.rope_mode for version in VERSIONS]
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
    assert list(document.record.doubted) == ["ttt.ttt_layer_context"]


@pytest.mark.parametrize("context", [None, 3000])
def test_a_context_that_the_trainer_obeyed_is_not_doubted(context: int | None, golden: Read) -> None:
    tree = golden("v0006")
    tree["ttt"]["ttt_layer_context"] = context
    assert document_of(tree, TTT_MOSHI).record.doubted == {}


def test_two_inner_layers_were_always_four_times_as_wide(golden: Read) -> None:
    """Version 2's golden document asks for 2.0, which the trainer never read for two layers."""
    document = upgraded(golden, 2)
    assert document.training.ttt.mlp.expansion_factor == 4.0
    assert document.record.converted["ttt.mlp"]["value"]["expansion_factor"] == 2.0


def test_three_inner_layers_keep_their_own_width(golden: Read) -> None:
    document = upgraded(golden, 4)
    assert document.training.ttt.mlp.expansion_factor == 1.5
    assert "ttt.mlp" not in document.record.converted


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
        assert value == entry["value"]
