"""Reading a saved document: which version it is in, what is refused, and that the fast way is no other way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import HEAD, NEWEST
from tests.strategies import json_texts
from tttcfg.documents.document import document_of, load_document, parse_current, parse_document, read_unplaced
from tttcfg.errors import ForeignDocumentError, InputError, NewerVersionError
from tttcfg.formats.json import read_json
from tttcfg.migration.record import Record
from tttcfg.ttt_moshi.family import TTT_MOSHI

Read = Callable[[str], Any]
CURRENT = (Path(__file__).parents[1] / "golden" / f"{NEWEST}.json").read_text("utf-8")
PLACED = '"seed": 7,'


def refused(tree: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        document_of(tree, TTT_MOSHI)
    return caught.value


def with_seed(text: str) -> bytes:
    """Return a current document with `text` as what its seed is."""
    assert PLACED in CURRENT
    return CURRENT.replace(PLACED, f'"seed": {text},').encode()


@pytest.mark.parametrize(
    ("version", "decided_by"),
    [
        (0, "data.train_data"),
        (1, "ttt.enable"),
        (2, "ttt.initial_gating_alpha"),
        (3, "resume_from"),
        (4, "ttt.weight_lr_multiplier"),
        (5, "ttt.use_rope"),
        (6, "ttt.ttt_layer_context"),
    ],
)
def test_an_unnumbered_document_is_of_the_version_of_its_newest_key(
    version: int, decided_by: str, golden: Read
) -> None:
    document = document_of(golden(f"v{version:04d}"), TTT_MOSHI)
    assert document.version == version
    assert decided_by in document.decided_by


def test_the_excerpt_of_the_seed_is_of_version_2(golden: Read) -> None:
    document = document_of(golden("seed_excerpt"), TTT_MOSHI)
    assert (document.version, document.decided_by) == (2, ("ttt.initial_gating_alpha",))
    assert document.training.ttt.layers == (28, 29, 30)


def test_absent_settings_are_taken_from_the_versions_defaults_and_named(golden: Read) -> None:
    document = document_of(golden("seed_excerpt"), TTT_MOSHI)
    assert document.assumed["optim.lr"] == 1e-4
    assert "ttt.mini_batch_size" not in document.assumed
    assert "ttt.weight_lr_multiplier" not in document.assumed  # filled: its version did not have it


def test_a_complete_document_assumes_nothing(golden: Read) -> None:
    assert document_of(golden("v0003"), TTT_MOSHI).assumed == {}


def test_a_null_section_is_an_absent_one(golden: Read) -> None:
    """The old trainer read `ttt: null` as the defaults."""
    tree = golden("v0001") | {"lora": None}
    assert document_of(tree, TTT_MOSHI).training.lora.rank == 64


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (-1, "-1 is not a version; the first is 0"),
        (True, "true is not a version"),
        (7.0, "a number is not a version; write a whole number"),
        ("7", "text is not a version; write a whole number without quotes"),
        (None, "null is not a version"),
        ([7], "is not a version"),
    ],
)
def test_a_schema_version_that_is_none_is_refused(version: Any, words: str, golden: Read) -> None:
    error = refused(golden(NEWEST) | {"schema_version": version})
    assert words in str(error)
    assert [problem.key for problem in error.problems] == ["schema_version"]


@pytest.mark.parametrize(
    ("provenance", "writer"),
    [({"written_by": "tttcfg 9.1.0"}, "written by tttcfg 9.1.0"), ({}, "its writer is not recorded")],
)
def test_a_newer_document_says_what_to_install(provenance: dict[str, Any], writer: str, golden: Read) -> None:
    """Found, supported, written by, and the command."""
    tree = golden(NEWEST) | {"schema_version": HEAD + 5, "provenance": provenance, "unheard_of": 1}
    with pytest.raises(NewerVersionError) as caught:
        document_of(tree, TTT_MOSHI)
    text = str(caught.value)
    for words in (f"is {HEAD + 5}", f"versions up to {HEAD}", writer, "pip install --upgrade tttcfg"):
        assert words in text


def test_the_error_for_a_current_document_without_its_number_names_a_key_of_that_version(golden: Read) -> None:
    tree = golden(NEWEST)
    del tree["schema_version"]
    assert f"version {HEAD}, which added" in str(refused(tree))
    assert f"add schema_version: {HEAD}" in str(refused(tree))


@pytest.mark.parametrize("tree", [{}, {"model": "resnet", "epochs": 3}])
def test_a_document_without_any_known_key_is_foreign(tree: dict[str, Any]) -> None:
    with pytest.raises(ForeignDocumentError, match="not a configuration of this trainer"):
        document_of(tree, TTT_MOSHI)


def test_a_baseline_stub_is_refused_with_its_reason() -> None:
    stub = {"baseline": True, "model": "some/model", "ttt": {"enable": False}, "lora": {"enable": False}}
    with pytest.raises(ForeignDocumentError, match="baseline stub"):
        document_of(stub, TTT_MOSHI)


@pytest.mark.parametrize("sign", [{"ttt": {"enabled": True}}, {"yarn": {"enabled": False}}])
def test_a_document_of_the_fork_is_recognised(sign: dict[str, Any], golden: Read) -> None:
    with pytest.raises(ForeignDocumentError, match="moshi_in_place"):
        document_of(golden("v0001") | sign, TTT_MOSHI)


@pytest.mark.parametrize("version", range(HEAD + 1))
def test_an_unknown_key_is_refused_in_every_version(version: int, golden: Read) -> None:
    error = refused(golden(f"v{version:04d}") | {"mistery": 1})
    assert [(problem.code, problem.key) for problem in error.problems] == [("unknown_key", "mistery")]


@pytest.mark.parametrize(
    "provenance",
    [
        {"filled": 3},
        {"filled": {"why": 3}},
        {"removed": [1]},
        {"assumed": 1},
        {"assumed": {"values": []}},
        {"assumed": {"values": {"no.such": 1}}},
        {"written_by": 4, "migrated_from": "three"},
    ],
)
def test_malformed_provenance_is_kept_and_passed_over(provenance: dict[str, Any], golden: Read) -> None:
    document = document_of(golden(NEWEST) | {"provenance": provenance}, TTT_MOSHI)
    assert document.record == Record()
    assert document.assumed == {}
    assert document.provenance == provenance


@pytest.mark.parametrize("provenance", [None, [], "text", 3])
def test_provenance_that_is_no_mapping_is_refused(provenance: Any, golden: Read) -> None:
    assert [problem.key for problem in refused(golden(NEWEST) | {"provenance": provenance}).problems] == ["provenance"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('7, "seed": 8', "is a duplicate key"),
        ("NaN", "NaN is not"),
        ("-Infinity", "-Infinity is not a value"),
        ("1e400", "too large for a number"),
        ('"\\ud800"', "lone surrogate"),
        ("07", "misspelt"),
        ("'7'", "misspelt"),
        ("7 /* why */", "comma"),
        ("1" + "0" * 400, "may have 300 digits"),
        ("1" + "0" * 5000, "may have 300 digits"),
        ("[" * 80 + "]" * 80, "nested deeper than 64"),
        ("[" * 5000 + "]" * 5000, "nested deeper than 64"),
    ],
)
def test_bad_json_is_refused_with_its_place(text: str, words: str) -> None:
    """And never comes in by the fast path."""
    data = with_seed(text)
    line = CURRENT[: CURRENT.index(PLACED)].count("\n") + 1
    assert parse_current(data, TTT_MOSHI) is None
    with pytest.raises(InputError) as caught:
        parse_document(data, TTT_MOSHI, "a.json")
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"a.json:{line}:")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"x": ' + "1" + "0" * 400 + "}", "may have 300 digits"),
        ('{"x": ' + "[" * 80 + "]" * 80 + "}", "nested deeper than 64"),
        ('{"x": [' + "0," * 20_000 + "0]}", "more than 10,000 values"),
    ],
)
def test_provenance_is_read_as_strictly_as_the_rest(text: str, words: str) -> None:
    start = CURRENT.index('"provenance": ') + len('"provenance": ')
    data = (CURRENT[:start] + text + "}").encode()
    assert parse_current(data, TTT_MOSHI) is None
    with pytest.raises(InputError, match=words):
        parse_document(data, TTT_MOSHI)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xef\xbb\xbf" + CURRENT.encode(), "byte-order mark"),
        (CURRENT.encode("utf-16"), "UTF-16"),
        (CURRENT.encode().replace(b"/runs/", b"/r\xffns/"), "byte 0xff"),
        (CURRENT.encode().replace(b"/runs/", b"/\xed\xa0\x80/"), "is not UTF-8"),
        (b"", "holds no configuration"),
        (b" \n", "holds no configuration"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (CURRENT.encode() + b"{}", "nothing may follow"),
        (CURRENT.encode() + b"\x00", "nothing may follow"),
        (CURRENT.encode()[:-3], "missing here"),
    ],
)
def test_bytes_that_are_no_json_object_in_utf_8_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_document(data, TTT_MOSHI)


def test_problems_of_an_old_document_name_the_old_place(golden: Read) -> None:
    text = json.dumps(golden("v0003"), indent=4).replace('"paper_metrics_freq": 1000', '"paper_metrics_freq": "often"')
    line = text[: text.index('"paper_metrics_freq"')].count("\n") + 1
    with pytest.raises(InputError) as caught:
        parse_document(text.encode(), TTT_MOSHI, "old.json")
    assert str(caught.value).startswith(f"old.json:{line}:")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_document(tmp_path / "absent.json", TTT_MOSHI)
    with pytest.raises(InputError, match="is a folder"):
        load_document(tmp_path, TTT_MOSHI)


def test_a_complete_current_document_takes_the_fast_path() -> None:
    fast = parse_current(CURRENT.encode(), TTT_MOSHI)
    assert fast is not None
    assert fast.training == document_of(json.loads(CURRENT), TTT_MOSHI).training
    assert fast.version == HEAD


@pytest.mark.parametrize(
    "change", [{"$schema": "urn:other"}, {"schema_version": HEAD - 1}, {"provenance": {"a": "\\"}}]
)
def test_the_fast_path_leaves_anything_unusual_to_the_slow_one(change: dict[str, Any]) -> None:
    data = json.dumps(json.loads(CURRENT) | change).encode()
    assert parse_current(data, TTT_MOSHI) is None


def test_a_secret_never_comes_in_by_the_fast_path_in_place_of_a_setting(golden: Read) -> None:
    tree = golden(NEWEST)
    del tree["seed"]
    tree["wandb"]["key"] = "hunter2"
    data = json.dumps(tree).encode()
    assert parse_current(data, TTT_MOSHI) is None
    with pytest.raises(InputError, match="is a secret"):
        parse_document(data, TTT_MOSHI)


@given(text=json_texts())
@settings(max_examples=300)
def test_the_fast_reader_never_accepts_what_the_slow_one_refuses(text: str) -> None:
    """Repeated keys, escapes, colons inside text, numbers out of range: one verdict and one value."""
    fast = read_unplaced(text.encode())
    if fast is not None:
        slow = read_json(text, "text").values
        assert repr(fast) == repr(slow)


@given(
    key=st.sampled_from(["seed", "data", "ttt", "provenance", "run_dir", "schema_version"]),
    value=st.sampled_from(["3", "null", "{}", '"a:b"', '{"layers": "all"}', '{"a": {"b": 1}}', "7", "1e400"]),
    first=st.booleans(),
)
@settings(max_examples=60)
def test_a_repeated_key_never_comes_in_by_the_fast_path(key: str, value: str, first: bool) -> None:
    pair = f'"{key}": {value}'
    text = f"{{{pair}, {CURRENT.strip()[1:]}" if first else f"{CURRENT.strip()[:-1]}, {pair}}}"
    assert parse_current(text.encode(), TTT_MOSHI) is None
    with pytest.raises(InputError, match="is a duplicate key"):
        parse_document(text.encode(), TTT_MOSHI)


REAL = ("generation_3_lora", "generation_3_ttt", "generation_4", "generation_5", "generation_6")


@pytest.mark.parametrize("name", REAL)
def test_real_checkpoints_load(name: str, shared_data: Path) -> None:
    path = shared_data / "training_config" / f"{name}.json"
    document = load_document(path, TTT_MOSHI)
    assert document.version == int(name.split("_")[1])
    assert document.assumed == {}


def test_every_real_document_is_tried(shared_data: Path) -> None:
    names = {path.stem for path in (shared_data / "training_config").glob("*.json")}
    assert names == {*REAL, "baseline_stub"}


def test_the_real_baseline_stub_is_refused(shared_data: Path) -> None:
    with pytest.raises(ForeignDocumentError, match="baseline stub"):
        load_document(shared_data / "training_config" / "baseline_stub.json", TTT_MOSHI)
