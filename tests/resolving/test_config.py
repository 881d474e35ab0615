"""Configuration files as a source: old spellings, merging, places, and the real files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tttcfg
from tttcfg.errors import ForeignDocumentError, InputError, Place
from tttcfg.formats.text import ParsedFile
from tttcfg.resolving.config import read_config, whole_document
from tttcfg.ttt_moshi.family import TTT_MOSHI

CATALOGUE = "configs_ttt_optimized_examples.yaml"
FOREIGN = {
    "configs_ttt_memory_optimized.yaml": [
        (36, "ttt.disable_compile"),
        (37, "ttt.gradient_checkpointing"),
        (38, "ttt.sequential_processing"),
        (78, "cuda_memory_fraction"),
        (79, "empty_cache_frequency"),
    ],
    "configs_silence_codes_config_example.yaml": [(6, "paper_metrics.use_silence_codes")],
    CATALOGUE: [
        (16, "ttt_max_efficiency"),
        (38, "ttt_balanced"),
        (60, "ttt_granular"),
        (82, "ttt_custom"),
        (104, "ttt_legacy"),
        (148, "ttt_ultra_efficient"),
        (157, "ttt_ultra_granular"),
        (166, "ttt_token_by_token_prep"),
    ],
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_values_and_places_come_by_leaf(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "seed: 3\nttt:\n  layers: [3, 1]\n  mlp: {layers: 3}\n")
    found = read_config(path, TTT_MOSHI)
    assert found.values == {"seed": 3, "ttt.layers": (1, 3), "ttt.mlp.layers": 3}
    file = str(path)
    places = {"seed": Place(file, 1, 1), "ttt.layers": Place(file, 3, 3), "ttt.mlp.layers": Place(file, 4, 9)}
    assert found.places == places


def test_an_old_spelling_is_renamed_with_a_note_and_keeps_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "ttt:\n  enable: true\n  ttt_mlp_layers: 3\n")
    found = read_config(path, TTT_MOSHI)
    assert found.values == {"ttt.enable": True, "ttt.mlp.layers": 3}
    assert found.places["ttt.mlp.layers"] == Place(str(path), 3, 3)
    assert [(note.code, note.key) for note in found.notes] == [("renamed", "ttt.ttt_mlp_layers")]


def test_a_bad_value_under_an_old_spelling_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "ttt:\n  enable: true\n  ttt_mlp_layers: x\n")
    with pytest.raises(InputError, match=rf"{path}:3:3: .*'x' is refused"):
        read_config(path, TTT_MOSHI)


@settings(max_examples=200)
@example("1e+100").via("a text that PyYAML writes without quotes")
@example("08").via("no number of YAML 1.1")
@given(st.from_regex(r"[-+]?(0o?)?[0-9]{0,3}\.?[0-9]{0,3}([eE][-+]?[0-9]{1,2})?", fullmatch=True).filter(bool))
def test_a_text_that_pyyaml_writes_is_the_text_it_was(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """The trainer writes its args.yaml with PyYAML, which reads YAML 1.1: `1e+100` is text there, and a number here."""
    path = tmp_path_factory.mktemp("dumped") / "args.yaml"
    path.write_text(yaml.safe_dump({"run_dir": text, "optim": {"lr": 1e-05}, "wandb": {"project": text}}), "utf-8")
    found = read_config(path, TTT_MOSHI).values
    assert (found["run_dir"], found["optim.lr"], found["wandb.project"]) == (text, 1e-05, text)


def test_a_null_section_is_absent(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, "a.yaml", "seed: 1\nttt:\n"), TTT_MOSHI).values == {"seed": 1}


def test_sections_that_share_an_alias_do_not_change_each_other(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.yaml", "evaluation:\n  tstory: &p {max_pairs: 5}\n  sstory: *p\nttt: {ttt_mlp_layers: 3}\n"
    )
    values = read_config(path, TTT_MOSHI).values
    assert values["evaluation.tstory.max_pairs"] == values["evaluation.sstory.max_pairs"] == 5


def test_files_merge_left_to_right_field_by_field(tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", "seed: 1\noptim: {lr: 1e-4, eps: 1e-6}\n")
    two = write(tmp_path, "two.toml", "[optim]\nlr = 2e-4\n")
    three = write(tmp_path, "three.json", '{"seed": 3}')
    effective = tttcfg.resolve(config=[one, two, three])
    assert (effective.training.seed, effective.training.optim.lr, effective.training.optim.eps) == (3, 2e-4, 1e-6)
    assert effective.origins["seed"][0].where == f"{three}:1:2"
    assert effective.origins["optim.lr"][0].where == f"{two}:2:1"
    assert effective.origins["optim.eps"][0].where == f"{one}:2:19"


def test_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    files = [write(tmp_path, "a.yaml", "seed: x\n"), write(tmp_path, "b.json", '{"sed": 1}'), tmp_path / "c.toml"]
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config=files)
    assert [str(problem.place) for problem in caught.value.problems] == [
        f"{files[0]}:1:1",
        f"{files[1]}:1:2",
        str(files[2]),
    ]


def real_yaml(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "yaml").glob("*.yaml"))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_real_file_that_is_no_configuration_fails_key_by_key(name: str, shared_data: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_config(shared_data / "yaml" / name, TTT_MOSHI)
    problems = [problem for problem in caught.value.problems if problem.code != "foreign"]
    places = [problem.place for problem in problems]
    assert [
        (getattr(place, "line", 0), problem.key) for place, problem in zip(places, problems, strict=True)
    ] == FOREIGN[name]
    assert {problem.code for problem in problems} == {"unknown_key"}


def test_a_real_catalogue_is_recognised(shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"is a catalogue of 8 fragments .* copy the one you want under ttt:"):
        read_config(shared_data / "yaml" / CATALOGUE, TTT_MOSHI)


def test_every_other_real_file_loads(shared_data: Path) -> None:
    files = [path for path in real_yaml(shared_data) if path.name not in FOREIGN]
    assert len(files) == 11
    for path in files:
        assert read_config(path, TTT_MOSHI).values


@pytest.mark.parametrize("version", ["", "schema_version: 0\n"])
def test_a_file_that_names_the_schema_of_another_family_is_refused(tmp_path: Path, version: str) -> None:
    """With a version or without one, and although every key of it is one of ours."""
    path = write(tmp_path, "theirs.yaml", f"$schema: urn:tttcfg:other:v0000\n{version}batch_size: 4\n")
    with pytest.raises(
        ForeignDocumentError, match=r"theirs.yaml:1:1.* of the family other.*no family other is installed"
    ):
        read_config(path, TTT_MOSHI)


def test_a_file_may_name_the_schema_of_its_own_family(tmp_path: Path) -> None:
    path = write(tmp_path, "ours.yaml", f"$schema: {TTT_MOSHI.schema_id}\nbatch_size: 4\n")
    assert read_config(path, TTT_MOSHI).values == {"batch_size": 4}


def test_a_name_of_today_beside_an_old_one_has_a_value_of_today() -> None:
    """The old name brings in the history, which must not convert what it never knew in another form."""
    config = {"ttt": {"mlp": {"layers": 2, "expansion_factor": 2.0}, "use_rope": True}}
    ttt = tttcfg.resolve(config=config).training.ttt
    assert (ttt.mlp.expansion_factor, ttt.rope_mode) == (2.0, "mini_batch")


def test_a_setting_under_both_of_its_names_is_refused_under_the_old_one() -> None:
    both = {"paper_metrics": {"sblimp_max_pairs": 3}, "evaluation": {"sblimp": {"max_pairs": 4}}}
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config=both)
    assert [problem.key for problem in caught.value.problems] == ["paper_metrics.sblimp_max_pairs"]


def test_a_file_of_a_known_other_format_is_refused_with_what_it_is() -> None:
    with pytest.raises(InputError, match=r"is a dashboard's baseline stub.* it names a base model") as caught:
        tttcfg.resolve(config={"baseline": "moshi"})
    assert [problem.code for problem in caught.value.problems] == ["foreign"]


def test_whether_a_file_is_a_whole_document() -> None:
    """One that has every field of a version is one, whatever its format."""
    whole = ParsedFile(TTT_MOSHI.chain.template(3), {}, "args.yaml")
    document = whole_document(whole, TTT_MOSHI)
    assert document is not None
    assert document.version == 3
    assert whole_document(ParsedFile({"seed": 1}, {}, "args.yaml"), TTT_MOSHI) is None


def test_a_catalogue_names_the_section_that_its_fragments_are_of() -> None:
    fragments = {name: {"base_lr": 1.0, "mini_batch_size": 8} for name in ("fast", "small")}
    with pytest.raises(InputError, match=r"is a catalogue of 2 fragments \('fast', 'small', …\).* under ttt:"):
        tttcfg.resolve(config={**fragments, "other": {"base_lr": 1.0, "a": 1, "b": 2}, "seed": 1})
