"""Which chapters become long sequences, and what is reported where they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ttt_moshi.evaluation.recordings import read_librilight, read_recordings

from tttcfg import InputError
from tttcfg.ttt_moshi.evaluation import LibriLight, LongContext


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Four books of two speakers; one has twelve chapters, and all have files that are no audio."""
    for book, chapters in {"7/emma": 12, "7/ruth": 1, "31/emma": 2, "31/iola": 3}.items():
        folder = tmp_path / book
        folder.mkdir(parents=True)
        (folder / "notes.json").write_text("{}", encoding="utf-8")
        for chapter in range(1, chapters + 1):
            (folder / f"chapter_{chapter}.flac").write_bytes(b"")
    (tmp_path / "speakers.txt").write_text("", encoding="utf-8")
    (tmp_path / "8" / "empty").mkdir(parents=True)
    return tmp_path


def librilight(folder: Path, **settings: Any) -> LibriLight:
    return LibriLight(audio_dir=str(folder), **settings)


def test_a_single_book_is_read_chapter_by_chapter_in_the_order_of_their_numbers(books: Path) -> None:
    settings = librilight(books, evaluation_mode="single_book", speaker_id="7", book_name="emma", max_chapters=11)
    (found,) = read_librilight(settings)
    assert found.name == "7/emma"
    assert [path.stem for path in found.files] == [f"chapter_{number}" for number in range(1, 12)]


def test_a_random_book_is_the_same_one_every_time(books: Path) -> None:
    (first,), (again,) = read_librilight(librilight(books)), read_librilight(librilight(books))
    assert first == again
    assert first.files


def test_several_books_begin_with_the_random_one(books: Path) -> None:
    found = read_librilight(librilight(books, evaluation_mode="multi_book", num_sequences=4))
    assert found[0] == read_librilight(librilight(books))[0]
    assert {book.name for book in found} == {"7/emma", "7/ruth", "31/emma", "31/iola"}
    assert read_librilight(librilight(books, evaluation_mode="multi_book")) == found[:1]


def test_more_books_than_there_are_is_an_error_and_not_fewer_books(books: Path) -> None:
    with pytest.raises(InputError, match=r"librilight\.num_sequences: is 5, and .* holds 4 books"):
        read_librilight(librilight(books, evaluation_mode="multi_book", num_sequences=5))


def test_a_single_book_needs_its_speaker_and_its_name(books: Path) -> None:
    with pytest.raises(InputError) as raised:
        read_librilight(librilight(books, evaluation_mode="single_book"))
    assert [problem.key.split(".")[-1] for problem in raised.value.problems] == ["speaker_id", "book_name"]


@pytest.mark.parametrize(
    ("speaker", "book", "key"),
    [("7", "persuasion", "book_name"), ("9", "emma", "speaker_id"), ("8", "empty", "book_name"), ("..", "..", None)],
)
def test_a_book_that_is_not_there_is_named_with_those_that_are(
    books: Path, speaker: str, book: str, key: str | None
) -> None:
    settings = librilight(books, evaluation_mode="single_book", speaker_id=speaker, book_name=book)
    with pytest.raises(InputError, match="there are 7/emma, 7/ruth, 31/emma, 31/iola") as raised:
        read_librilight(settings)
    assert key is None or raised.value.problems[0].key == f"evaluation.librilight.{key}"


def test_a_folder_without_books_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no speaker/book/chapter files"):
        read_librilight(librilight(tmp_path))
    with pytest.raises(InputError, match="cannot be read"):
        read_librilight(librilight(tmp_path / "none"))


def test_recordings_of_any_kind_are_sequences_of_their_own(books: Path) -> None:
    folder = books / "7" / "emma"
    found = read_recordings(LongContext(audio_dir=str(folder), max_files=3))
    assert [len(recording.files) for recording in found] == [1, 1, 1]
    assert found == read_recordings(LongContext(audio_dir=str(folder)))[:3]
    with pytest.raises(InputError, match=r"holds no \.wav or \.flac file"):
        read_recordings(LongContext(audio_dir=str(books / "8" / "empty")))
