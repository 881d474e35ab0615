"""Evaluation settings: what the trainer used to keep as free-form `paper_metrics`."""

from typing import Literal

from tttcfg.schema.fields import Section, Text, Whole
from tttcfg.ttt_moshi.roles import run

MOST_PAIRS = "Pairs scored at most; null is all of them, 0 leaves the benchmark out."
LibriLightMode = Literal["single_book", "multi_book", "random"]


class PairsWithGold(Section):
    """A benchmark of minimal pairs with a table of right answers (sBLIMP, sWUGGY)."""

    audio_dir: Text | None = run(None, "Folder of the benchmark's audio files; null leaves it out.", unit="path")
    gold_csv: Text | None = run(None, "Table of pairs and right answers.", unit="path")
    max_pairs: Whole | None = run(2000, MOST_PAIRS, unit="pairs", ge=0)


class Pairs(Section):
    """A benchmark of pairs that file names distinguish (tStoryCloze, sStoryCloze)."""

    audio_dir: Text | None = run(None, "Folder of the benchmark's audio files; null leaves it out.", unit="path")
    max_pairs: Whole | None = run(2000, MOST_PAIRS, unit="pairs", ge=0)


class Streaming(Section):
    """How LibriLight is streamed."""

    enabled: bool = run(False, "Stream frame by frame.")
    memory_check: bool = run(False, "Check memory while streaming.")
    cache_clear_interval: Whole | None = run(None, "Frames between two cache clearings.", unit="frames", ge=1)
    max_sequence_length: Whole | None = run(None, "Longest sequence streamed.", unit="frames", ge=1)
    memory_log_interval: Whole | None = run(None, "Frames between two memory reports.", unit="frames", ge=1)
    ttt_verification: bool = run(False, "Check that the inner weights change while streaming.")
    use_fixed_method: bool | None = run(None, "Use the corrected loss; null is the evaluator's choice.")
    verify_loss_computation: bool = run(False, "Compute the loss a second way and compare.")


class LibriLight(Section):
    """Loss over long read-aloud sequences."""

    audio_dir: Text | None = run(None, "Folder of LibriLight audio; null leaves the benchmark out.", unit="path")
    evaluation_mode: LibriLightMode = run("random", "Which books are read: one, several, or any at random.")
    max_chapters: Whole | None = run(None, "Chapters joined into one sequence at most.", unit="chapters", ge=1)
    num_sequences: Whole | None = run(None, "Sequences in multi_book mode.", unit="sequences", ge=1)
    speaker_id: Text | None = run(None, "Speaker in single_book mode.")
    book_name: Text | None = run(None, "Book in single_book mode.")
    streaming: Streaming = Streaming()


class LongContext(Section):
    """Loss over long recordings of any kind."""

    audio_dir: Text | None = run(None, "Folder of long recordings; null leaves the benchmark out.", unit="path")
    max_files: Whole | None = run(None, "Recordings scored at most.", unit="files", ge=1)


class EvaluationArgs(Section):
    """What is evaluated, how often and on which files."""

    enable: bool = run(False, "Run the benchmarks during training.")
    freq: Whole = run(0, "Steps between two evaluations; 0 is never.", unit="steps", ge=0)
    use_silence: bool = run(False, "Fill the silent stream with Moshi's silence codes.")
    use_user_stream: bool = run(False, "Play the audio into the user stream instead of Moshi's own.")
    sblimp: PairsWithGold = PairsWithGold()
    swuggy: PairsWithGold = PairsWithGold()
    tstory: Pairs = Pairs()
    sstory: Pairs = Pairs()
    librilight: LibriLight = LibriLight()
    long_context: LongContext = LongContext()
