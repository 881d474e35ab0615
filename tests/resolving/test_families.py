"""Families by name, by `module:NAME`, and by the documents that are read."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import tttcfg
from tests.builders import write_json
from tests.families import REFERENCE, install, write_family
from tests.verification.bound import MODEL, TENSORS, filled, made
from tttcfg.cli.diff import diff as compare
from tttcfg.documents.document import DOCUMENT_NAME
from tttcfg.documents.effective import attempted
from tttcfg.errors import InputError
from tttcfg.evidence.knowledge import NoTensorKnowledge
from tttcfg.family.family import Family
from tttcfg.fleet.migrate import MigrationTask, migrate_file
from tttcfg.fleet.scrub import ScrubTask, scrub_file
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.plugins import FAMILY_GROUP
from tttcfg.resolving.families import family_named
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.ttt_moshi.family import TTT_MOSHI


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of packages with a family that a distribution declares under its name, and under another."""
    folder = tmp_path_factory.mktemp("site")
    write_family(folder)
    install(folder, "other-trainer", FAMILY_GROUP, {"other": REFERENCE, "wrong": REFERENCE})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


def test_a_family_that_is_declared_again_takes_the_place_of_the_first() -> None:
    """As when a notebook runs a cell again: the second declaration has a class of its own."""
    for _ in range(2):
        declared = Family("declared_again", type("Args", (Section,), {}), "none", "none")
        assert family_named("declared_again") is declared


def test_the_built_in_family_has_a_name_like_any_other() -> None:
    assert family_named("ttt_moshi") is TTT_MOSHI


@pytest.mark.usefixtures("site")
def test_a_family_is_found_by_its_name_and_by_where_it_is() -> None:
    declared = family_named("other")
    assert declared.name == "other"
    assert family_named(REFERENCE) is declared


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "wrong: is what other-trainer calls a family whose own name is other"),
        ("othr", "othr: there is no family of this name (there are: "),
        ("other.config:MISSING", "--family: other.config has no MISSING"),
    ],
)
def test_a_name_of_no_family_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        family_named(name)
    (problem,) = caught.value.problems
    assert message in str(caught.value)
    assert (problem.code, problem.suggestion) == ("plugin", "other" if name == "othr" else "")


OTHER: dict[str, Any] = {"$schema": "urn:tttcfg:other:v0", "schema_version": 0, "width": 32, "learning_rate": 0.5}


@pytest.mark.usefixtures("site")
def test_the_family_of_what_is_read_is_that_of_its_documents() -> None:
    family_named("other")
    training: Any = tttcfg.resolve(config=OTHER, overrides={"width": 16}).training
    assert (training.width, training.learning_rate) == (16, 0.5)


@pytest.mark.usefixtures("site")
def test_documents_of_two_families_are_refused_with_the_advice_to_give_those_of_one(tmp_path: Path) -> None:
    family_named("other")
    first = write_json(tmp_path / "first.json", OTHER)
    second = write_json(
        tmp_path / "second.json", {"$schema": "urn:tttcfg:ttt_moshi:v7", "schema_version": 7, "seed": 1}
    )
    third = write_json(tmp_path / "third.json", {"schema_version": 0, "widht": 1})
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config=[first, second, third])
    found = [(one.code, one.suggestion, one.advice) for one in caught.value.problems]
    assert found[0] == ("family", "", "give sources of one family")
    assert ("unknown_key", "width", "") in found


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("turned", [False, True])
def test_comparing_those_of_two_families_has_that_advice_too(turned: bool) -> None:
    """Of documents as plain values, where no `--family` could be given; one that is given is not of both."""
    family = family_named("other")
    sides = [OTHER, {"$schema": "urn:tttcfg:ttt_moshi:v7", "schema_version": 7, "seed": 1}]
    left, right = reversed(sides) if turned else sides
    with pytest.raises(InputError) as caught:
        tttcfg.diff(left, right)
    assert [one[:3:2] + one[4:6] for one in caught.value.problems] == [
        ("family", "$schema", "", "give sources of one family")
    ]
    with pytest.raises(InputError, match="is read as one of other"):
        tttcfg.diff(left, right, family=family)


@pytest.mark.usefixtures("site")
def test_a_family_without_layers_has_none_to_require() -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config=OTHER, require_ttt=True)
    (problem,) = caught.value.problems
    assert (problem.code, problem.key) == ("model_config", "ttt")
    assert "other derives none; its layers read the configuration as it is" in problem.message


class Named(NoTensorKnowledge):
    """Reads weights of a format of its own."""

    def read(self, path: str) -> Header:
        names = Path(path).read_text("utf-8").split()
        return Header(path, {}, 0, 0, None, dict.fromkeys(names, ("F32", (1,))))


def test_a_document_names_the_family_whose_weights_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the weights are called is known once the document was read."""
    family = Family(
        "names_weights", type("Args", (Section,), {}), "none", "none", tensors=Named, weight_names=("n.txt",)
    )
    monkeypatch.setitem(vars(family), "chain", Chain([Migration(0, "2026-01-01", "", "", ())]))
    monkeypatch.setitem(vars(family), "steps", {"v0000": 0})
    for step in ("checkpoint_000001", "checkpoint_000002"):
        (tmp_path / step).mkdir()
    write_json(tmp_path / "checkpoint_000001" / DOCUMENT_NAME, {"$schema": family.schema_id, "schema_version": 0})
    (tmp_path / "checkpoint_000001" / "n.txt").write_text("a b", "utf-8")
    effective, _ = attempted(lambda: tttcfg.resolve(tmp_path))  # of weights that no program known here wrote
    assert effective.family is family
    assert effective.verification is not None
    assert set(effective.verification.weights.header.names) == {"a", "b"}
    assert any("passed over" in one.message for one in effective.findings)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of a family whose weights have a name of their own, with safetensors beside them."""
    family = Family("names_own", type("Args", (Section,), {}), "none", "none", tensors=Named, weight_names=("n.txt",))
    monkeypatch.setitem(vars(family), "chain", Chain([Migration(0, "2026-01-01", "", "", ())]))
    monkeypatch.setitem(vars(family), "steps", {"v0000": 0})
    write_json(tmp_path / "run" / DOCUMENT_NAME, {"$schema": family.schema_id, "schema_version": 0})
    (tmp_path / "run" / "n.txt").write_text("a b", "utf-8")
    filled(tmp_path / "run" / "model.safetensors")
    return tmp_path / "run"


def test_weights_that_are_named_are_those_that_are_checked(named: Path) -> None:
    for path, tensors in ((named, {"a", "b"}), (named / "model.safetensors", set(TENSORS))):
        effective, _ = attempted(lambda path=path: tttcfg.resolve(path))  # type: ignore[misc]
        assert effective.verification is not None
        assert set(effective.verification.weights.header.names) == tensors


def test_what_is_bound_are_the_weights_that_are_checked(named: Path) -> None:
    with pytest.raises(InputError, match=r"n\.txt: is no safetensors"):
        tttcfg.bind(named)


def test_a_side_of_a_comparison_may_be_weights_whose_name_the_other_sides_family_knows(
    named: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (named.parent / "weights").mkdir()
    shutil.copy(named / "n.txt", named.parent / "weights")
    for sides in ((named, named.parent / "weights"), (named.parent / "weights", named)):
        with pytest.raises(typer.Exit):
            compare([str(side) for side in sides])
        assert "weights without training_config.json" in capsys.readouterr().err


OPENED: list[str] = []
FILES = (DOCUMENT_NAME, "consolidated.safetensors", "given.yaml")


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str):
        OPENED.append(os.path.basename(arguments[0]))


def opened(action: Callable[[], object]) -> list[int]:
    """Return how often each of the files of a run was opened meanwhile."""
    OPENED.clear()
    action()
    return [OPENED.count(name) for name in FILES]


@pytest.fixture(scope="module", autouse=True)
def listening() -> None:
    sys.addaudithook(_listen)


def _compared(run: Path) -> None:
    with contextlib.suppress(typer.Exit):
        compare([str(run), str(run.parent / "given.yaml")])


DOORS: dict[str, Callable[[Path], object]] = {
    "resolve": tttcfg.resolve,
    "resolve with a file": lambda run: tttcfg.resolve(run, run.parent / "given.yaml"),
    "resolve the file": lambda run: tttcfg.resolve(config=run.parent / "given.yaml"),
    "verify": tttcfg.verify,
    "inspect": tttcfg.inspect_weights,
    "bind": tttcfg.bind,
    "load": lambda run: tttcfg.load_document(run) if (run / DOCUMENT_NAME).exists() else None,
    "compare": _compared,
    "migrate": lambda run: [migrate_file(str(one), MigrationTask()) for one in run.glob(DOCUMENT_NAME)],
    "scrub": lambda run: [scrub_file(str(one), ScrubTask()) for one in run.iterdir()],
}


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("embedded", [False, True])
def test_what_names_another_family_is_read_as_often_as_what_is_of_the_built_in_one(
    door: str, embedded: bool, tmp_path: Path
) -> None:
    """The family is found while the sources are read: nothing is refused first and read again as that."""
    counts = []
    for name, configuration in (
        ("ours", tttcfg.load_document(made(tmp_path).with_name(DOCUMENT_NAME)).training),
        ("other", family_named("other").model()),
    ):
        run = tmp_path / name / "run"
        run.mkdir(parents=True)
        metadata = tttcfg.tag_for(configuration, embed=embedded)
        filled(run / "consolidated.safetensors", metadata)
        write_json(run / "config.json", MODEL)
        if not embedded:
            tttcfg.save_document(run, configuration)
        document = tttcfg.to_dict(configuration)
        header = f'$schema: "{document["$schema"]}"\nschema_version: {document["schema_version"]}\n'
        (run.parent / "given.yaml").write_text(header, "utf-8")
        counts.append(opened(lambda run=run: DOORS[door](run)))  # type: ignore[misc]
    assert counts[0] == counts[1]
    assert max(counts[0]) > 0 or (embedded and door in ("load", "migrate"))


class Usual(Section):
    width: int = setting(64, role=Role.ARCHITECTURE, unit="channels", description="How wide the model is.")


class Roomy(Usual):
    """The same, of a family whose configurations are large."""


@pytest.mark.parametrize("name", ["large.json", "large.yaml"])
def test_how_large_a_file_may_be_is_the_familys(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text('{"width": 32}' + "\n" * (1 << 16), "utf-8")
    width = Declare("width", {"default": 64, "type": "integer"})
    chain = Chain([Migration(0, "2026-01-01", "", "", (width,))])
    usual = Family("usual", Usual, "usual.migrations", "tttcfg.schemas")
    roomy = Family("roomy", Roomy, "roomy.migrations", "tttcfg.schemas", configuration_cap=1 << 17)
    for one in (usual, roomy):
        vars(one).update(chain=chain, steps={"v0000": 0})
    assert tttcfg.resolve(config=path, family=roomy).training.width == 32
    with pytest.raises(InputError, match="65,536"):
        tttcfg.resolve(config=path, family=usual)
