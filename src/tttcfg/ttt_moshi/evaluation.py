"""Evaluation settings: what the trainer used to keep as free-form `paper_metrics`."""

from typing import Any, Literal

from tttcfg.schema.fields import Role, Section, Text, Whole, setting

MOST_PAIRS = "Pairs scored at most; null is all of them, 0 leaves the benchmark out."
LibriLightMode = Literal["single_book", "multi_book", "random"]


def _run(default: object, unit: str, description: str, **constraints: Any) -> Any:
    return setting(default, role=Role.RUN, unit=unit, description=description, **constraints)


class PairsWithGold(Section):
    """A benchmark of minimal pairs with a table of right answers (sBLIMP, sWUGGY)."""

    audio_dir: Text | None = _run(None, "path", "Folder of the benchmark's audio files; null leaves it out.")
    gold_csv: Text | None = _run(None, "path", "Table of pairs and right answers.")
    max_pairs: Whole | None = _run(2000, "pairs", MOST_PAIRS, ge=0)


class Pairs(Section):
    """A benchmark of pairs told apart by their file names (tStoryCloze, sStoryCloze)."""

    audio_dir: Text | None = _run(None, "path", "Folder of the benchmark's audio files; null leaves it out.")
    max_pairs: Whole | None = _run(2000, "pairs", MOST_PAIRS, ge=0)


class Streaming(Section):
    """How LibriLight is streamed."""

    enabled: bool = _run(False, "switch", "Stream frame by frame.")
    memory_check: bool = _run(False, "switch", "Check memory while streaming.")
    cache_clear_interval: Whole | None = _run(None, "frames", "Frames between two cache clearings.", ge=1)
    max_sequence_length: Whole | None = _run(None, "frames", "Longest sequence streamed.", ge=1)
    memory_log_interval: Whole | None = _run(None, "frames", "Frames between two memory reports.", ge=1)
    ttt_verification: bool = _run(False, "switch", "Check that the inner weights change while streaming.")
    use_fixed_method: bool | None = _run(None, "switch", "Use the corrected loss; null is the evaluator's choice.")
    verify_loss_computation: bool = _run(False, "switch", "Compute the loss a second way and compare.")


class LibriLight(Section):
    """Loss over long read-aloud sequences."""

    audio_dir: Text | None = _run(None, "path", "Folder of LibriLight audio; null leaves the benchmark out.")
    evaluation_mode: LibriLightMode = _run("random", "name", "Which books are read: one, several, or any at random.")
    max_chapters: Whole | None = _run(None, "chapters", "Chapters joined into one sequence at most.", ge=1)
    num_sequences: Whole | None = _run(None, "sequences", "Sequences in multi_book mode.", ge=1)
    speaker_id: Text | None = _run(None, "name", "Speaker in single_book mode.")
    book_name: Text | None = _run(None, "name", "Book in single_book mode.")
    streaming: Streaming = Streaming()


class LongContext(Section):
    """Loss over long recordings of any kind."""

    audio_dir: Text | None = _run(None, "path", "Folder of long recordings; null leaves the benchmark out.")
    max_files: Whole | None = _run(None, "files", "Recordings scored at most.", ge=1)


class EvaluationArgs(Section):
    """What is evaluated, how often and on which files."""

    enable: bool = _run(False, "switch", "Run the benchmarks during training.")
    freq: Whole = _run(0, "steps", "Steps between two evaluations; 0 is never.", ge=0)
    use_silence: bool = _run(False, "switch", "Fill the silent stream with Moshi's silence codes.")
    use_user_stream: bool = _run(False, "switch", "Play the audio into the user stream instead of Moshi's own.")
    sblimp: PairsWithGold = PairsWithGold()
    swuggy: PairsWithGold = PairsWithGold()
    tstory: Pairs = Pairs()
    sstory: Pairs = Pairs()
    librilight: LibriLight = LibriLight()
    long_context: LongContext = LongContext()
