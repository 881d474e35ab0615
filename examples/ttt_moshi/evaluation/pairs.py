"""The layouts of sBLIMP, sWUGGY and the spoken story clozes, read into pairs of a good and a bad recording."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg import InputError, Place, Problem

from .identity import rank

COLUMNS = {
    "sBLIMP": ("id", "voice", "type", "subtype", "filename", "correct", "transcription"),
    "sWUGGY": ("id", "voice", "filename", "correct", "word"),
}
"""The columns that the gold table of a layout must have; it may have more."""
_TEXT = {"sBLIMP": "transcription", "sWUGGY": "word"}
_STORY = re.compile(r"(?P<story>\d+_.+)_(?P<side>correct|incorrect)\.wav")


Cells = Mapping[Any, Any]
"""A line of a table by column; csv has the key None for cells too many, and the value None for cells too few."""


class Pair(NamedTuple):
    """Two recordings of which the good one should be the likelier; `kind` is the phenomenon, where there is one."""

    key: str
    kind: str
    good: Path
    bad: Path


class Row(NamedTuple):
    """One recording of a gold table, and its line."""

    line: int
    key: str
    kind: str
    file: str
    correct: bool


def read_gold(layout: str, gold_csv: Path, audio_dir: Path) -> list[Pair]:
    """Return the pairs of a gold table: every correct recording with every incorrect one of the same id and voice.

    Args:
        layout: `sBLIMP` or `sWUGGY`.

    Raises:
        InputError: Something is wrong with the table or the recordings; all problems at once, by line.
    """
    table = _table(layout, gold_csv)
    there = _wav_names(audio_dir)
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for line, cells in table:
        row = _row(layout, line, cells)
        if isinstance(row, str):
            problems.append(_at(gold_csv, line, row))
            continue
        if row.file in seen:
            problems.append(_at(gold_csv, line, f"{row.file} is in line {seen[row.file]} already"))
        elif row.file not in there:
            problems.append(_at(gold_csv, line, f"{row.file} is not in {audio_dir}", "not_found"))
        seen.setdefault(row.file, line)
        rows.append(row)
    pairs = list(_paired(rows, gold_csv, audio_dir, problems))
    if problems:
        raise InputError(problems)
    return pairs


def _table(layout: str, path: Path) -> list[tuple[int, Cells]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(Problem("not_found", f"cannot be read: {error.strerror}", place=Place(str(path)))) from None
    except UnicodeDecodeError as error:
        raise InputError(Problem("encoding", f"is not UTF-8: {error}", place=Place(str(path)))) from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        table: list[tuple[int, Cells]] = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(_at(path, reader.line_num, f"is not valid CSV: {error}", "syntax")) from None
    columns = reader.fieldnames or ()
    if missing := [name for name in COLUMNS[layout] if name not in columns]:
        raise InputError(_at(path, 1, _wrong_columns(layout, missing, columns), "missing"))
    if not table:
        raise InputError(Problem("empty", "has no rows", place=Place(str(path))))
    if layout == "sWUGGY" and all(" " in (row["word"] or "").strip() for _, row in table):
        message = "has sentences where sWUGGY has words: this is another benchmark's table"
        raise InputError(_at(path, 2, message, "rejected"))
    return table


def _wrong_columns(layout: str, missing: list[str], columns: object) -> str:
    for other, names in COLUMNS.items():
        if other != layout and isinstance(columns, list) and set(names) <= set(columns):
            return f"is the table of {other}: it has the column {_TEXT[other]}, and {layout} has {_TEXT[layout]}"
    found = ", ".join(map(str, columns)) if isinstance(columns, list) and columns else "none"
    return f"has no columns {', '.join(missing)} of {layout}; it has {found}"


def _row(layout: str, line: int, cells: Cells) -> Row | str:
    if None in cells or None in cells.values():
        return "has more or fewer cells than the table has columns"
    cell = {str(name): str(value).strip() for name, value in cells.items()}
    if empty := [name for name in COLUMNS[layout] if not cell[name]]:
        return f"has nothing in {', '.join(empty)}"
    if cell["correct"] not in ("0", "1"):
        return f"has {cell['correct']!r} in correct, which is 0 or 1"
    kind, subtype = cell.get("type", ""), cell.get("subtype", "")
    key = " ".join(filter(None, (kind, subtype, cell["id"], cell["voice"])))
    file = cell["filename"] if cell["filename"].lower().endswith(".wav") else f"{cell['filename']}.wav"
    return Row(line, key, kind, file, cell["correct"] == "1")


def _paired(rows: list[Row], gold_csv: Path, audio_dir: Path, problems: list[Problem]) -> Iterator[Pair]:
    groups: dict[str, tuple[list[Row], list[Row]]] = {}
    for row in rows:
        groups.setdefault(row.key, ([], []))[row.correct].append(row)
    for key, (bad, good) in groups.items():
        if not good or not bad:
            missing = "correct" if not good else "incorrect"
            message = f"{key!r} has no {missing} recording to be paired with"
            problems += [_at(gold_csv, row.line, message, "missing") for row in (good or bad)]
        for right, wrong in product(good, bad):
            name = key if len(good) == len(bad) == 1 else f"{key} {right.file} {wrong.file}"
            yield Pair(name, right.kind, audio_dir / right.file, audio_dir / wrong.file)


def read_stories(audio_dir: Path) -> list[Pair]:
    """Return the pairs of a folder of `{num}_{uuid}_{correct|incorrect}.wav`; files that are not WAV are ignored.

    Raises:
        InputError: A recording has another name, or no counterpart; all problems at once.
    """
    stories: dict[str, dict[str, str]] = {}
    problems: list[Problem] = []
    for file in sorted(_wav_names(audio_dir)):
        match = _STORY.fullmatch(file)
        if match:
            stories.setdefault(match["story"], {})[match["side"]] = file
        else:
            message = "is not named {num}_{uuid}_{correct|incorrect}.wav"
            problems.append(_at(audio_dir / file, 0, message))
    for sides in stories.values():
        if len(sides) == 1:
            ((side, file),) = sides.items()
            other = "incorrect" if side == "correct" else "correct"
            problems.append(_at(audio_dir / file, 0, f"has no {other} counterpart", "missing"))
    if problems:
        raise InputError(problems)
    return [
        Pair(story, "", audio_dir / sides["correct"], audio_dir / sides["incorrect"])
        for story, sides in stories.items()
    ]


def sampled(pairs: list[Pair], most: int | None) -> list[Pair]:
    """Return at most `most` pairs, all where that is None.

    They are those of the smallest SHA-256 of their keys, whatever order they came in.
    """
    return sorted(pairs, key=lambda pair: (rank(pair.key), pair.key))[:most]


def _wav_names(folder: Path) -> set[str]:
    try:
        found = {path.name for path in folder.iterdir() if path.suffix.lower() == ".wav"}
    except OSError as error:
        raise InputError(Problem("not_found", f"cannot be read: {error.strerror}", place=Place(str(folder)))) from None
    if not found:
        raise InputError(Problem("empty", "holds no .wav file", place=Place(str(folder))))
    return found


def _at(path: Path, line: int, message: str, code: str = "rejected") -> Problem:
    return Problem(code, message, place=Place(str(path), line))
