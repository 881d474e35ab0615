"""The results file: what is in it, when it is a success, and when two of them can be compared."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ttt_moshi import compare_results
from ttt_moshi.evaluation import assemble, compare, describe, evaluate, exit_code, read, require_writable, write

import tttcfg
from tests.builders import HEAD
from tests.examples_evaluation.conftest import Resolve
from tttcfg import InputError

CHECKPOINT = Path(__file__).resolve().parent.parent.parent / "examples" / "checkpoint"
Document = dict[str, Any]
Change = Callable[[Document], None]


@pytest.fixture
def document(model: Any, tokenizer: Any, resolve: Resolve, miniature: Path) -> Document:
    """The results of two benchmarks that ran; the others were not asked for."""
    settings = {
        "evaluation.sstory.audio_dir": str(miniature / "sstory"),
        "evaluation.librilight.audio_dir": str(miniature / "books"),
    }
    effective = resolve(settings)
    standard = {"loss": 1.5, "data": {"digest": "a"}}
    paper = evaluate(model, tokenizer, effective)
    return assemble(effective, checkpoint=CHECKPOINT, standard=standard, paper_metrics=paper)


def benchmarks(document: Document) -> Document:
    found: Document = document["paper_metrics"]["benchmarks"]
    return found


def changed(document: Document, change: Change) -> Document:
    other = copy.deepcopy(document)
    change(other)
    return other


def test_results_record_what_was_evaluated(document: Document, resolve: Resolve) -> None:
    effective = resolve()
    assert document["results_version"] == 1
    assert document["tttcfg"] == tttcfg.__version__
    assert document["configuration"]["digest"] == effective.digest
    assert document["configuration"]["fields"]["ttt.mini_batch_size"] == 4
    assert not any("evaluation" in name for name in document["configuration"]["fields"])
    assert document["checkpoint"]["step"] == 1000
    assert document["checkpoint"]["path"].endswith("checkpoint_001000/consolidated")
    assert document["paper_metrics"]["tokenizer"]["name"] == "mel-grid"


def test_results_of_a_checkpoint_have_the_digest_of_its_weights_header() -> None:
    effective = tttcfg.resolve(CHECKPOINT)
    found = assemble(effective, checkpoint=CHECKPOINT)["checkpoint"]
    assert found["weights_header_digest"] == tttcfg.inspect_weights(CHECKPOINT).weights.header.digest


def test_results_come_back_as_they_were_written(document: Document, tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    write(document, path)
    assert read(path) == document
    assert path.read_text("utf-8").endswith("}\n")


def test_a_number_that_is_not_finite_is_not_written(document: Document, tmp_path: Path) -> None:
    document["standard"]["loss"] = math.nan
    with pytest.raises(InputError, match="NaN or infinite, so nothing is written"):
        write(document, tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()


def test_that_results_can_be_written_is_seen_without_changing_anything(tmp_path: Path) -> None:
    new, old = tmp_path / "new" / "results.json", tmp_path / "results.json"
    old.write_text("{}", "utf-8")
    for path in (new, old):
        require_writable(path)
    assert not new.exists()
    assert old.read_text("utf-8") == "{}"
    for path in (tmp_path, old / "results.json"):
        with pytest.raises(InputError, match=rf"{path}: cannot be written: "):
            require_writable(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "cannot be read"), ("[]", "results_version: is None"), ('{"results_version": 2}', "reads version 1")],
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(InputError, match="cannot be read"):
        read(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read(path)


def test_it_is_a_success_when_all_that_was_asked_for_is_there(document: Document) -> None:
    assert exit_code(document) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(standard=None, paper_metrics=None),
        lambda document: benchmarks(document)["tstory"].update(status="error"),
        lambda document: [entry.update(status="not run") for entry in benchmarks(document).values()],
    ],
)
def test_it_is_no_success_when_something_that_was_asked_for_is_missing(document: Document, change: Change) -> None:
    assert exit_code(changed(document, change)) == 1


def test_lines_for_the_log_report_what_ran_and_what_did_not(document: Document) -> None:
    lines = describe(document)
    (line,) = [line for line in lines if line.startswith("StoryEnding-miniature (tones): accuracy 0.")]
    assert re.search(r"\(95 % interval 0\.\d{4} to 0\.\d{4}\), 4 pairs, ", line)
    assert any(line.startswith("Books-miniature (tones): loss at 8k too short (") for line in lines)
    assert "sBLIMP: not run: evaluation.sblimp.audio_dir is not set" in lines
    benchmarks(document)["tstory"] = {"layout": "tStoryCloze", "status": "error", "problems": ["a", "b"]}
    assert [line for line in describe(document) if "error" in line] == [
        "tStoryCloze: error: a",
        "tStoryCloze: error: b",
    ]


def test_with_no_data_the_log_reports_that_nothing_ran(model: Any, tokenizer: Any, resolve: Resolve) -> None:
    """The trainer's evaluator reported accuracies of 0.0, and success."""
    document = assemble(resolve(), checkpoint=None, paper_metrics=evaluate(model, tokenizer, resolve()))
    assert describe(document)[-1].startswith("no benchmark ran")
    assert exit_code(document) == 1
    assert "0.0" not in json.dumps(document["paper_metrics"]["benchmarks"])


def test_two_checkpoints_of_one_configuration_are_comparable(document: Document) -> None:
    def another(other: Document) -> None:
        other["checkpoint"]["path"] = "runs/b"
        other["standard"]["loss"] = 1.4
        benchmarks(other)["sstory"]["accuracy"] = 0.0

    found = compare(document, changed(document, another))
    assert found.comparable
    assert found.reasons == ()
    assert found.figures["sstory"] == (benchmarks(document)["sstory"]["accuracy"], 0.0)
    assert found.figures.keys() == {"sstory", "librilight"}


@pytest.mark.parametrize(("base_lr", "code"), [(1.0, 0), (0.5, 1)])
def test_the_program_that_compares_prints_why_results_are_not_comparable(
    document: Document, tmp_path: Path, capsys: pytest.CaptureFixture[str], base_lr: float, code: int
) -> None:
    fields = document["configuration"]["fields"]
    other = changed(document, lambda one: one["configuration"].update(fields={**fields, "ttt.base_lr": base_lr}))
    if code:
        other["configuration"]["digest"] = "another"
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, results in zip(paths, (document, other), strict=True):
        write(results, path)
    assert compare_results.main([str(path) for path in paths]) == code
    accuracy = benchmarks(document)["sstory"]["accuracy"]
    printed = capsys.readouterr().out
    assert f"sstory: {accuracy:.4f} and {accuracy:.4f}\n" in printed
    assert ("   ttt.base_lr is 1.0 in" in printed) == bool(code)
    assert printed.startswith("not comparable:\n" if code else "comparable\n")


def test_run_settings_do_not_matter(document: Document, resolve: Resolve) -> None:
    effective = resolve({"log_freq": 7, "evaluation.sblimp.max_pairs": 3})
    paper = document["paper_metrics"]
    other = assemble(effective, checkpoint=None, standard=document["standard"], paper_metrics=paper)
    assert compare(document, other).comparable


def test_another_configuration_is_named_field_by_field(document: Document, resolve: Resolve) -> None:
    effective = resolve({"ttt.mini_batch_size": 8, "ttt.base_lr": 0.5})
    other = assemble(effective, checkpoint=None, standard=document["standard"], paper_metrics=document["paper_metrics"])
    found = compare(document, other)
    assert not found.comparable
    assert found.reasons == (
        "ttt.base_lr is 1.0 in one and 0.5 in the other",
        "ttt.mini_batch_size is 4 in one and 8 in the other",
    )
    assert found.figures.keys() == {"sstory", "librilight"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one["configuration"].update(digest="x", schema_version=6), f"are of schema versions {HEAD} and 6"),
        (lambda one: one["configuration"].update(digest="x"), "the configurations' digests differ"),
        (lambda one: one["standard"].update(data={"digest": "b"}), "standard: the data are not the same"),
        (lambda one: one["standard"].pop("data"), "standard: the data are not recorded"),
        (lambda one: one.update(standard=None), "standard: in one only"),
        (lambda one: one["paper_metrics"]["tokenizer"].update(name="mimi"), "the tokenizers differ"),
        (
            lambda one: one["paper_metrics"]["scoring"].update(normalisation="sum"),
            'scoring: normalisation is "weighted mean per token" in one and "sum" in the other',
        ),
        (lambda one: benchmarks(one)["sstory"]["data"].update(audio="x"), "sStoryCloze: the data"),
        (lambda one: benchmarks(one)["librilight"].update(piece=1), "LibriLight: the pieces are not the same"),
        (lambda one: benchmarks(one)["sstory"].update(status="error"), "sStoryCloze: done in one and error in"),
        (lambda one: benchmarks(one)["sblimp"].update(status="error"), "sBLIMP: not run in one and error in"),
    ],
)
def test_what_makes_results_incomparable_is_reported(document: Document, change: Change, reason: str) -> None:
    found = compare(document, changed(document, change))
    assert not found.comparable
    assert len(found.reasons) == 1
    assert reason in found.reasons[0]


def test_figures_of_other_data_or_another_tokenizer_are_not_compared(document: Document) -> None:
    other_data = changed(document, lambda one: benchmarks(one)["sstory"]["data"].update(audio="x"))
    assert compare(document, other_data).figures.keys() == {"librilight"}
    other_tokenizer = changed(document, lambda one: one["paper_metrics"]["tokenizer"].update(name="mimi"))
    assert compare(document, other_tokenizer).figures == {}


def test_results_of_nothing_are_not_comparable(document: Document, resolve: Resolve) -> None:
    nothing = assemble(resolve(), checkpoint=None)
    assert compare(nothing, nothing).reasons == ("nothing was evaluated in both",)
    idle = changed(document, lambda one: [entry.update(status="not run") for entry in benchmarks(one).values()])
    assert compare(idle, idle).reasons == ("paper_metrics: no benchmark ran",)
