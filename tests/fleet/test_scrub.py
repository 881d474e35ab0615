"""Removing secrets from files: they are gone, and everything else is as it was."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import tttcfg
from tests.builders import MODEL, SECRET, old_document, trained, write_json
from tests.evidence.dialects.tensors import Size, consolidated
from tests.safetensors.files import weights_file
from tttcfg.family.family import Family
from tttcfg.fleet.scrub import ScrubResult, ScrubTask, is_searched, scrub_file
from tttcfg.formats.yaml import read_yaml
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare, Remove
from tttcfg.migration.section_digests import section_digest
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema.fragments import free_form, integer
from tttcfg.secrets import WITHHELD, looks_secret
from tttcfg.verification.tags import TAG_KEY, tag_of

WRITE = ScrubTask(write=True)
KEYS = ("seed", "name", "deep", "api_key", "hf_token", "a.b", "password", "layers", "a key", "ключ")
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["x", "# y", "a: b", "", "é\n'\"z", "*"])
)
TREES = st.recursive(
    PLAIN | st.just(SECRET),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS), below, max_size=4),
    max_leaves=12,
)


def scrubbed(path: Path, task: ScrubTask = WRITE) -> ScrubResult:
    return scrub_file(str(path), task)


def expected(value: Any, secret: bool = False) -> Any:
    """Return a tree as scrubbing should leave it, where its keys are no settings."""
    if isinstance(value, dict):
        return {key: expected(item, secret or looks_secret(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [expected(item, secret) for item in value]
    return WITHHELD if secret and isinstance(value, str) and value else value


@given(values=st.dictionaries(st.sampled_from(KEYS), TREES, min_size=1, max_size=4), form=st.integers(0, 3))
@settings(max_examples=150)
def test_what_is_left_is_what_was_there_without_secrets(
    values: dict[str, Any], form: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In JSON and YAML of several forms; where a secret is in the place of no secret as well, that is reported."""
    path = tmp_path_factory.mktemp("tree") / ("any.json" if form < 2 else "args.yaml")
    texts = (
        lambda: json.dumps(values, ensure_ascii=False),
        lambda: json.dumps(values, indent=2),
        lambda: yaml.safe_dump(values, allow_unicode=True),
        lambda: yaml.safe_dump(values, default_flow_style=True, width=20),
    )
    path.write_text(texts[form](), "utf-8")
    before = read_yaml(path.read_text("utf-8"), "any").values
    outcome = scrubbed(path)
    after = read_yaml(path.read_text("utf-8"), "any").values
    assert after == expected(before)
    assert (outcome.status == "scrubbed") == (after != before)
    if outcome.secrets and not outcome.problems:
        removed = json.dumps(before).count(SECRET) > json.dumps(after).count(SECRET)
        assert not removed or SECRET not in path.read_text("utf-8")


STYLES = {
    "plain": ("key: SECRET  # why", "key: null  # why"),
    "single": ("key: 'SECRET' # why", "key: null # why"),
    "double": ('key: "SECRET"', "key: null"),
    "tagged": ("key: !!str SECRET", "key: null"),
    "folded": ("key: >-  # why\n    SECRET\n    more\n\n", "key: null  # why\n\n"),
    "literal": ("key: |\n    SECRET\n", "key: null\n"),
    "next line": ("key:\n    SECRET", "key:\n    null"),
    "anchored": ("key: &k SECRET\n  project: p", "key: &k null\n  project: p"),
    "flow": ("{key: SECRET, project: p}", "{key: null, project: p}"),
    "number": ("key: 0123456", "key: null"),
    "list": ("key: [SECRET, {a: SECRET}]", "key: [(withheld), {a: (withheld)}]"),
    "quoted key": ('"key" : SECRET', '"key" : null'),
}


@pytest.mark.parametrize("style", STYLES)
def test_every_other_byte_of_a_yaml_file_stays(style: str, tmp_path: Path) -> None:
    old, new = STYLES[style]
    path = tmp_path / "args.yaml"
    frame = "# run: SECRETS are below\n\nseed:   1   # odd\nwandb:\n  {}\nttt: {{layers:  [1,2]}}\n...\n"
    path.write_text(frame.format(old.replace("SECRET", SECRET)))
    outcome = scrubbed(path)
    assert path.read_text() == frame.format(new)
    assert (outcome.status, outcome.problems) == ("scrubbed", ())
    assert scrubbed(path).status == "clean"


ASSIGNED = {
    "items": ("argv: [--wandb.key=SECRET, --lr=1]", "argv: [(withheld), --lr=1]"),
    "neighbours": ("argv: [--api-key, SECRET, 'x']", "argv: [--api-key, (withheld), 'x']"),
    "block items": ("env:\n- HF_TOKEN=SECRET  # why\n- A=1", "env:\n- (withheld)  # why\n- A=1"),
    "quoted": ("env: ['HF_TOKEN=SECRET', \"A_KEY=SECRET\"]", "env: [(withheld), (withheld)]"),
    "a line": ("cmd: python x.py --api-key SECRET  # why", "cmd: (withheld)  # why"),
    "lines": ("cmd: |\n  x --api-key SECRET\ny: 1\n", "cmd: (withheld)\ny: 1\n"),
    "escaped": ('cmd: "\\x41_KEY=SECRET \\t: z"', "cmd: (withheld)"),
    "JSON": ('{"argv": ["--api-key", "SECRET"]}', '{"argv": ["--api-key", "(withheld)"]}'),
    "JSON line": ('{"cmd": "é\\u0041 --api-key SECRET \\n"}', '{"cmd": "(withheld)"}'),
    "an alias": ("argv: [--api-key, *a]\nb: 1", "argv: [--api-key, (withheld)]\nb: 1"),
}


@pytest.mark.parametrize("name", ASSIGNED)
def test_what_texts_assign_to_secrets_is_removed_and_nothing_else(name: str, tmp_path: Path) -> None:
    old, new = (f"a: &a SECRET\n{one}" if name == "an alias" else one for one in ASSIGNED[name])
    path = tmp_path / ("args.json" if "JSON" in name else "args.yaml")
    path.write_text(old.replace("SECRET", SECRET), "utf-8")
    outcome = scrubbed(path)
    assert (outcome.status, outcome.problems) == ("scrubbed", ())
    assert path.read_text("utf-8") == new.replace("SECRET", WITHHELD)
    assert SECRET not in repr(outcome)
    assert {one.becomes for one in outcome.secrets} == {WITHHELD}
    assert scrubbed(path).status == "clean"


def test_what_the_alias_of_a_secret_stands_for_is_one(tmp_path: Path) -> None:
    path = tmp_path / "args.yaml"
    path.write_text(f"shared: &a {SECRET}\nmore: &b [{SECRET}, 1]\nwandb:\n  key: *a\nhf_token: *b\nother: *a\n")
    assert scrubbed(path).problems == ()
    assert path.read_text() == (
        f"shared: &a {WITHHELD}\nmore: &b [{WITHHELD}, 1]\nwandb:\n  key: null\nhf_token: {WITHHELD}\nother: *a\n"
    )


@pytest.mark.parametrize("version", range(7))
def test_old_documents_mean_what_they_meant(version: int, tmp_path: Path) -> None:
    document = old_document(version, {"wandb.key": SECRET})
    if version:
        document["paper_metrics"] = {"api_key": SECRET, "deep": [{"password": SECRET, "loss": 0.5}]}
    path = write_json(tmp_path / f"training_config.json.v{version}.bak", document)
    before = tttcfg.load_document(path)
    assert scrubbed(path).problems == ()
    after = tttcfg.load_document(path)
    assert (after.training, after.version, after.decided_by) == (before.training, before.version, before.decided_by)
    assert SECRET not in path.read_text()


def test_a_current_document_that_was_refused_is_read_again(tmp_path: Path) -> None:
    path = tttcfg.save_document(tmp_path, tttcfg.TrainingArgs())
    tree = json.loads(path.read_bytes())
    tree["wandb"]["key"] = SECRET
    path.write_text(json.dumps(tree, indent=2))
    with pytest.raises(tttcfg.InputError, match="tttcfg scrub"):
        tttcfg.load_document(path)
    assert [one.key for one in scrubbed(path).secrets] == ["wandb.key"]
    assert tttcfg.load_document(path).training == tttcfg.TrainingArgs()


@pytest.fixture
def bound(tmp_path: Path) -> Path:
    """A checkpoint of two files that are bound to each other, both with a secret of an extension that is not there."""
    values = {"ttt.enable": True, "ttt.layers": [1, 2], "param_dtype": "float32"}
    folder = trained(tmp_path / "run", values, {**MODEL, "num_layers": 4}) / "consolidated"
    path = folder / "training_config.json"
    tree = {**json.loads(path.read_bytes()), "extensions": {"noise": {"schema_version": 0, "api_token": SECRET}}}
    path.write_text(json.dumps(tree, indent=2) + "\n")
    shapes = {name: ("F32", shape) for name, shape in consolidated(Size(), [1, 2], [64]).items()}
    weights_file(folder / "consolidated.safetensors", shapes)
    assert tttcfg.bind(folder, tttcfg.load_document(path), embed=True).state == "bound"
    return folder


def test_weights_and_document_stay_bound(bound: Path) -> None:
    weights = bound / "consolidated.safetensors"
    data = weights.read_bytes()
    assert data.count(SECRET.encode()) == 1
    for path in (weights, bound / "training_config.json"):
        os.chmod(path, 0o640)
        assert [one.key for one in scrubbed(path).secrets] == ["extensions.noise.api_token"]
        assert SECRET.encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert tttcfg.verify(bound).binding == "bound"
        assert scrubbed(path).status == "clean"
    length = int.from_bytes(data[:8], "little")
    after = weights.read_bytes()
    assert data[8 + length :] == after[8 + int.from_bytes(after[:8], "little") :], "the tensors"
    assert sorted(path.name for path in bound.iterdir()) == [
        *("config.json", "consolidated.safetensors", "training_config.json")
    ]


def test_weights_that_are_bound_half_are_refused(bound: Path) -> None:
    """Their tag, which the document names, would be another one, and the two would contradict each other."""
    from tttcfg.safetensors.header import read_header
    from tttcfg.verification.tags import tag_digest

    path = bound / "training_config.json"
    tree = json.loads(path.read_bytes())
    tree["provenance"]["weights"][0]["replaces"] = [
        tag_digest(read_header(str(bound / "consolidated.safetensors")).metadata)
    ]
    path.write_text(json.dumps(tree, indent=2))
    outcome = scrubbed(bound / "consolidated.safetensors")
    assert "bound only half" in outcome.problems[0].message


def test_weights_without_an_embedded_configuration_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights_file(path, {"w": ("F32", (2,))}, metadata={"format": "pt"})
    assert scrubbed(path) == ScrubResult(str(path), "clean")


def test_a_secret_that_is_in_a_comment_too_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "args.yaml"
    path.write_text(f"wandb:\n  key: {SECRET}\nseed: 1  # not {SECRET}\n")
    outcome = scrubbed(path)
    assert path.read_text() == f"wandb:\n  key: null\nseed: 1  # not {SECRET}\n"
    assert [str(one.place) for one in outcome.problems] == [f"{path}:3:16"]
    assert SECRET not in repr(outcome)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("training_config.json", '{"wandb": {"key": "SECRET"}', "a comma or closing bracket"),
        ("training_config.json", '{"wandb": {"key": "SECRET", "key": "SECRET"}}', "is a duplicate key"),
        ("args.yaml", "wandb: {key: SECRET", "is missing here"),
        ("args.yaml", "wandb: {key: SECRET}\n# " + "x" * (1 << 16), "YAML may have"),
        ("any.toml", 'wandb.key = "SECRET"', "TOML is not rewritten"),
        ("any.toml.bak", '[wandb]\nkey = "SECRET"', "TOML is not rewritten"),
        ("a.safetensors", "SECRET", ""),
    ],
)
def test_what_cannot_be_scrubbed_stays_and_is_reported(name: str, text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text.replace("SECRET", SECRET))
    outcome = scrubbed(path)
    assert outcome.status == "failed"
    assert reason in str(outcome.problems[0])
    assert SECRET not in repr(outcome)
    assert path.read_text() == text.replace("SECRET", SECRET)


def test_a_file_with_other_names_is_refused(tmp_path: Path) -> None:
    """They would keep the old bytes."""
    path = write_json(tmp_path / "training_config.json", old_document(6, {"wandb.key": SECRET}))
    os.link(path, tmp_path / "other")
    assert "has 2 names" in scrubbed(path).problems[0].message
    assert SECRET in path.read_text()
    os.unlink(tmp_path / "other")
    assert scrubbed(path).status == "scrubbed"


def test_a_link_is_followed(tmp_path: Path) -> None:
    path = write_json(tmp_path / "blob", old_document(6, {"wandb.key": SECRET}))
    link = tmp_path / "training_config.json"
    link.symlink_to(path)
    assert scrubbed(link).status == "scrubbed"
    assert link.is_symlink()
    assert SECRET not in path.read_text()


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    path = write_json(tmp_path / "training_config.json", old_document(6, {"wandb.key": SECRET}))
    assert scrubbed(path, ScrubTask()).status == "planned"
    assert SECRET in path.read_text()


def test_a_key_that_is_none_is_kept(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "training_config.json", {"extensions": {"text": {"pad_token": "<pad>", "hf_token": "s"}}}
    )
    outcome = scrubbed(path, ScrubTask(write=True, keep=("extensions.text.pad_token",)))
    assert [one.key for one in outcome.secrets] == ["extensions.text.hf_token"]
    assert "<pad>" in path.read_text()


def test_a_document_of_a_family_that_is_not_installed_is_judged_by_its_keys(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "training_config.json", {"$schema": "urn:tttcfg:nowhere:v0001", "hub": {"token": SECRET}}
    )
    assert [one.key for one in scrubbed(path).secrets] == ["hub.token"]


class Notes(Section):
    notes: dict[str, Any] = setting({}, role=Role.RUN, unit="any", description="Free notes.")
    width: int = setting(1, role=Role.ARCHITECTURE, unit="channels", description="A width.")
    blocks: dict[str, Any] = setting({}, role=Role.ARCHITECTURE, unit="any", description="What it is made of.")


class NotesArgs(Section):
    part: Notes = Notes()


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Family:
    """A family with settings of free form, and one that its second version removed."""
    declared = [Declare(f"part.{name}", free_form()) for name in ("notes", "blocks")]
    first = Migration(
        0, "2026-01-01", "first", "e", (*declared, Declare("part.width", integer(1)), Declare("part.old", integer(3)))
    )
    second = Migration(1, "2026-01-02", "second", "e", (Remove("part.old", "nothing read it"),))
    family = Family("notes", NotesArgs, "tests.fleet", "tests.fleet")
    monkeypatch.setitem(vars(family), "steps", {"v0000": 0, "v0000_to_v0001": 1})
    monkeypatch.setitem(vars(family), "head", 1)
    monkeypatch.setitem(vars(family), "chain", Chain([first, second]))
    return family


def test_digests_of_sections_are_those_of_what_is_left(notes: Family, tmp_path: Path) -> None:
    """What was removed from such a section can still be restored, as in a section that was not edited."""
    part = {"notes": {"api_key": SECRET, "x": 1}, "width": 1, "blocks": {}}
    old = section_digest({"part": part}, "part")
    kept = {"removed": {"nothing read it": {"part.old": 5}}, "section_digests": {old: {"part.old": "part"}}}
    tree = {"$schema": notes.schema_id, "schema_version": 1, "part": part, "provenance": kept}
    path = write_json(tmp_path / "training_config.json", tree)
    assert scrubbed(path, ScrubTask(write=True, family_name="notes")).problems == ()
    after = json.loads(path.read_text())
    assert after["part"]["notes"] == {"api_key": WITHHELD, "x": 1}
    assert list(after["provenance"]["section_digests"]) == [section_digest(after, "part")]


def test_what_defines_the_model_is_never_changed(notes: Family, tmp_path: Path) -> None:
    part = {"notes": {}, "width": 1, "blocks": {"sort_key": "length"}}
    tree = {"$schema": notes.schema_id, "schema_version": 1, "part": part, "provenance": {}}
    path = write_json(tmp_path / "training_config.json", tree)
    outcome = scrubbed(path, ScrubTask(write=True, family_name="notes"))
    assert "defines the model" in outcome.problems[0].message
    assert "length" in path.read_text()


@pytest.mark.parametrize(
    ("name", "searched"),
    [
        ("training_config.json", True),
        ("training_config.json.v3.bak", True),
        ("training_config.json.v3.1.bak", True),
        ("training_config.json.bak", True),
        ("training_config.json.embedded-0123abcd.bak", True),
        ("resolved.yaml.bak", True),
        ("args.yaml", True),
        ("args.yml", True),
        ("lora.safetensors", True),
        ("config.json", False),
        ("mine.cfg.bak", True),
        ("mine.bak", True),
        ("mine.1.bak", True),
        (".bak.yaml", False),
        ("optimizer.pt", False),
    ],
)
def test_what_is_searched(name: str, searched: bool) -> None:
    assert is_searched(name) is searched


def test_tags_stay_readable(bound: Path) -> None:
    from tttcfg.safetensors.header import read_header

    path = bound / "consolidated.safetensors"
    before = tag_of(read_header(str(path)).metadata)
    scrubbed(path)
    after = tag_of(read_header(str(path)).metadata)
    assert before is not None
    assert after is not None
    assert before["digest"] == after["digest"]
    text = read_header(str(path)).metadata[TAG_KEY]
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
