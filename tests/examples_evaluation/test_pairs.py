"""The layouts of sBLIMP, sWUGGY and the story clozes: read whole, or refused with everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ttt_moshi.evaluation.pairs import read_gold, read_stories, sampled

from tttcfg import InputError

Copy = Callable[[str], Path]


def edited(folder: Path, edit: Callable[[list[str]], list[str]]) -> Path:
    gold = folder / "gold.csv"
    gold.write_text("\n".join(edit(gold.read_text("utf-8").splitlines())) + "\n", encoding="utf-8")
    return gold


def refused(layout: str, gold: Path, folder: Path) -> list[str]:
    with pytest.raises(InputError) as raised:
        read_gold(layout, gold, folder)
    return [str(problem).replace(str(folder), "F") for problem in raised.value.problems]


def test_every_correct_recording_is_paired_with_the_incorrect_one_of_its_id_and_voice(miniature: Path) -> None:
    folder = miniature / "blimp"
    pairs = read_gold("sBLIMP", folder / "gold.csv", folder)
    assert len(pairs) == 80
    assert {pair.kind for pair in pairs} == {"agreement"}
    assert pairs[0].key == "agreement singular 1 A"
    assert len({path for pair in pairs for path in (pair.good, pair.bad)}) == 160
    assert all(path.is_file() for pair in pairs for path in (pair.good, pair.bad))


def test_a_word_with_two_nonwords_makes_two_pairs(copied: Copy) -> None:
    folder = copied("wuggy")
    (folder / "more.wav").write_bytes(b"")
    gold = edited(folder, lambda lines: [*lines, "1,more.wav,A,windaw,0"])
    pairs = [pair for pair in read_gold("sWUGGY", gold, folder) if pair.key.startswith("1 A")]
    assert len(pairs) == len({pair.key for pair in pairs}) == 2
    assert len({pair.good for pair in pairs}) == 1


@pytest.mark.parametrize(
    ("layout", "folder", "sentence"),
    [
        ("sWUGGY", "blimp", "is the table of sBLIMP: it has the column transcription, and sWUGGY has word"),
        ("sBLIMP", "wuggy", "is the table of sWUGGY: it has the column word, and sBLIMP has transcription"),
    ],
)
def test_the_table_of_another_benchmark_is_recognised_by_its_columns(
    miniature: Path, layout: str, folder: str, sentence: str
) -> None:
    """Five of the trainer's configurations point swuggy_gold_csv at the table of sBLIMP."""
    found = refused(layout, miniature / folder / "gold.csv", miniature / folder)
    assert found == [f"F/gold.csv:1: {sentence}"]


def test_sentences_in_the_column_of_words_are_recognised_by_their_spaces(copied: Copy) -> None:
    folder = copied("blimp")
    gold = edited(folder, lambda lines: [lines[0].replace("transcription", "word"), *lines[1:]])
    assert "another benchmark's table" in refused("sWUGGY", gold, folder)[0]


def test_all_problems_of_a_table_come_at_once_with_their_lines(copied: Copy) -> None:
    folder = copied("blimp")
    name = (folder / "gold.csv").read_text("utf-8").splitlines()[9].split(",")[1]
    (folder / f"{name}.wav").unlink()

    def edit(lines: list[str]) -> list[str]:
        lines[1] = lines[1][:-1] + "yes"
        lines[3] = lines[3] + ",more"
        lines[5] = lines[4].replace(",0", ",1")
        return lines[:-1]

    found = refused("sBLIMP", edited(folder, edit), folder)
    assert found[:4] == [
        "F/gold.csv:2: has 'yes' in correct, which is 0 or 1",
        "F/gold.csv:4: has more or fewer cells than the table has columns",
        f"F/gold.csv:6: {found[2].split(': ')[1]}",
        f"F/gold.csv:10: {name}.wav is not in F",
    ]
    assert "is in line 5 already" in found[2]
    assert "F/gold.csv:160: 'agreement plural 40 B' has no incorrect recording to be paired with" in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no columns id, voice, filename, correct, word of sWUGGY; it has none"),
        ("id,filename,voice,word,correct\n", "has no rows"),
        ("id,filename,word,correct\n1,a,b,1\n", "has no columns voice"),
        ('id,filename,voice,word,correct\n1,a,A,"b"x,1\n', "is not valid CSV"),
        ("id,filename,voice,word,correct\n1,,A,b,1\n", "has nothing in filename"),
        ("id,filename,voice,word,correct\n1,../../secret,A,b,1\n", "../../secret.wav is not in"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(copied: Copy, text: str, message: str) -> None:
    folder = copied("wuggy")
    (folder / "gold.csv").write_text(text, encoding="utf-8")
    assert message in refused("sWUGGY", folder / "gold.csv", folder)[0]


def test_missing_and_empty_folders_are_refused(miniature: Path, tmp_path: Path) -> None:
    gold = miniature / "blimp" / "gold.csv"
    with pytest.raises(InputError, match="none: cannot be read"):
        read_gold("sBLIMP", gold, tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no \.wav file"):
        read_gold("sBLIMP", gold, tmp_path)
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_gold("sBLIMP", tmp_path / "none.csv", tmp_path)
    with pytest.raises(InputError, match="none: cannot be read"):
        read_stories(tmp_path / "none")


def test_stories_are_paired_by_number_and_uuid(miniature: Path) -> None:
    pairs = read_stories(miniature / "sstory")
    assert [pair.key[0] for pair in pairs] == ["0", "1", "2", "3"]
    for pair in pairs:
        assert pair.good.name == f"{pair.key}_correct.wav"
        assert pair.bad.name == f"{pair.key}_incorrect.wav"


def test_all_stories_that_do_not_fit_are_named_at_once(copied: Copy) -> None:
    folder = copied("tstory")
    first, second = sorted(folder.glob("*_correct.wav"))[:2]
    first.unlink()
    second.rename(folder / "1_abc_right.wav")
    with pytest.raises(InputError) as raised:
        read_stories(folder)
    messages = [problem.message for problem in raised.value.problems]
    assert messages == [
        "is not named {num}_{uuid}_{correct|incorrect}.wav",
        "has no correct counterpart",
        "has no correct counterpart",
    ]


def test_a_sample_is_the_same_in_any_order_and_part_of_every_larger_one(miniature: Path) -> None:
    folder = miniature / "blimp"
    pairs = read_gold("sBLIMP", folder / "gold.csv", folder)
    few, many = sampled(pairs, 10), sampled(pairs, 30)
    assert sampled(pairs[::-1], 10) == few == many[:10]
    assert {pair.key.split()[1] for pair in few} == {"singular", "plural"}
    assert sampled(pairs, 1_000) == sampled(pairs, 80)
    assert sorted(sampled(pairs, 80)) == sorted(pairs)
