"""Finding saved documents in trees."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import GeneratorType
from typing import Any

import pytest

from tests.builders import SEED_EXCERPT, checkpoint, document_file, write_json
from tttcfg import InputError
from tttcfg.fleet.scan import find_documents


def test_documents_are_found_in_order(tmp_path: Path) -> None:
    """Folders are searched in the order of their names, so that two runs give the same report."""
    made = [document_file(checkpoint(tmp_path, SEED_EXCERPT, step=step)) for step in (3, 1, 2)]
    assert list(find_documents([tmp_path])) == sorted(map(str, made))


def test_a_given_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    path = write_json(tmp_path / "other.json", {})
    assert list(find_documents([path])) == [str(path)]


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    write_json(tmp_path / "training_config.json.v3.bak", {})
    assert list(find_documents([tmp_path])) == []


def test_what_a_crash_left_behind_is_not_entered(tmp_path: Path) -> None:
    write_json(tmp_path / "tmp.consolidated" / "training_config.json", {})
    write_json(tmp_path / ".checkpoint_000001.7.a.tttcfg-tmp" / "consolidated" / "training_config.json", {})
    assert list(find_documents([tmp_path])) == []


def test_other_temporary_folders_are_entered(tmp_path: Path) -> None:
    """Only that one name is passed over; what is given is searched whatever its name."""
    other = write_json(tmp_path / "tmp.consolidated.old" / "training_config.json", {})
    tmp = write_json(tmp_path / "tmp.run" / "training_config.json", {})
    left = write_json(tmp_path / "tmp.consolidated" / "training_config.json", {})
    assert list(find_documents([tmp_path])) == [str(other), str(tmp)]
    assert list(find_documents([tmp_path, left.parent])) == [str(other), str(tmp), str(left)]


@pytest.mark.parametrize(
    "roots",
    [
        (".", "."),
        (".", "a"),
        ("a", "."),
        (".", "a/b/training_config.json", "a/./b"),
        (".", "link"),
        ("a/b/training_config.json", "a/b/training_config.json", "a/../a/b/training_config.json"),
        ("a/b/training_config.json", "link.json"),
    ],
    ids=" ".join,
)
def test_no_file_is_found_twice(roots: tuple[str, ...], tmp_path: Path) -> None:
    """Roots that lie below others, or that are given twice, under whatever name, are dropped."""
    made = write_json(tmp_path / "a" / "b" / "training_config.json", {})
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "link.json").symlink_to("a/b/training_config.json")
    (found,) = find_documents([tmp_path / root for root in roots])
    assert made.samefile(found)


def test_what_the_search_would_not_find_is_kept(tmp_path: Path) -> None:
    """A file of another name below a given folder is taken all the same, and so is a neighbour of like name."""
    other = write_json(tmp_path / "a" / "other.json", {})
    near = write_json(tmp_path / "ab" / "training_config.json", {})
    assert list(find_documents([tmp_path / "a", other, tmp_path / "ab"])) == [str(other), str(near)]


@pytest.fixture
def unlisted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be listed, between two that hold documents."""
    for name in ("a", "b", "c"):
        write_json(tmp_path / name / "training_config.json", {})
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if path == str(tmp_path / "b"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return tmp_path / "b"


def test_a_folder_that_cannot_be_listed_is_reported(unlisted: Path) -> None:
    reported: list[InputError] = []
    found = list(find_documents([unlisted.parent], reported.append))
    assert found == [str(unlisted.with_name(name) / "training_config.json") for name in ("a", "c")]
    assert [str(error) for error in reported] == [f"{unlisted}: cannot be searched: Permission denied"]


def test_a_folder_that_cannot_be_listed_ends_the_search_unless_errors_are_collected(unlisted: Path) -> None:
    with pytest.raises(InputError, match="cannot be searched"):
        list(find_documents([unlisted.parent]))


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """A link that leads upwards does not make the search endless."""
    path = write_json(tmp_path / "run" / "training_config.json", {})
    (tmp_path / "run" / "up").symlink_to(tmp_path)
    assert list(find_documents([tmp_path])) == [str(path)]


def test_missing_paths_are_all_named_before_anything_is_found(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_documents([tmp_path, tmp_path / "a", tmp_path / "b"])
    assert [str(problem.place) for problem in caught.value.problems] == [f"{tmp_path}/a", f"{tmp_path}/b"]


def test_the_search_is_lazy(tmp_path: Path) -> None:
    """A tree of any size is searched as its documents are asked for."""
    assert isinstance(find_documents([tmp_path]), GeneratorType)
