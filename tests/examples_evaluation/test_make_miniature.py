"""The miniatures have the layouts of the real benchmarks, names of their own, and the same bytes every time."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from ttt_moshi.evaluation.audio import read_audio
from ttt_moshi.evaluation.pairs import COLUMNS, read_gold, read_stories
from ttt_moshi.make_miniature import make

import tttcfg

REAL = ("sBLIMP", "sWUGGY", "sStoryCloze", "tStoryCloze", "LibriLight")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.suffix != ".yaml"}


def test_the_same_call_makes_the_same_bytes(miniature: Path, tmp_path: Path) -> None:
    make(tmp_path, speech="tones", minutes=0.4)
    assert contents(tmp_path) == contents(miniature)


def test_no_miniature_has_the_name_of_a_real_benchmark(miniature: Path) -> None:
    manifests = [json.loads(path.read_bytes()) for path in miniature.rglob("dataset.json")]
    assert len(manifests) == 5
    for manifest in manifests:
        assert manifest["name"].endswith("-miniature (tones)")
        assert not any(name in manifest["name"] for name in REAL)


@pytest.mark.parametrize(("layout", "folder"), [("sBLIMP", "blimp"), ("sWUGGY", "wuggy")])
def test_gold_tables_have_the_columns_of_the_real_ones(miniature: Path, layout: str, folder: str) -> None:
    with (miniature / folder / "gold.csv").open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        assert set(table.fieldnames or ()) == set(COLUMNS[layout])
        names = [row["filename"] for row in table]
    assert all(re.fullmatch(r"[\w-]{11}", name) for name in names)


def test_the_configuration_points_at_all_of_them(miniature: Path) -> None:
    settings = tttcfg.resolve(config=miniature / "evaluation.yaml").training.evaluation
    assert len(read_gold("sWUGGY", Path(settings.swuggy.gold_csv or ""), Path(settings.swuggy.audio_dir or ""))) == 10
    assert len(read_stories(Path(settings.tstory.audio_dir or ""))) == 4
    assert settings.librilight.num_sequences == 2


def test_the_wrong_ending_of_the_topic_story_is_the_right_one_of_another(miniature: Path) -> None:
    topic, ending = (read_stories(miniature / name) for name in ("tstory", "sstory"))
    assert [pair.good.read_bytes() for pair in topic] == [pair.good.read_bytes() for pair in ending]
    assert all(one.bad.read_bytes() != other.bad.read_bytes() for one, other in zip(topic, ending, strict=True))


def test_books_are_as_long_as_asked_for(miniature: Path) -> None:
    for book in (miniature / "books").glob("*/*/"):
        seconds = sum(len(read_audio(path, 16_000)) for path in book.glob("*.wav")) / 16_000
        assert 0.4 * 60 * 0.5 < seconds < 0.4 * 60 * 1.5


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_espeak_says_every_text_in_the_same_layout(tmp_path: Path, miniature: Path) -> None:
    make(tmp_path, minutes=0.1)
    spoken = tmp_path / "blimp"
    names = [pair.good.name for pair in read_gold("sBLIMP", spoken / "gold.csv", spoken)]
    assert names == [
        pair.good.name for pair in read_gold("sBLIMP", miniature / "blimp" / "gold.csv", miniature / "blimp")
    ]
    assert json.loads((spoken / "dataset.json").read_bytes())["name"] == "BLiMP-miniature (espeak-ng)"
    assert read_audio(spoken / names[0], 24_000).abs().max() > 0.1
