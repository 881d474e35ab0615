"""Variants in the history of a schema: renamed, added, gone, and what changes inside of one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import run
from tests.launcher import python
from tests.schema_tools.projects import CONFIG, FAMILY, Project, bare_project
from tests.schema_tools.test_inside import LAWS, migrated
from tests.testing.trainer import CONFTEST

MODEL = CONFIG.replace(
    "class Args(Section):",
    """class Cosine(Section):
    kind: Literal["cosine"] = "cosine"
    floor: float = setting(0.0, role=Role.TRAINING, unit="dimensionless", ge=0, description="Least factor.")


class Linear(Section):
    kind: Literal["linear"] = "linear"
    end: Whole = setting(9, role=Role.TRAINING, unit="steps", ge=1, description="Last step.")


class AdamW(Section):
    name: Literal["adamw"] = "adamw"
    lr: float = setting(0.001, role=Role.TRAINING, unit="dimensionless", gt=0, description="Rate.")
    beta: float = setting(0.9, role=Role.TRAINING, unit="dimensionless", gt=0, lt=1, description="Momentum.")


class Muon(Section):
    name: Literal["muon"] = "muon"
    lr: float = setting(0.02, role=Role.TRAINING, unit="dimensionless", gt=0, description="Rate.")
    steps: Whole = setting(5, role=Role.TRAINING, unit="steps", ge=1, description="Newton-Schulz steps.")
    decay: Cosine | Linear = setting(Cosine(), role=Role.TRAINING, discriminator="kind", description="Decay.")


class Args(Section):
    optimizer: AdamW | Muon | None = setting(
        AdamW(), role=Role.TRAINING, discriminator="name", description="Optimiser."
    )
    policies: list[Annotated[AdamW | Muon, Field(discriminator="name")]] = setting(
        [], max_length=9, role=Role.TRAINING, unit="policies", description="Several."
    )""",
)
LION = """class Lion(Section):
    name: Literal["lion"] = "lion"
    sign: bool = setting(True, role=Role.TRAINING, description="Sign.")


"""
ANSWERS = (
    *("--rename", "optimizer[adamw]:optimizer[adam_w]", "--rename", "policies.*[adamw]:policies.*[adam_w]"),
    *("--absent", "optimizer[adam_w].eps=0.5: it was fixed", "--absent", "policies.*[adam_w].eps=0.25: fixed"),
    *("--rename", "optimizer[muon].steps:optimizer[muon].ns_steps"),
    *("--rename", "policies.*[muon].steps:policies.*[muon].ns_steps"),
    *(
        "--reason",
        "optimizer[muon].decay[cosine].floor: dead",
        "--reason",
        "policies.*[muon].decay[cosine].floor: dead",
    ),
)
OLD: dict[str, Any] = {
    "schema_version": 0,
    "steps": 3,
    "out": None,
    "optim": {"lr": 0.1, "name": "sgd"},
    "optimizer": {"name": "adamw", "lr": 0.5, "beta": 0.25},
    "policies": [
        {"name": "muon", "lr": 0.125, "steps": 2, "decay": {"kind": "cosine", "floor": 0.25}},
        {"name": "adamw", "lr": 0.5, "beta": 0.75},
        {"name": "muon", "lr": 0.5, "steps": 4, "decay": {"kind": "linear", "end": 3}},
    ],
}


def changed_model(project: Project) -> None:
    text = project.config.read_text("utf-8")
    eps = '    eps: float = setting(1e-8, role=Role.TRAINING, unit="dimensionless", gt=0, description="Added.")\n'
    text = text.replace("    beta: float", f"{eps}    beta: float").replace(
        "    steps: Whole = setting(5", "    ns_steps: Whole = setting(5"
    )
    text = re.sub("    floor: .*\n", "", text).replace('Literal["adamw"] = "adamw"', 'Literal["adam_w"] = "adam_w"')
    text = text.replace("class Args(Section)", f"{LION}class Args(Section)")
    text = text.replace("AdamW | Muon | None", "AdamW | Muon | Lion | None")
    project.config.write_text(text.replace("[], max_length=9, role", "[], role"), "utf-8")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trainer with variants, and one version of them, released."""
    project = bare_project(tmp_path_factory.mktemp("variants") / "project", MODEL)
    for words in (("new", "first"), ("freeze",)):
        assert project.schema(*words).code == 0
    return project.root


@pytest.fixture(scope="module")
def second(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a second version."""
    project = Project(Path(shutil.copytree(first, tmp_path_factory.mktemp("second") / "project")))
    changed_model(project)
    result = project.schema("new", "second", *ANSWERS)
    assert result.code == 0, result.err
    for version in (0, 1):
        step = next(project.migrations.glob(f"v000{version}.py" if not version else "v0000_to_v0001.py"))
        step.write_text(re.sub(r" *# EDIT.*\n", "", step.read_text("utf-8")), "utf-8")
    return project.root


@pytest.fixture
def project(second: Path, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(second, tmp_path / "project")))


@pytest.fixture
def older(first: Path, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(first, tmp_path / "project")))


def test_what_changes_in_a_variant_is_asked_for_by_its_name(older: Project) -> None:
    changed_model(older)
    before = older.contents()
    result = older.schema("new", "second")
    assert result.code == 2
    assert older.contents() == before
    for line in (
        "optimizer[adamw]: is no variant any more, and optimizer[adam_w] and optimizer[lion] are new: --rename",
        "policies.*[adamw]: is no variant any more, and policies.*[adam_w] is new: "
        "--rename 'policies.*[adamw]:policies.*[adam_w]' if it has another name",
        "optimizer[muon].ns_steps: is new, and optimizer[muon].steps is gone: --rename if it is that field",
        "optimizer[muon].decay[cosine].floor: is gone; state why",
    ):
        assert line in result.err
    again = older.schema("new", "second", *ANSWERS[:4])
    assert "optimizer[adam_w].eps: is new; state what its absence meant" in again.err
    assert "optimizer[lion]" not in again.err, "a new variant means nothing for old documents"
    crossing = older.schema("new", "second", "--rename", "optimizer[muon].steps:policies.*[muon].ns_steps")
    assert "is not a rename: one of the two is in a section that may be there several times" in crossing.err


def test_the_step_has_the_changes_of_each_variant(project: Project) -> None:
    assert project.problems() == []
    step = (project.migrations / "v0000_to_v0001.py").read_text("utf-8")
    for line in (
        'RenameVariant("optimizer", "name", "adamw", "adam_w", "second")',
        'RenameVariant("policies", "name", "adamw", "adam_w", "second", True)',
        'Within("optimizer", (Add("eps", number(1e-08, exclusiveMinimum=0), 0.5, "it was fixed"),), '
        'each=False, variant=("name", "adam_w"))',
        'Within("decay", (Remove("floor", "dead"),), each=False, variant=("kind", "cosine"))',
    ):
        assert line in step
    assert (
        "renamed variant adamw of optimizer to adam_w: second"
        in run("history", "--family", FAMILY, cwd=project.root).out
    )


def test_making_the_step_again_changes_nothing(project: Project) -> None:
    before = project.contents()
    assert project.schema("new", "--amend").code == 0
    assert project.contents() == before


def test_old_documents_mean_what_the_old_program_did(project: Project) -> None:
    new = migrated(project, OLD)
    assert new["optimizer"] == {"name": "adam_w", "lr": 0.5, "eps": 0.5, "beta": 0.25}
    assert new["policies"] == [
        {"name": "muon", "lr": 0.125, "ns_steps": 2, "decay": {"kind": "cosine"}},
        {"name": "adam_w", "lr": 0.5, "eps": 0.25, "beta": 0.75},
        {"name": "muon", "lr": 0.5, "ns_steps": 4, "decay": {"kind": "linear", "end": 3}},
    ]
    assert new["provenance"]["filled"]["it was fixed"] == {"optimizer.eps": 0.5}
    back = migrated(project, new, "--to", "0")
    assert {key: back[key] for key in OLD} == OLD


def test_what_a_variant_lacks_is_its_versions_default(project: Project) -> None:
    new = migrated(project, {**OLD, "optimizer": {"name": "muon"}})
    assert new["optimizer"] == {"name": "muon", "lr": 0.02, "ns_steps": 5, "decay": {"kind": "cosine"}}
    assert set(new["provenance"]["assumed"]["values"]) >= {"optimizer.lr", "optimizer.ns_steps"}


def test_a_document_without_its_variant_is_refused(project: Project) -> None:
    path = project.root / "document.json"
    path.write_text(json.dumps({**OLD, "optimizer": {"lr": 1.0}, "policies": [{"name": "sgd"}]}), "utf-8")
    done = run("migrate", path, "--write", "--family", FAMILY, cwd=project.root)
    assert done.code == 1
    assert "optimizer.name: states no variant: name is missing" in done.err
    assert "policies.0: has no variant 'sgd'; there are adam_w, muon" in done.err


def test_a_variant_that_an_older_version_cannot_hold_is_a_loss(project: Project) -> None:
    path = project.root / "document.json"
    new = {**migrated(project, OLD), "optimizer": {"name": "lion", "sign": False}}
    path.write_text(json.dumps(new), "utf-8")
    done = run("migrate", path, "--to", "0", "--write", "--family", FAMILY, cwd=project.root)
    assert done.code == 1
    assert "optimizer: version 0 cannot hold it: it would come back as 'adam_w'" in done.err
    assert json.loads(path.read_bytes()) == new


@pytest.mark.parametrize(
    ("words", "optimizer"),
    [
        (["optimizer=adamw", "optimizer.beta=0.5"], {"name": "adam_w", "lr": 0.001, "eps": 1e-8, "beta": 0.5}),
        (
            ["optimizer=muon", "optimizer.steps=3"],
            {"name": "muon", "lr": 0.02, "ns_steps": 3, "decay": {"kind": "cosine"}},
        ),
        (
            ["optimizer={name: muon, steps: 3}"],
            {"name": "muon", "lr": 0.02, "ns_steps": 3, "decay": {"kind": "cosine"}},
        ),
        (["optimizer=null"], None),
    ],
)
def test_old_names_are_read_among_overrides(words: list[str], optimizer: Any, project: Project) -> None:
    done = run("resolve", *words, "--family", FAMILY, "--output", "json", cwd=project.root)
    assert done.json["training"]["optimizer"] == optimizer


def test_a_file_in_old_names_is_read(project: Project) -> None:
    (project.root / "one.yaml").write_text("optimizer:\n  name: adamw\n  beta: 0.5\n", "utf-8")
    (project.root / "two.yaml").write_text("schema_version: 0\noptimizer: muon\n", "utf-8")
    (project.root / "three.yaml").write_text("optimizer:\n  steps: 7\n  decay:\n    kind: linear\n", "utf-8")
    words = [word for name in ("one", "two", "three") for word in ("--config", f"{name}.yaml")]
    done = run("resolve", *words, "--family", FAMILY, "--output", "json", cwd=project.root)
    assert done.json["training"]["optimizer"] == {
        "name": "muon",
        "lr": 0.02,
        "ns_steps": 7,
        "decay": {"kind": "linear", "end": 9},
    }
    alone = run("resolve", "--config", "three.yaml", "--family", FAMILY, cwd=project.root)
    assert "three.yaml:2:3: optimizer.steps: is the old name of a setting that adam_w, which optimizer is" in alone.err


def test_a_variant_that_is_gone_needs_a_reason_and_a_conversion(older: Project) -> None:
    text = older.config.read_text("utf-8").replace("AdamW | Muon | None", "AdamW | Lion | None")
    older.config.write_text(text.replace("class Args(Section)", f"{LION}class Args(Section)"), "utf-8")
    assert "optimizer[muon]: is no variant any more" in older.schema("new", "gone").err
    done = older.schema("new", "gone", "--reason", "optimizer[muon]: it did not train")
    assert done.code == 0, done.err
    step = (older.migrations / "v0000_to_v0001.py").read_text("utf-8")
    assert "def convert_optimizer(value: Any) -> Any:" in step
    assert any(one["code"] == "step" for one in older.problems()), "the conversion is to be written"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (', discriminator="name"', "", "optimizer is AdamW or Muon, and nothing in a document states which"),
        (
            'Annotated[AdamW | Muon, Field(discriminator="name")]',
            "AdamW | Muon",
            "policies is AdamW or Muon, and nothing",
        ),
        (
            "    steps: Whole = setting(5, role=Role.TRAINING",
            "    steps: Whole = setting(5, role=Role.COMPUTATION",
            "optimizer[muon].steps has the role computation, and optimizer, which decides whether it is there,",
        ),
        (
            "    beta: float = setting(0.9, role=Role.TRAINING",
            "    beta: float = setting(0.9, role=Role.SECRET",
            "optimizer[adamw].beta is a secret, and optimizer is not always there, or several times",
        ),
        (
            "    lr: float = setting(0.02, role=Role.TRAINING",
            "    lr: float = setting(0.02, role=Role.RUN",
            "optimizer[muon].lr has the role run, and training in another variant",
        ),
        (
            "        AdamW(), role",
            "        AdamW(lr=0.5), role",
            "the default of optimizer has another lr than AdamW has by default",
        ),
        ('name: Literal["muon"] = "muon"', 'name: Literal["muon"]', "name has no default, so that a Muon has no name"),
        ('description="Newton-Schulz steps."', 'description=""', "optimizer[muon].steps declares no description"),
    ],
)
def test_what_cannot_be_distinguished_or_restored_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    project = bare_project(tmp_path / "project", MODEL.replace(old, new))
    result = project.schema("new", "first")
    assert result.code == 2
    assert message in result.err
    assert not project.migrations.exists()


def test_the_laws_hold_and_draw_every_variant(project: Project) -> None:
    (project.golden / "meaning").mkdir()
    (project.golden / "meaning" / "v0000.json").write_text("{}")
    (project.golden / "more.json").write_text(json.dumps(OLD))
    seen = """
def test_every_variant_is_drawn():
    from hypothesis import given
    from tttcfg.testing.values import documents
    from trainer.config import FAMILY

    seen = set()

    @given(documents(FAMILY, 1))
    def draw(document):
        sections = [document["optimizer"], *document["policies"]]
        seen.update(one["name"] for one in sections if one)
        seen.update(one["decay"]["kind"] for one in sections if one and "decay" in one)

    draw()
    assert seen == {"adam_w", "muon", "lion", "cosine", "linear"}
"""
    (project.root / "test_schema.py").write_text(LAWS + seen)
    (project.root / "conftest.py").write_text(CONFTEST)
    assert project.schema("new", "--amend").code == 0
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "test_schema.py")
    done = python(*words, cwd=project.root, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, code=None)
    assert done.code == 0, done.out[-4000:]
