"""`--family`: every command serves another trainer's configurations, wherever they are declared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.builders import HEAD, NEWEST, write_json
from tests.cli.process import run
from tests.families import REFERENCE, install, write_family
from tests.schema_tools.projects import FAMILY, Project, bare_project

CURRENT = {"$schema": "urn:tttcfg:other:v0000", "schema_version": 0, "width": 32, "learning_rate": 0.5}
PLAIN_TYPES = """
from typing import Any, Literal

from tttcfg.family.family import Family
from tttcfg.schema.fields import Role, Section, Text, setting


def trained(default: Any) -> Any:
    return setting(default, role=Role.TRAINING, unit="dimensionless", description="A setting.")


def built(default: Any) -> Any:
    return setting(default, role=Role.ARCHITECTURE, unit="dimensionless", description="A setting.")


class Part(Section):
    rate: float = built(0.5)
    span: tuple[int, int] = built((0, 1))


class Optim(Section):
    betas: tuple[float, float] = trained((0.9, 0.95))
    name: Literal["adam", "sgd"] = trained("adam")


class Args(Section):
    out: Text | None = trained(None)
    tags: list[str] = setting(default_factory=list, role=Role.TRAINING, unit="tags", description="A setting.")
    more_tags: list[Text] | None = trained(None)
    sizes: dict[str, int] = built({})
    splits: dict[str, list[tuple[str, float]]] = trained({})
    by_step: dict[int, float] = trained({})
    window: tuple[int, int] | None = built(None)
    kernel: tuple[int, ...] = built((3,))
    anything: dict[str, Any] = trained({})
    best: Part | None = built(None)
    parts: list[Part] = built([])
    level: Literal[1, 2, "most"] | float = trained(1)
    optim: Optim = Optim()


FAMILY = Family("trainer", Args, "trainer.migrations", "trainer.schemas")
"""
GIVEN = {
    "out": "a:b",
    "tags": ["x:y", "z"],
    "more_tags": ["m"],
    "sizes": {"a:b": 1, "c": 2},
    "splits": {"train": [["there", 0.5]]},
    "by_step": {"10": 0.25},
    "window": [1, 2],
    "kernel": [3, 5],
    "anything": {"free": {"form": [1, None, "k:v"]}},
    "best": {"rate": 0.25, "span": [1, 2]},
    "parts": [{"rate": 0.75, "span": [3, 4]}],
    "level": "most",
    "optim": {"betas": [0.5, 0.75], "name": "sgd"},
}
YAML = """
out: "a:b"
tags: ["x:y", z]
more_tags: [m]
sizes: {"a:b": 1, c: 2}
splits: {train: [[there, 0.5]]}
by_step: {"10": 0.25}
window: [1, 2]
kernel: [3, 5]
anything: {free: {form: [1, null, "k:v"]}}
best: {rate: 0.25, span: [1, 2]}
parts: [{rate: 0.75, span: [3, 4]}]
level: most
optim: {betas: [0.5, 0.75], name: sgd}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_family(tmp_path)
    write_json(tmp_path / "run" / "training_config.json", CURRENT)
    (tmp_path / "any.yaml").write_text("width: 8\nlearning_rate: 0.25\n", encoding="utf-8")
    return tmp_path


def test_resolve_restores_what_the_other_trainer_saved(home: Path) -> None:
    done = run("resolve", "--family", REFERENCE, "--checkpoint", "run", "--config", "any.yaml", cwd=home)
    assert done.code == 0, done.err
    assert "width: 32" in done.out
    assert "learning_rate: 0.5" in done.out
    assert "width: is 32 from the checkpoint, not 8 (any.yaml:1:1)" in done.err


def test_resolve_writes_a_document_that_loads_again(home: Path) -> None:
    done = run("resolve", "--family", REFERENCE, "width=16", "--write", "new.json", cwd=home)
    assert done.code == 0, done.err
    saved = json.loads((home / "new.json").read_bytes())
    assert (saved["$schema"], saved["schema_version"], saved["width"]) == ("urn:tttcfg:other:v0000", 0, 16)
    assert run("migrate", "--family", REFERENCE, "new.json", cwd=home).out.startswith("0 to migrate, 1 already")


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("fields",), "How wide the model is."),
        (("fields", "width"), "role     architecture"),
        (("history",), "version 0  2026-01-01  the first"),
        (("diff", "run", "any.yaml"), "width"),
        (("migrate", "run"), "1 already current"),
    ],
)
def test_every_command_serves_it(home: Path, arguments: tuple[str, ...], printed: str) -> None:
    done = run(*arguments, "--family", REFERENCE, cwd=home)
    assert printed in done.out, done.err
    assert done.code == (1 if "diff" in arguments else 0)


def test_weights_of_a_family_without_tensor_knowledge_are_not_checked(home: Path) -> None:
    import safetensors.numpy
    from numpy import zeros

    safetensors.numpy.save_file({"some.tensor": zeros(3)}, home / "run" / "consolidated.safetensors")
    done = run("verify", "--family", REFERENCE, "run", cwd=home)
    assert done.code == 0, done.err
    assert "width" in done.out
    assert "no tensor depends" in done.out


def test_a_document_of_a_family_that_is_not_there_is_refused_with_what_to_give(home: Path) -> None:
    done = run("resolve", "--checkpoint", "run", cwd=home)
    assert done.code == 2
    message = "is a document of the family other, and is read as one of ttt_moshi"
    advice = "no family other is installed (there are: ttt_moshi); install what declares it, or give it as --family"
    assert done.err == f"error: run/training_config.json:1:2: $schema: {message}; {advice} module:NAME\n"


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("resolve", "--checkpoint", "run", "--config", "any.yaml"), "width: 32"),
        (("resolve", "--config", "run/training_config.json"), "width: 32"),
        (("diff", "run", "run"), ""),
        (("migrate", "run"), "1 already current"),
    ],
)
def test_what_documents_name_needs_no_option(home: Path, arguments: tuple[str, ...], printed: str) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    done = run(*arguments, cwd=home, PYTHONPATH=str(home))
    assert done.code == 0, done.err
    assert printed in done.out


def test_either_side_of_a_comparison_names_the_family(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    for sides in (("any.yaml", "run"), ("run", "any.yaml")):
        done = run("diff", *sides, cwd=home, PYTHONPATH=str(home))
        assert done.code == 1, done.err
        assert "width" in done.out
        assert (done.err.count("A: "), done.err.count("B: ")) == (1, 1)


def test_a_step_that_is_passed_over_is_reported_once(home: Path) -> None:
    """Also where only the side that is read after it shows the family."""
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    (home / "hr" / "checkpoint_000002").mkdir(parents=True)
    write_json(home / "hr" / "checkpoint_000001" / "training_config.json", CURRENT)
    for sides in (("hr", "run"), ("run", "hr")):
        done = run("diff", *sides, cwd=home, PYTHONPATH=str(home))
        assert done.code == 0, done.err
        assert done.err.count("is passed over") == 1


def test_a_version_is_one_of_the_family_that_documents_name(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    done = run("migrate", "run", "--to", "8", cwd=home, PYTHONPATH=str(home))
    assert done.code == 1
    assert "there is no version 8 of other; versions go from 0 to 0" in done.err


def test_sources_of_two_families_are_refused_without_an_option_to_try(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    write_json(home / "ours.json", {"$schema": f"urn:tttcfg:ttt_moshi:{NEWEST}", "schema_version": HEAD, "seed": 3})
    done = run("resolve", "--checkpoint", "run", "--config", "ours.json", cwd=home, PYTHONPATH=str(home))
    assert done.code == 2
    assert "give sources of one family" in done.err
    assert "did you mean" not in done.err


def test_a_tree_of_several_families_is_migrated_each_by_its_own(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    write_json(home / "ours" / "training_config.json", {"schema_version": HEAD, "seed": 3})
    done = run("migrate", ".", cwd=home, PYTHONPATH=str(home))
    assert done.out == "0 to migrate, 2 already current, 0 failed\n"


def test_every_outcome_of_a_tree_names_its_file(home: Path) -> None:
    """Of a family that cannot be imported as well, the file comes first and the reason after it."""
    (home / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    install(home, "broken-trainer", "tttcfg.families", {"brokenfam": "broken:FAMILY"})
    for name in ("a", "b"):
        tree = {"$schema": "urn:tttcfg:brokenfam:v0000", "schema_version": 0}
        write_json(home / "tree" / name / "training_config.json", tree)
    for command in (("migrate", "tree"), ("migrate", "tree", "--write")):
        done = run(*command, cwd=home, PYTHONPATH=str(home))
        assert done.code == 1
        reason = "brokenfam: broken cannot be imported: ZeroDivisionError: division by zero"
        assert [line.partition("; ")[0] for line in done.err.splitlines()] == [
            f"failed tree/{name}/training_config.json: {reason}" for name in ("a", "b")
        ]
    found = run("migrate", "tree", "--output", "json", cwd=home, PYTHONPATH=str(home)).json["files"]
    assert [one["problems"][0]["place"] for one in found] == [one["path"] for one in found]


def test_the_option_takes_precedence_over_what_documents_name(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    done = run("resolve", "--checkpoint", "run", "--family", "ttt_moshi", cwd=home, PYTHONPATH=str(home))
    assert done.code == 2
    assert "read as one of" in done.err


def test_an_installed_family_is_found_by_its_name(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    done = run("fields", "width", "--family", "other", cwd=home, PYTHONPATH=str(home))
    assert "role     architecture" in done.out, done.err


def test_a_name_that_two_distributions_claim_is_refused(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    install(home, "another-trainer", "tttcfg.families", {"other": REFERENCE})
    done = run("fields", "--family", "other", cwd=home, PYTHONPATH=str(home))
    assert done.code == 2
    assert "is declared by another-trainer" in done.err


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("oter", "(there are: ttt_moshi, misnamed, other)"),
        ("oter", "did you mean other?"),
        ("other.config", "there is no family"),
        (":FAMILY", "is not of the form module:NAME"),
        ("other.config:FAMILIES", "other.config has no FAMILIES"),
        ("other.config:Config", "other.config:Config is a class, not a Family"),
        ("nowhere:FAMILY", "No module named 'nowhere'"),
        ("broken:FAMILY", "broken cannot be imported: ZeroDivisionError"),
        ("leaving:FAMILY", "leaving cannot be imported: SystemExit: 3"),
        ("misnamed", "is what other-trainer calls a family whose own name is other"),
    ],
)
def test_a_family_that_is_not_there_is_a_plain_error(home: Path, name: str, printed: str) -> None:
    (home / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    (home / "leaving.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE, "misnamed": REFERENCE})
    done = run("fields", "--family", name, cwd=home, PYTHONPATH=os.fspath(home))
    assert done.code == 2
    assert printed in done.err
    assert "Traceback" not in done.err


@pytest.fixture
def plain(tmp_path: Path) -> Project:
    """Return a trainer with a setting of every type that JSON holds, and a document in which each was given."""
    project = bare_project(tmp_path / "plain", PLAIN_TYPES)
    made = project.schema("new", "first version")
    assert made.code == 0, made.err
    (project.root / "any.yaml").write_text(YAML, encoding="utf-8")
    given = ("--family", FAMILY, "--config", "any.yaml", "--write", "training_config.json")
    written = run("resolve", *given, cwd=project.root)
    assert written.code == 0, written.err
    return project


def settings_of(project: Project, path: str) -> dict[str, Any]:
    return {name: value for name, value in project.read(path).items() if name in GIVEN}


def test_every_type_that_json_holds_comes_back_from_yaml_json_and_a_document(plain: Project) -> None:
    write_json(plain.root / "any.json", GIVEN)
    again = run("resolve", "--family", FAMILY, "--config", "any.json", "--write", "two.json", cwd=plain.root)
    assert again.code == 0, again.err
    given = ("--family", FAMILY, "--checkpoint", "training_config.json")
    restored = run("resolve", *given, "--write", "three.json", cwd=plain.root)
    assert restored.code == 0, restored.err
    assert [settings_of(plain, f"{name}.json") for name in ("training_config", "two", "three")] == [GIVEN] * 3
    assert plain.problems() == []


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("tags=[p, q]", "tags", ["p", "q"]),
        ("tags.1=q", "tags", ["x:y", "q"]),
        ("window=[7, 8]", "window", [7, 8]),
        ("kernel.2=9", "kernel", [3, 5, 9]),
        ("window=null", "window", None),
        ("sizes={d: 4}", "sizes", {"d": 4}),
        ("best={rate: 1.5, span: [5, 6]}", "best", {"rate": 1.5, "span": [5, 6]}),
        ("splits={eval: [[here, 1.0]]}", "splits", {"eval": [["here", 1.0]]}),
        ("optim.betas=[0.1, 0.2]", "optim", {"betas": [0.1, 0.2], "name": "sgd"}),
    ],
)
def test_every_type_that_json_holds_can_be_set_over_a_checkpoint(
    plain: Project, override: str, key: str, value: Any
) -> None:
    given = ("resolve", "--family", FAMILY, "--checkpoint", "training_config.json", override, "--write", "new.json")
    done = run(*given, cwd=plain.root)
    assert done.code == 0, done.err
    assert settings_of(plain, "new.json") == GIVEN | {key: value}


def test_every_type_that_json_holds_survives_a_new_version(plain: Project) -> None:
    frozen = plain.schema("freeze")
    assert frozen.code == 0, frozen.err
    plain.change(plain.config, "    out: Text | None", "    warmup: int = trained(10)\n    out: Text | None")
    made = plain.schema("new", "warm-up", "--absent", "warmup=0: there was none")
    assert made.code == 0, made.err
    before = plain.read("training_config.json")
    for arguments in (("--write",), ("--to", "0", "--write")):
        done = run("migrate", "--family", FAMILY, "training_config.json", *arguments, cwd=plain.root)
        assert done.code == 0, done.err
        assert settings_of(plain, "training_config.json") == GIVEN
    assert plain.read("training_config.json")["schema_version"] == before["schema_version"]


def test_a_refused_value_is_the_only_one_named(plain: Project) -> None:
    write_json(plain.root / "any.json", {**GIVEN, "window": [1, 2, 3], "best": {"rate": "x", "span": [1, 2]}})
    done = run("resolve", "--family", FAMILY, "--config", "any.json", cwd=plain.root)
    assert done.code == 2
    assert "any.json:" in done.err
    assert "window: [1, 2, 3] is refused" in done.err
    assert "best.rate: 'x' is refused: must be a number" in done.err
    assert "betas" not in done.err
    assert "kernel" not in done.err
