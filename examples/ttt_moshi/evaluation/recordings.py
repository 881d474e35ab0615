"""Long sequences: chapters of LibriLight (speaker/book/chapters), or recordings of any kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tttcfg import InputError, Place, Problem
from tttcfg.ttt_moshi.evaluation import LibriLight, LongContext

from .audio import SUFFIXES
from .identity import rank

KEY = "evaluation.librilight"


class Recording(NamedTuple):
    """One long sequence: its name, and the files that are joined into it, in this order."""

    name: str
    files: tuple[Path, ...]


def read_librilight(settings: LibriLight) -> list[Recording]:
    """Return the sequences that the configuration selects.

    `single_book` is that speaker's book; `multi_book` is `num_sequences` books (one where it is null), and `random`
    one book: those of the smallest SHA-256 of `speaker/book`, so the same ones every time. Of each book the first
    `max_chapters` chapters are read (all where it is null), numbers in their names counted as numbers.

    Raises:
        InputError: The folder is missing or empty, or does not hold what is selected; all problems at once.
    """
    root = Path(settings.audio_dir or "")
    if settings.evaluation_mode == "single_book":
        books = [_single(root, settings)]
    else:
        books = sorted(_books(root), key=lambda book: rank(_name(book)))
        wanted = (settings.num_sequences or 1) if settings.evaluation_mode == "multi_book" else 1
        if not books:
            raise InputError(Problem("empty", "holds no speaker/book/chapter files", place=Place(str(root))))
        if wanted > len(books):
            message = f"is {wanted}, and {root} holds {len(books)} books"
            raise InputError(Problem("missing", message, f"{KEY}.num_sequences"))
        books = books[:wanted]
    return [Recording(_name(book), tuple(_audio(book)[: settings.max_chapters])) for book in books]


def _single(root: Path, settings: LibriLight) -> Path:
    given = {"speaker_id": settings.speaker_id, "book_name": settings.book_name}
    if missing := [name for name, value in given.items() if not value]:
        raise InputError(Problem("missing", "is needed in single_book mode", f"{KEY}.{name}") for name in missing)
    book = root / str(settings.speaker_id) / str(settings.book_name)
    if _is_inside(book, root) and book.is_dir() and _audio(book):
        return book
    key = f"{KEY}.book_name" if book.parent.is_dir() else f"{KEY}.speaker_id"
    there = [_name(found) for found in _books(root)]
    shown = ", ".join(there[:5]) + (" and more" if len(there) > 5 else "")
    raise InputError(Problem("not_found", f"holds no such book; there are {shown or 'none'}", key, Place(str(book))))


def read_recordings(settings: LongContext) -> list[Recording]:
    """Return the files of a folder as one sequence each: `max_files` of the smallest SHA-256 of their names.

    Raises:
        InputError: The folder is missing, or holds no audio.
    """
    root = Path(settings.audio_dir or "")
    files = sorted(_audio(root), key=lambda path: rank(path.name))
    if not files:
        raise InputError(Problem("empty", f"holds no {' or '.join(SUFFIXES)} file", place=Place(str(root))))
    return [Recording(path.name, (path,)) for path in files[: settings.max_files]]


def _books(root: Path) -> Iterator[Path]:
    for speaker in _entries(root):
        if speaker.is_dir():
            yield from (book for book in _entries(speaker) if book.is_dir() and _audio(book))


def _audio(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.suffix.lower() in SUFFIXES]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: (_natural(path.name), path.name))
    except OSError as error:
        raise InputError(Problem("not_found", f"cannot be read: {error.strerror}", place=Place(str(folder)))) from None


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key with which chapter 2 comes before chapter 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _is_inside(book: Path, root: Path) -> bool:
    return book.resolve().is_relative_to(root.resolve())


def _name(book: Path) -> str:
    return f"{book.parent.name}/{book.name}"
