"""Make miniatures of the spoken benchmarks, in exactly their layouts and under names of their own.

    python examples/ttt_moshi/make_miniature.py FOLDER [--speech auto|espeak-ng|tones] [--minutes 0.5]

    FOLDER/blimp/        gold.csv and recordings of sentences, as sBLIMP
    FOLDER/wuggy/        gold.csv and recordings of words, as sWUGGY
    FOLDER/tstory/       {num}_{uuid}_{correct|incorrect}.wav, as tStoryCloze
    FOLDER/sstory/       the same, as sStoryCloze
    FOLDER/books/        speaker/book/chapter.wav, as LibriLight
    FOLDER/evaluation.yaml   the `evaluation` section that points at them: give it as a second --config

Every folder declares its name in dataset.json, so that no result is taken for one of the real benchmark. Speech is
espeak-ng's where it is installed, else tones, one chord per letter. The same call makes the same files, byte by byte.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttt_moshi.evaluation.audio import write_wav

RATE = 16_000
VOICES = {"A": "en-us+m3", "B": "en-us+f2"}
"""Voices of the miniatures, and what espeak-ng calls them."""
_LETTER = RATE * 6 // 100
_PAUSE = RATE // 10

NOUNS = (("cat", "cats"), ("teacher", "teachers"), ("river", "rivers"), ("child", "children"), ("poet", "poets"))
VERBS = (("sleeps", "sleep"), ("sings", "sing"), ("waits", "wait"), ("laughs", "laugh"))
WORDS = (("window", "wundow"), ("garden", "gorden"), ("butter", "bunter"), ("silver", "sulver"), ("pocket", "packlet"))
STORIES = (
    ("Anna planted a seed. She gave it water. The sun was warm.", "A flower grew.", "The bus was late."),
    ("Tom lost his key. He could not get in. He called his wife.", "She opened the door.", "The fish was raw."),
    ("It rained all day. The street was wet. Mia wore no shoes.", "Her feet got cold.", "She bought a piano."),
    ("The dog saw a ball. He ran after it. He caught it.", "He brought it back.", "He read the paper."),
)

Speaker = Callable[[str, str, Path], None]
"""Says a text in a voice, into a file."""


def make(folder: Path, speech: str = "auto", minutes: float = 0.5) -> Path:
    """Make all miniatures in `folder` and return the configuration file that points at them.

    Args:
        speech: `espeak-ng`, `tones`, or `auto` for the first where it is installed.
        minutes: Length of a book; at 12.5 tokens a second, 8000 positions are 10.7 minutes.
    """
    if speech == "auto":
        speech = "espeak-ng" if shutil.which("espeak-ng") else "tones"
    say = _say_with_espeak if speech == "espeak-ng" else _say_with_tones
    folder = folder.resolve()
    _make_gold(folder / "blimp", "BLiMP-miniature", speech, say, list(_sentences()))
    _make_gold(folder / "wuggy", "WUGGY-miniature", speech, say, list(_words()))
    _make_stories(folder / "tstory", "StoryTopic-miniature", speech, say, _topic_endings())
    _make_stories(folder / "sstory", "StoryEnding-miniature", speech, say, STORIES)
    _make_books(folder / "books", speech, say, minutes)
    config = folder / "evaluation.yaml"
    config.write_text(_configuration(folder), encoding="utf-8")
    return config


def _sentences() -> Iterable[dict[str, str]]:
    number = 0
    for singular, plural in NOUNS:
        for sings, sing in VERBS:
            for subtype, noun, right, wrong in (("singular", singular, sings, sing), ("plural", plural, sing, sings)):
                number += 1
                good, bad = f"the {noun} {right}", f"the {noun} {wrong}"
                yield {"id": str(number), "type": "agreement", "subtype": subtype, "good": good, "bad": bad}


def _words() -> Iterable[dict[str, str]]:
    for number, (word, other) in enumerate(WORDS, 1):
        yield {"id": str(number), "good": word, "bad": other}


def _topic_endings() -> list[tuple[str, str, str]]:
    """Return the stories with the ending of another one as the wrong ending, as tStoryCloze has it."""
    shifted = [*STORIES[1:], STORIES[0]]
    return [(story, right, other) for (story, right, _), (_, other, _) in zip(STORIES, shifted, strict=True)]


def _make_gold(folder: Path, name: str, speech: str, say: Speaker, items: list[dict[str, str]]) -> None:
    _declare(folder, name, speech)
    text = "transcription" if "type" in items[0] else "word"
    kinds = ["type", "subtype"] if "type" in items[0] else []
    with (folder / "gold.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "filename", "voice", *kinds, text, "correct"])
        for item in items:
            for voice in VOICES:
                for side, correct in (("good", 1), ("bad", 0)):
                    filename = _identifier(f"{name} {item['id']} {voice} {side}")[:11]
                    say(item[side], voice, folder / f"{filename}.wav")
                    table.writerow([item["id"], filename, voice, *(item[kind] for kind in kinds), item[side], correct])


def _make_stories(folder: Path, name: str, speech: str, say: Speaker, stories: Iterable[tuple[str, str, str]]) -> None:
    _declare(folder, name, speech)
    for number, (story, right, wrong) in enumerate(stories):
        stem = f"{number}_{_identifier(story)}"
        say(f"{story} {right}", "A", folder / f"{stem}_correct.wav")
        say(f"{story} {wrong}", "A", folder / f"{stem}_incorrect.wav")


def _make_books(folder: Path, speech: str, say: Speaker, minutes: float) -> None:
    _declare(folder, "Books-miniature", speech)
    for speaker, (voice, title) in {"17": ("A", "weather_reports"), "42": ("B", "garden_notes")}.items():
        book = folder / speaker / title
        book.mkdir(parents=True, exist_ok=True)
        words = random.Random(speaker)
        for chapter in range(1, 4):
            text = _prose(words, minutes * 60 / 3)
            say(text, voice, book / f"{title}_{chapter:02}.wav")


def _prose(words: random.Random, seconds: float) -> str:
    """Return sentences that take about so long, at ten letters a second."""
    sentences: list[str] = []
    while sum(map(len, sentences)) < seconds * 10:
        (singular, plural), (sings, sing) = words.choice(NOUNS), words.choice(VERBS)
        sentences.append(words.choice((f"the {singular} {sings}.", f"the {plural} {sing}.")))
    return " ".join(sentences)


def _declare(folder: Path, name: str, speech: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"name": f"{name} ({speech})", "made_by": "examples/ttt_moshi/make_miniature.py", "speech": speech}
    (folder / "dataset.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _identifier(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


def _say_with_espeak(text: str, voice: str, path: Path) -> None:
    subprocess.run(["espeak-ng", "-v", VOICES[voice], "-w", str(path), text], check=True, capture_output=True)


def _say_with_tones(text: str, voice: str, path: Path) -> None:
    """Write one chord per letter, two tones that distinguish letters, higher in the second voice."""
    at = torch.arange(_LETTER) / RATE
    fade = torch.sin(torch.arange(_LETTER) * math.pi / _LETTER)
    pitch = {"A": 1.0, "B": 1.3}[voice]
    chords = {" ": torch.zeros(_PAUSE)}
    for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz"):
        low, high = pitch * (200 + 40 * (number % 6)), pitch * (900 + 220 * (number // 6))
        chords[letter] = 0.1 * fade * (torch.sin(2 * math.pi * low * at) + torch.sin(2 * math.pi * high * at))
    write_wav(path, torch.cat([chords[letter] for letter in text.lower() if letter in chords]), RATE)


def _configuration(folder: Path) -> str:
    sections: dict[str, dict[str, object]] = {
        "sblimp": {"audio_dir": folder / "blimp", "gold_csv": folder / "blimp" / "gold.csv"},
        "swuggy": {"audio_dir": folder / "wuggy", "gold_csv": folder / "wuggy" / "gold.csv"},
        "tstory": {"audio_dir": folder / "tstory"},
        "sstory": {"audio_dir": folder / "sstory"},
        "librilight": {"audio_dir": folder / "books", "evaluation_mode": "multi_book", "num_sequences": 2},
    }
    lines = ["evaluation:"]
    for section, values in sections.items():
        lines.append(f"  {section}:")
        lines += [f"    {key}: {json.dumps(value, default=str, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make miniatures of the spoken benchmarks.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--speech", choices=("auto", "espeak-ng", "tones"), default="auto")
    parser.add_argument("--minutes", type=float, default=0.5, help="length of a book")
    arguments = parser.parse_args()
    print(make(arguments.folder, arguments.speech, arguments.minutes))


if __name__ == "__main__":
    main()
