"""Both families: found by entry point and by reference, and without problems for `tttcfg schema check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from moshi_in_place_config import family as in_place
from video_dit_config import family as video

import tttcfg
from tests.cli.process import run
from tests.examples_families.conftest import IN_PLACE, VIDEO
from tests.families import install
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.ttt_moshi.family import TTT_MOSHI

FAMILIES = {IN_PLACE: in_place.FAMILY, VIDEO: video.FAMILY}
BOTH = pytest.mark.parametrize(("home", "family"), [pytest.param(*one, id=one[1].name) for one in FAMILIES.items()])


def reference(family: Family) -> str:
    return f"{family.model.__module__.partition('.')[0]}.family:FAMILY"


@BOTH
def test_a_family_is_found_by_reference_from_its_folder(home: Path, family: Family) -> None:
    done = run("history", "--family", reference(family), cwd=home)
    assert done.code == 0, done.err
    assert f"version {family.head}  2026-11-24  {family.chain.migrations[-1].summary}" in done.out


@BOTH
def test_an_installed_family_is_found_by_its_name(home: Path, family: Family, tmp_path: Path) -> None:
    """The entry point that pyproject.toml declares, as pip would have written it."""
    declared = (home / "pyproject.toml").read_text("utf-8")
    assert f'[project.entry-points."tttcfg.families"]\n{family.name} = "{reference(family)}"\n' in declared
    install(tmp_path, family.name, "tttcfg.families", {family.name: reference(family)})
    done = run("fields", "--family", family.name, cwd=tmp_path, PYTHONPATH=f"{home}:{tmp_path}")
    assert done.code == 0, done.err
    assert all(name in done.out for name in list(family.fields)[:5])


@BOTH
def test_the_schema_check_reports_no_problem(home: Path, family: Family) -> None:
    done = run("schema", "check", "--family", reference(family), cwd=home)
    assert (done.code, done.out) == (0, "")


@BOTH
def test_the_packages_are_all_installed(home: Path, family: Family) -> None:
    """Their list is written by hand."""
    package = home / family.schemas.partition(".")[0]
    packages = [package, *(path.parent for path in sorted(package.glob("*/__init__.py")))]
    listed = ", ".join(f'"{".".join(path.relative_to(home).parts)}"' for path in packages)
    assert f"packages = [{listed}]\n" in (home / "pyproject.toml").read_text("utf-8")


@BOTH
def test_the_documents_as_they_were_written_give_their_version(home: Path, family: Family) -> None:
    for version in range(family.head + 1):
        document = home / "tests" / "golden" / f"v{version:04d}.json"
        assert tttcfg.load_document(document, family=family).version == version


@BOTH
def test_the_configurations_that_come_with_it_resolve(home: Path, family: Family) -> None:
    for config in sorted((home / "configs").iterdir()):
        effective = tttcfg.resolve(config=config, family=family)
        assert not [one for one in effective.findings if one.severity == "error"]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_no_function_asks_for_the_family_of_what_names_it(family: Family, tmp_path: Path) -> None:
    """A model's class names it, and so does the `$schema` of a document; it was imported, and so is known."""
    training = family.model()
    path = tttcfg.save_document(tmp_path, training)
    tree = json.loads(path.read_bytes())
    assert tree["$schema"] == family.schema_id
    for found in (
        tttcfg.load_document(path),
        tttcfg.resolve(path),
        tttcfg.resolve(config=path),
        tttcfg.resolve(config=tree),
    ):
        assert found.training == training
    assert tttcfg.diff(training, tree) == tttcfg.diff(tttcfg.load_document(path), tttcfg.resolve(path)) == ()
    assert tttcfg.migrate_document(tree) == tree
    assert "tttcfg" in tttcfg.tag_for(training)
    assert tttcfg.tag_for(tree) == tttcfg.tag_for(training) == tttcfg.tag_for(tttcfg.load_document(path))
    with pytest.raises(InputError, match=f"of the family {family.name}"):
        tttcfg.load_document(path, family=TTT_MOSHI)
