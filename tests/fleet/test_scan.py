"""Finding saved documents in trees."""

from __future__ import annotations

from pathlib import Path
from types import GeneratorType

import pytest

from tests.builders import SEED_EXCERPT, checkpoint, document_file, write_json
from tttcfg import InputError
from tttcfg.fleet.scan import find_documents


def test_documents_are_found_in_order(tmp_path: Path) -> None:
    """Folders are searched in the order of their names, so that two runs report alike."""
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
    assert list(find_documents([tmp_path])) == []


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
