"""One content has one meaning, whichever door it comes in by: a checkpoint, a file of any format, pieces, overrides."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import tttcfg
from tests.builders import HEAD, alternatives, checkpoint, document_file, old_document, trained
from tests.strategies import complete_documents
from tttcfg import Effective, Role
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Convert, Declare, Rename
from tttcfg.migration.record import Record
from tttcfg.schema.fields import ConfigField, Section, plain, setting
from tttcfg.schema.fragments import integer, number
from tttcfg.schema.paths import get_path, set_path, value_paths
from tttcfg.ttt_moshi.family import TTT_MOSHI

MODEL_CONFIG = Path("checkpoints", "checkpoint_001000", "consolidated", "config.json")
UNCERTAIN = ("legacy", "doubt", "converted")


def toml_text(value: Any) -> str:
    """Return a value as TOML, which has no null: what is null is left out."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {toml_text(one)}" for key, one in value.items() if one is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_text, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


FILES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "training_config.json": json.dumps,
    "args.yaml": lambda document: yaml.safe_dump(dict(document)),
    "flow.yml": lambda document: yaml.safe_dump(dict(document), default_flow_style=True),
    "args.toml": lambda document: "".join(
        f"{json.dumps(key)} = {toml_text(value)}\n" for key, value in document.items() if value is not None
    ),
}


def resolved(*arguments: Any, **options: Any) -> Effective:
    try:
        return tttcfg.resolve(*arguments, **options)
    except tttcfg.ContradictionError as error:  # LoRA and full fine-tuning at once, for example; the values are kept
        return cast("Effective", error.effective)


def saved(effective: Effective) -> dict[str, Any]:
    """Return all settings but secrets, which a checkpoint has none of."""
    values: dict[str, Any] = effective.training.model_dump()
    return values


def uncertain_findings(effective: Effective) -> set[tuple[str, str, str]]:
    return {(one.severity, one.code, one.key) for one in effective.findings if one.code in UNCERTAIN}


def recorded(effective: Effective) -> dict[tuple[str, str], tuple[str, Any]]:
    """Return what is recorded of every value that did not come in as it is: of what kind, why, and the value."""
    return {
        (kind, name): (reason, value)
        for kind in ("filled", "converted", "doubted")
        for reason, group in effective.provenance.get(kind, {}).items()
        for name, value in group.items()
    }


def provenance_notes(effective: Effective, source: str) -> dict[str, str]:
    """Return the notes on values that were converted or filled in, without the file's name."""
    places = {name: given[0].where for name, given in effective.origins.items() if given[0].source == source}
    return {name: where.partition(" (")[2] for name, where in places.items()}


FREE_FORM = ("paper_metrics", "provenance")


@pytest.mark.parametrize("version", range(HEAD + 1))
@settings(max_examples=6)
@given(data=st.data())
def test_a_whole_document_means_the_same_by_every_door(
    version: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = data.draw(complete_documents(version))
    folder = tmp_path_factory.mktemp("doors")
    expected = resolved(checkpoint(folder / "run", document))
    for name, text in FILES.items():
        path = folder / name
        if path.suffix == ".toml" and None in _items([document.get(key) or {} for key in FREE_FORM]):
            continue  # which TOML cannot write
        path.write_text(text(document), encoding="utf-8")
        found = resolved(config=path, model_config=folder / "run" / MODEL_CONFIG)
        assert saved(found) == saved(expected)
        assert recorded(found) == recorded(expected)
        assert uncertain_findings(found) == uncertain_findings(expected)
        assert provenance_notes(found, "config") == provenance_notes(expected, "checkpoint")
    assert saved(resolved(config=document)) == saved(expected)
    assert tttcfg.load_document(folder / "training_config.json").training == expected.training
    assert tttcfg.TrainingArgs.from_any(document).model_dump() == saved(expected)


def _items(value: Any) -> list[Any]:
    """Return all that mappings and lists hold, at any depth."""
    if isinstance(value, (dict, list)):
        return [item for one in (value.values() if isinstance(value, dict) else value) for item in _items(one)]
    return [value]


@pytest.mark.parametrize("version", range(HEAD + 1))
@settings(max_examples=6)
@given(data=st.data())
def test_a_document_in_pieces_means_what_it_means_as_a_whole(version: int, data: st.DataObject) -> None:
    """Two files and overrides, old names and forms in all of them: every field that is given is what it was."""
    document = data.draw(complete_documents(version))
    whole = resolved(config=document).training
    metrics = document.get("paper_metrics")
    if metrics:
        known = {name.partition(".")[2].partition(".")[0] for name in TTT_MOSHI.chain.spellings if "paper_m" in name}
        document["paper_metrics"] = {key: value for key, value in metrics.items() if key in known}
    body = {key: value for key, value in document.items() if key not in ("$schema", "schema_version", "provenance")}
    pieces: list[dict[str, Any]] = [{}, {}]
    overrides: dict[str, Any] = {}
    for path in value_paths(body):
        where = data.draw(st.sampled_from((0, 0, 0, 1, 1, 2)))
        if where == 2 and get_path(body, path) != {} and ".".join(path) != "wandb.key":
            overrides[".".join(path)] = get_path(body, path)
        else:
            set_path(pieces[where % 2], path, get_path(body, path))
    found = resolved(config=pieces, overrides=overrides)
    given_names = {name for name, origins in found.origins.items() if origins[0].source in ("config", "override")}
    assert len(given_names) > 30
    for name in given_names & TTT_MOSHI.fields.keys():
        field = TTT_MOSHI.fields[name]
        assert (name, plain(field.get(found.training))) == (name, plain(field.get(whole)))


def test_a_stated_version_is_obeyed_in_a_part_of_a_document() -> None:
    effective = tttcfg.resolve(config={"schema_version": 6, "ttt": {"layers": "28,29"}})
    assert effective.training.ttt.layers == (28, 29)
    with pytest.raises(
        tttcfg.InputError, match=r"ttt\.rope_mode: was added in version 7, but the document states .* 6"
    ):
        tttcfg.resolve(config={"schema_version": 6, "ttt": {"rope_mode": "off"}})
    with pytest.raises(tttcfg.InputError, match=r"ttt\.use_rope: no setting"):
        tttcfg.resolve(config={"schema_version": HEAD, "ttt": {"use_rope": True}})


def test_an_item_of_a_list_has_old_names_too() -> None:
    config = {"ttt": {"enable": True, "mlp": {"layers": 3, "hidden_dims": [8, 9]}}}
    effective = tttcfg.resolve(config=config, overrides=["ttt.ttt_mlp_hidden_dims.1=16"])
    assert effective.training.ttt.mlp.hidden_dims == (8, 16)


@pytest.mark.parametrize(
    ("name", "written", "means"),
    [("world_size", -1, None), ("ckpt_freq", -1, 0), ("eval_freq", -1, 0), ("ttt.layers", "3,4", (3, 4))],
)
def test_a_value_that_only_an_older_version_takes_is_converted_under_its_name(
    name: str, written: Any, means: Any
) -> None:
    tree: dict[str, Any] = {}
    set_path(tree, tuple(name.split(".")), written)
    for effective in (
        tttcfg.resolve(config=tree),
        tttcfg.resolve(overrides={name: written}),
        tttcfg.resolve(overrides=[f"{name}={written}"]),
    ):
        assert TTT_MOSHI.fields[name].get(effective.training) == means


HARMLESS = [field for field in TTT_MOSHI.public_fields if field.role in (Role.RUN, Role.TRAINING)]
MODEL_DEFINING = [field for field in TTT_MOSHI.public_fields if field.role not in (Role.RUN, Role.TRAINING)]


@pytest.mark.parametrize("field", HARMLESS, ids=[field.name for field in HARMLESS])
def test_a_refused_value_that_decides_nothing_does_not_block_the_rest(field: ConfigField, tmp_path: Path) -> None:
    """Of a saved configuration: an override of that field gets past it, and so does leaving it out."""
    folder = trained(tmp_path, {"ttt.enable": True, "ttt.layers": [1], "ttt.mini_batch_size": 4})
    path = document_file(folder)
    document = json.loads(path.read_bytes())
    set_path(document, field.path, {"no": ["setting", "is", "this"]})
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(tttcfg.InputError) as caught:
        tttcfg.resolve(folder)
    (problem,) = caught.value.problems
    assert problem.key.startswith(field.name)
    assert "to go on, or leave the saved configuration out with --restore none" in problem.advice
    value = plain(field.default)
    effective = resolved(folder, overrides={field.name: value})
    assert effective.training.ttt.mini_batch_size == 4
    assert plain(field.get(effective.training)) == value
    assert resolved(folder, restore="none").training.ttt.mini_batch_size == 16


@pytest.mark.parametrize("field", MODEL_DEFINING[::7], ids=[field.name for field in MODEL_DEFINING[::7]])
def test_a_refused_value_that_decides_what_is_computed_blocks(field: ConfigField, tmp_path: Path) -> None:
    path = document_file(trained(tmp_path, {}))
    document = json.loads(path.read_bytes())
    set_path(document, field.path, {"no": "setting"})
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(tttcfg.InputError, match=field.name):
        tttcfg.resolve(path, overrides={field.name: plain(field.default)})


class Timed(Section):
    """A family whose unit changed from seconds to milliseconds under one name, and whose number became a list."""

    window: float = setting(2000.0, role=Role.COMPUTATION, unit="milliseconds", description="A window.", ge=1)
    depth: list[int] = setting([1], role=Role.ARCHITECTURE, unit="layers", description="Layers of each part.")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Family:
    first = Migration(0, "2026-01-01", "", "", (Declare("window", number(2.0)), Declare("depth", integer(1))))
    layers = {"default": [1], "type": "array", "items": {"type": "integer"}}
    second = Migration(
        1,
        "2026-02-01",
        "",
        "",
        (
            Convert("window", lambda seconds: seconds * 1000, "milliseconds", number(2000.0, minimum=1)),
            Convert("depth", lambda one: [one] if isinstance(one, int) else one, "a list", layers),
        ),
    )
    family = Family(name="timed", model=Timed, migrations="timed.migrations", schemas="tttcfg.schemas")
    monkeypatch.setitem(vars(family), "chain", Chain([first, second]))
    monkeypatch.setitem(vars(family), "steps", {"v0000": 0, "v0000_to_v0001": 1})
    return family


def test_a_value_that_both_versions_take_needs_its_version(timed: Family) -> None:
    options: dict[str, Any]
    for options in ({"config": {"window": 2.0}}, {"overrides": ["window=2.0"]}):
        with pytest.raises(tttcfg.InputError) as caught:
            tttcfg.resolve(family=timed, **options)
        (problem,) = caught.value.problems
        assert (problem.code, problem.key) == ("version", "window")
        assert problem.message == (
            "2.0 is ambiguous: before version 1 it meant 2000.0, and today's version takes it too"
        )
        assert problem.advice == "give schema_version beside it: 1 for today's meaning"
    for version, window in ((0, 2000.0), (1, 2.0)):
        for options in (
            {"config": {"schema_version": version, "window": 2.0}},
            {"overrides": ["window=2.0", f"schema_version={version}"]},
            {"overrides": {"schema_version": version, "window": 2.0}},
        ):
            assert tttcfg.resolve(family=timed, **options).training.window == window
    assert tttcfg.resolve(family=timed, config={"window": 0.5}).training.window == 500.0  # today refuses it


def test_a_value_that_one_version_takes_needs_none(timed: Family) -> None:
    for options in ({"config": {"depth": 7}}, {"overrides": ["depth=7"]}, {"overrides": {"depth": [7]}}):
        assert tttcfg.resolve(family=timed, **options).training.depth == [7]
    with pytest.raises(tttcfg.InputError, match="depth"):
        tttcfg.resolve(family=timed, config={"schema_version": 1, "depth": 7})


def test_a_document_that_is_nearly_whole_is_reported() -> None:
    """It could be taken for one, and its gaps have today's defaults."""
    document = old_document(3, {"ttt.enable": True})
    del document["seed"]
    for one in (document, {"schema_version": 3, **document}):
        (finding,) = (one for one in tttcfg.resolve(config=one).findings if "nearly all" in one.message)
        assert (finding.severity, finding.code) == ("warning", "partial")
        assert "has nearly all fields of version 3, but not seed" in finding.message
    assert not [one for one in tttcfg.resolve(config={"ttt": document["ttt"]}).findings if "nearly" in one.message]


def test_a_whole_document_with_a_newer_key_is_read_as_in_its_checkpoint(tmp_path: Path) -> None:
    document = old_document(3, {"ttt.enable": True})
    document["ttt"]["use_rope"] = True
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(document))
    found, expected = resolved(config=path), resolved(checkpoint(tmp_path / "run", document, None))
    assert saved(found) == saved(expected)
    assumed = [{one.key for one in effective.findings if one.code == "assumed"} for effective in (found, expected)]
    assert assumed[0] == {key for key in assumed[1] if key} != set()
    assert found.provenance["assumed"]["values"].keys() >= assumed[0]


@pytest.mark.parametrize("written", ["true", "false"])
def test_a_typed_override_has_an_older_form_too(written: str) -> None:
    overrides = ["ttt.enable=true", f"ttt.persistent_states={written}", "ttt.mlp.layers=3"]
    effective = tttcfg.resolve(overrides=overrides)
    assert effective.training.ttt.persistent_states == "first_sequence"
    with pytest.raises(tttcfg.InputError, match=r"'yes' is refused: must be 'never'"):
        tttcfg.resolve(overrides=["ttt.persistent_states=yes"])


def test_values_that_were_obeyed_are_not_reported_as_converted() -> None:
    for config, overrides in (
        ({"ttt": {"enable": True, "ttt_mlp_layers": 3, "ttt_mlp_expansion_factor": 2}}, []),
        (None, ["ttt.enable=true", "ttt.mlp.layers=3", "ttt.ttt_mlp_expansion_factor=2"]),
    ):
        effective = tttcfg.resolve(config=config, overrides=overrides)
        assert effective.training.ttt.mlp.expansion_factor == 2.0
        assert not [one for one in effective.findings if one.code == "converted"]


def test_an_item_under_an_old_name_is_read_as_the_old_program_did() -> None:
    config = {"ttt": {"enable": True, "mlp": {"hidden_dims": [9]}}}
    effective = tttcfg.resolve(config=config, overrides=["ttt.ttt_mlp_hidden_dims.0=7"])
    assert effective.training.ttt.mlp.hidden_dims is None  # of two layers, whose width was not read


BROKEN: list[tuple[str, str, list[str]]] = [
    ('"max_norm": 1.0', '"max_norm": Infinity', ["max_norm=1"]),
    ('"seed": 0', '"seed": 1' + "0" * 400, ["seed=1"]),
    ('"seed": 0', '"seed": 1' + "0" * 5000, ["seed=1"]),
    ("0.95", "1.5", ["optim.betas=[0.8, 0.9]"]),
    ('"offline": false', '"offline": {"a": 1}', ["wandb.offline=true"]),
]


@pytest.mark.parametrize(("old", "new", "overrides"), BROKEN, ids=[new[:24] for _, new, _ in BROKEN])
def test_what_no_reader_takes_is_got_past_as_well(old: str, new: str, overrides: list[str], tmp_path: Path) -> None:
    path = document_file(trained(tmp_path, {"ttt.mini_batch_size": 4}))
    assert path.read_text("utf-8").count(old) == 1
    path.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(tttcfg.InputError, match=r"override .* to go on"):
        tttcfg.resolve(path)
    assert resolved(path, overrides=overrides).training.ttt.mini_batch_size == 4
    assert resolved(path, restore="none").training.ttt.mini_batch_size == 16


def test_a_section_that_is_none_is_got_past_by_leaving_the_configuration_out(tmp_path: Path) -> None:
    path = document_file(trained(tmp_path))
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "wandb": "x"}), encoding="utf-8")
    with pytest.raises(tttcfg.InputError, match=r"override all of wandb to go on"):
        tttcfg.resolve(path)
    assert resolved(path, restore="none").training.wandb.project is None


class Tagged(Section):
    """A family whose list got another name."""

    labels: list[str] = setting([], role=Role.TRAINING, unit="words", description="Words.")


def test_an_item_of_a_list_is_set_under_the_name_that_the_list_had(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"default": [], "type": "array", "items": {"type": "string"}}
    second = Migration(1, "2026-02-01", "", "", (Rename("tags", "labels", "a better word"),))
    family = Family(name="tagged", model=Tagged, migrations="tagged.migrations", schemas="tttcfg.schemas")
    first = Migration(0, "2026-01-01", "", "", (Declare("tags", words),))
    monkeypatch.setitem(vars(family), "chain", Chain([first, second]))
    monkeypatch.setitem(vars(family), "steps", {"v0000": 0, "v0000_to_v0001": 1})
    found = tttcfg.resolve(family=family, overrides=["labels=[a, b]", "tags.1=c"])
    assert found.training.labels == ["a", "c"]
    assert [one.where for one in found.origins["labels"]][:2] == ["override 2 (tags.1)", "override 1 (labels)"]


def test_no_conversion_of_the_built_in_family_is_ambiguous() -> None:
    """Its declaration marks it, so the history is not searched."""
    assert TTT_MOSHI.unambiguous
    assert TTT_MOSHI.chain.converted >= {"world_size", "ttt.layers", "ttt.persistent_states"}
    for name in TTT_MOSHI.chain.converted & TTT_MOSHI.fields.keys():
        field = TTT_MOSHI.fields[name]
        for value in (*alternatives(field), plain(field.default)):
            tree: dict[str, Any] = {}
            set_path(tree, field.path, value)
            read, reading = TTT_MOSHI.chain.up_partial(tree, Record(), None, lambda values: values)
            assert (read, reading.ambiguous, reading.deferred) == (tree, [], {})
