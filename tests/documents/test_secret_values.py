"""Which values in a document are secret: by declaration where a setting is known, else by the name of its key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tttcfg
from tests.builders import SECRET, old_document
from tttcfg.documents.secret_values import instead_of, scalars, secrets_in
from tttcfg.fleet.scrub import ScrubTask, scrub_file
from tttcfg.migration.record import provenance_without_secrets
from tttcfg.secrets import WITHHELD
from tttcfg.ttt_moshi.family import TTT_MOSHI


@pytest.mark.parametrize(
    ("key", "value", "becomes"),
    [
        ("wandb.key", "s", None),
        ("wandb.key", 123, None),
        ("wandb.key.0", "s", WITHHELD),
        ("wandb.project", "p", "p"),
        ("wandb.kye", "s", "s"),
        ("wandb.api_key", "s", WITHHELD),
        ("hf_token", "s", WITHHELD),
        ("ttt.layers.0", "s", "s"),
        ("seed.api_key", "s", WITHHELD),
        ("auth.user", "s", WITHHELD),
        ("paper_metrics.deep.0.password", "s", WITHHELD),
        ("paper_metrics.key_dim", 64, 64),
        ("paper_metrics.api_key", "", ""),
        ("paper_metrics.api_key", WITHHELD, WITHHELD),
        ("paper_metrics.api_key", None, None),
        ("extensions.token_mixer.name", "n", "n"),
        ("extensions.token_mixer.api_token", "s", WITHHELD),
        ("extensions.token_mixer.provenance.removed.the token.x", "n", "n"),
        ("provenance.removed.the token.x", "n", "n"),
        ("provenance.removed.why.wandb_key", "s", WITHHELD),
        ("provenance.assumed.values.wandb_key", "s", WITHHELD),
        ("provenance.renamed.why.old_name", "new", "new"),
        ("provenance.renamed.why.api_token", "s", WITHHELD),
        ("provenance.filled.api_token.x", "s", WITHHELD),
        ("provenance.filled.the api_token.x", "s", "s"),
        ("provenance.weights.0.api_token", "s", WITHHELD),
        ("provenance.note.password", 8675309, WITHHELD),
        ("provenance.note.password", None, None),
        ("provenance.api_key", "s", WITHHELD),
        ("$schema", "s", "s"),
        ("schema_version", 7, 7),
    ],
)
def test_what_takes_the_place_of_a_value(key: str, value: Any, becomes: Any) -> None:
    assert instead_of(tuple(key.split(".")), value, TTT_MOSHI) == becomes


def test_without_a_family_names_alone_decide() -> None:
    assert instead_of(("wandb", "key"), "s", None) == WITHHELD
    assert instead_of(("wandb", "key"), 123, None) == 123


@pytest.mark.parametrize("version", range(TTT_MOSHI.head + 1))
def test_no_setting_that_is_declared_and_no_secret_is_taken_for_one(version: int) -> None:
    assert secrets_in(old_document(version), TTT_MOSHI) == []
    values = {name: "text" for name in TTT_MOSHI.chain.fields(version) if name != "wandb.key"}
    assert [
        name for name, value in values.items() if instead_of(tuple(name.split(".")), value, TTT_MOSHI) != value
    ] == []


KINDS = [
    *("written_by", "written_at", "migrated_from", "decided_by", "filled", "renamed", "converted", "removed"),
    *("section_digests", "doubted", "assumed", "adopted", "weights", "note"),
]
NAMES = ["api_token", "x", "a sentence", "the api_token", "0", "wandb.key"]
PROVENANCE = st.dictionaries(
    st.sampled_from([*KINDS, *NAMES]),
    st.recursive(
        st.sampled_from([SECRET, 7, True, None, "--api-key", f"HF_TOKEN={SECRET}", f"a --api-key {SECRET} b"]),
        lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from(NAMES), below, max_size=2),
        max_leaves=6,
    ),
    max_size=4,
)


@given(PROVENANCE)
def test_what_is_withheld_of_provenance_is_what_is_not_saved_of_it(provenance: dict[str, Any]) -> None:
    saved = provenance_without_secrets(provenance)
    kept = {path: value for path, value, _ in scalars(saved, ())}
    for path, value, before in scalars(provenance, ()):
        becomes = instead_of(("provenance", *path), value, TTT_MOSHI, before)
        assert becomes == (value if value is None else kept.get(path, WITHHELD)), path
    assert provenance_without_secrets(saved) == saved


PLACES: dict[str, Any] = {
    "below": {"api_token": SECRET},
    "in a list": [{"api_token": SECRET}],
    "below a reason": {"the reason": {"api_token": SECRET}},
    "in the place of a reason": {"api_token": {"x": SECRET}},
    "a list": {"api_token": [SECRET, {"x": SECRET}]},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_scrubbing_and_saving_remove_the_same_of_every_kind_of_provenance(
    kind: str, place: str, tmp_path: Path
) -> None:
    path = tttcfg.save_document(tmp_path, tttcfg.TrainingArgs())
    tree = json.loads(path.read_bytes())
    tree["provenance"] |= {kind: PLACES[place]}
    path.write_text(json.dumps(tree, indent=2))
    saved = tttcfg.save_document(tmp_path / "saved.json", tttcfg.load_document(path)).read_bytes()
    assert scrub_file(str(path), ScrubTask(write=True)).status == "scrubbed"
    assert SECRET not in path.read_text()
    assert SECRET.encode() not in saved
    again = tttcfg.save_document(tmp_path / "again.json", tttcfg.load_document(path)).read_bytes()
    assert json.loads(again) == json.loads(saved)
    assert scrub_file(str(tmp_path / "saved.json"), ScrubTask()).status == "clean"
