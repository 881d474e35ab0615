"""Version 7: the first with a version number in its documents.

Constants become settings, unused settings are removed, free-form `paper_metrics` becomes typed
`evaluation`, and checkpoints no longer contain secrets.
"""

from typing import Any

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import (
    Add,
    By,
    Convert,
    Doubt,
    Operation,
    Promote,
    Remove,
    RemoveRest,
    Rename,
    Withhold,
)
from tttcfg.migration.record import LEGACY
from tttcfg.schema.fragments import Fragment, boolean, choice, either, follows, integer, nullable, number, text
from tttcfg.schema.paths import get_path

WORDS = ("all", "middle", "none")
INDICES: Fragment = {"type": "array", "items": {"type": "integer", "maximum": 2**53, "minimum": 0}, "minItems": 1}
BETAS: Fragment = {
    "default": [0.9, 0.95],
    "type": "array",
    "prefixItems": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}] * 2,
    "minItems": 2,
    "maxItems": 2,
}
ONE_FORM = "layers have one saved form: a word or a list of indices"
HARD_CODED = "was a constant in the code"
LAST_COMMIT = "is what the trainer's last public commit does; when that began is not recorded"
LAYERS = "ttt.mlp.layers"
FOUR_TIMES = "two layers were always built four times as wide, whatever was written"


def layers(value: Any) -> Any:
    """Return [28, 29, 30] for "28,29,30"; words are not changed."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else []
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 17 for part in parts):
        return value
    return sorted({int(part) for part in parts})


def layers_text(value: Any) -> Any:
    return ",".join(str(index) for index in value) if isinstance(value, list) else value


def rope_mode(value: Any) -> Any:
    return {True: "mini_batch", False: "off"}[value] if isinstance(value, bool) else value


def use_rope(value: Any) -> Any:
    return {"mini_batch": True, "off": False}.get(value, value) if isinstance(value, str) else value


def is_deep(layers: Any) -> bool:
    """Return whether an inner MLP is the multi-layer one, which had code of its own; the default is two layers."""
    return isinstance(layers, int) and layers > 2


def built(value: Any) -> Any:
    """Return a conversion that keeps a width only where the MLP is deep: two layers had four times the head's."""
    return lambda written, layers: written if is_deep(layers) else value


def carried(value: Any, ttt: Any) -> Any:
    """Return which states evaluation carried over: the inner model determined it, whatever was written."""
    if not isinstance(value, bool):
        return value
    is_linear = get_path(ttt, ("inner_model",)) == "linear"
    return "first_sequence" if is_deep(get_path(ttt, ("mlp", "layers"))) and not is_linear else "never"


def persistent(value: Any) -> Any:
    return {"never": False, "first_sequence": True}.get(value, value) if isinstance(value, str) else value


def by_depth(two: str, more: str) -> By:
    return By(LAYERS, lambda layers: more if is_deep(layers) else two, f"{two}, {more} from 3 inner layers")


def word(default: str, *words: str) -> Fragment:
    return follows(default, choice("", *words))


def ranks(value: Any) -> Any:
    return None if isinstance(value, int) and not isinstance(value, bool) and value < 1 else value


def steps(value: Any) -> Any:
    return 0 if isinstance(value, int) and not isinstance(value, bool) and value < 0 else value


def pairs(value: Any) -> Any:
    """Return the most pairs that sBLIMP and sWUGGY read: all of them where it was 0."""
    return None if value == 0 and not isinstance(value, bool) else value


def known_mode(value: Any) -> Any:
    return "random" if isinstance(value, str) and value not in ("single_book", "multi_book", "random") else value


def as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def count() -> Fragment:
    return nullable(integer(None, minimum=1))


def typed(old: str, to: str, shape: Fragment, convert: Any = None, **absent: Any) -> Operation:
    return Promote(
        f"paper_metrics.{old}", f"evaluation.{to}", shape, "evaluation settings are typed", convert, **absent
    )


def ignored(*names: str) -> tuple[Operation, ...]:
    return tuple(Remove(f"paper_metrics.{name}", "the evaluator never read it") for name in names)


def dead(*names: str) -> tuple[Operation, ...]:
    return tuple(Remove(name, "nothing read it") for name in names)


PATH = nullable(text(None))
BENCHMARKS = tuple(
    typed(f"{name}_{key}", f"{name}.{key}", shape, pairs if has_gold and key == "max_pairs" else None)
    for name, has_gold in (("sblimp", True), ("swuggy", True), ("tstory", False), ("sstory", False))
    for key, shape in (("audio_dir", PATH), ("gold_csv", PATH), ("max_pairs", nullable(integer(2000, minimum=0))))
    if has_gold or key != "gold_csv"
)
STREAMING = tuple(
    typed(f"librilight_streaming.{key}", f"librilight.streaming.{key}", shape, absent=absent)
    for key, shape, absent in (
        ("enabled", boolean(False), True),
        ("memory_check", boolean(False), True),
        ("cache_clear_interval", count(), 3000),
        ("max_sequence_length", count(), 50_000),
        ("memory_log_interval", count(), 1000),
        ("ttt_verification", boolean(False), True),
        ("use_fixed_method", nullable({"default": None, "type": "boolean"}), True),
        ("verify_loss_computation", boolean(False), True),
    )
)

migration = Migration(
    version=7,
    date="2026-11-23",
    summary="a number, typed evaluation settings, constants as settings; dead knobs and secrets gone",
    evidence="tttcfg 0.2.0",
    operations=(
        Withhold("wandb.key", "secrets do not travel with checkpoints"),
        Convert("ckpt_freq", steps, "below 1 it saved the last step only", integer(0, minimum=0)),
        Convert("eval_freq", steps, "below 1 it never evaluated", integer(0, minimum=0)),
        Convert("world_size", ranks, "-1 meant a run without a launcher", nullable(integer(None, minimum=1))),
        Add("optim.betas", BETAS, [0.9, 0.95], HARD_CODED),
        Add("optim.eps", number(1e-8, exclusiveMinimum=0), 1e-8, HARD_CODED),
        Convert("ttt.layers", layers, ONE_FORM, either("middle", choice("", *WORDS), INDICES), layers_text),
        Convert(
            "ttt.unfrozen_attention_layers", layers, ONE_FORM, either("none", choice("", *WORDS), INDICES), layers_text
        ),
        Rename("ttt.ttt_mlp_layers", "ttt.mlp.layers", "the inner MLP has a section of its own"),
        Rename("ttt.ttt_mlp_hidden_dims", "ttt.mlp.hidden_dims", "the inner MLP has a section of its own"),
        Rename("ttt.ttt_mlp_expansion_factor", "ttt.mlp.expansion_factor", "the inner MLP has a section of its own"),
        Convert("ttt.mlp.hidden_dims", built(None), FOUR_TIMES, beside=LAYERS),
        Convert("ttt.mlp.expansion_factor", built(4.0), FOUR_TIMES, beside=LAYERS),
        Rename("ttt.use_rope", "ttt.rope_mode", "a third value is needed: not known"),
        Convert(
            "ttt.rope_mode", rope_mode, "a mode, not a switch", choice("off", "off", "mini_batch", LEGACY), use_rope
        ),
        Rename("rope_reset_on_new_file", "ttt.reset_on_new_file", "it resets the inner weights, not the positions"),
        Doubt(
            "ttt.ttt_layer_context",
            lambda value: value not in (None, 3000),
            "until 2025-11-01 the trainer left TTT layers at 3000, whatever was written",
        ),
        Convert(
            "ttt.persistent_states",
            carried,
            "the trainer carried states with three and more inner layers, while evaluating, and never with fewer, "
            "whatever was written",
            word("never, first_sequence from 3 inner layers", "never", "first_sequence", "each_sequence"),
            persistent,
            beside="ttt",
        ),
        Add("ttt.inner_norm_eps", number(1e-8, exclusiveMinimum=0), 1e-8, HARD_CODED, LAST_COMMIT),
        Add(
            "ttt.read_out",
            word("once, twice from 3 inner layers", "once", "twice"),
            by_depth("once", "twice"),
            HARD_CODED,
            LAST_COMMIT,
        ),
        Add(
            "ttt.scan_dtype",
            word("parameters, float32 from 2 inner layers, parameters from 3", "float32", "parameters"),
            by_depth("float32", "parameters"),
            HARD_CODED,
            LAST_COMMIT,
        ),
        Add("ttt.state_dtype", choice("parameters", "scan", "parameters"), "parameters", HARD_CODED, LAST_COMMIT),
        Add("ttt.rope_scaling", choice("audio", "none", "audio"), "audio", HARD_CODED, LAST_COMMIT),
        Add("ttt.inner_model", choice("mlp", "linear", "mlp"), "mlp", HARD_CODED),
        Add(
            "ttt.reconstruction_eps",
            number(1e-5, exclusiveMinimum=0),
            1e-5,
            "was a constant: 1e-5 since 2025-10-10, 1e-8 before",
        ),
        Add(
            "ttt.scan_checkpoint_group_size",
            integer(16, minimum=0),
            16,
            "was a constant: 16 since 2025-10-11, 1 before",
        ),
        Add("ttt.scan_checkpoint_group_size_eval", integer(0, minimum=0), 0, HARD_CODED),
        Add("ttt.kernel", choice("auto", "auto", "torch", "triton", "thunderkittens"), "torch", HARD_CODED),
        Add("ttt.tensor_parallel_size", integer(1, minimum=1), 1, "the trainer's tensor parallelism was a stub"),
        *dead(
            "rope_continuous",
            "ttt.normalize_ttt_output",
            "ttt.target_output_norm",
            "ttt.log_inner_loop_losses",
            "ttt.inner_loop_log_interval",
            "ttt.save_inner_loop_plots",
            "ttt.inner_loop_plot_dir",
            "ttt.optimize_chunk_size",
            "ttt.chunk_size",
            "ttt.max_chunk_size",
            "ttt.prefer_efficiency",
        ),
        typed("paper_metrics_eval", "enable", boolean(False)),
        typed("paper_metrics_freq", "freq", integer(0, minimum=0), steps),
        typed("paper_metrics_use_silence", "use_silence", boolean(False)),
        typed("paper_metrics_use_user_stream", "use_user_stream", boolean(False)),
        *BENCHMARKS,
        typed("librilight_audio_dir", "librilight.audio_dir", PATH),
        typed(
            "librilight_evaluation_mode",
            "librilight.evaluation_mode",
            choice("random", "single_book", "multi_book", "random"),
            known_mode,
            absent="single_book",
        ),
        typed("librilight_max_chapters", "librilight.max_chapters", count(), absent=3),
        typed("librilight_num_sequences", "librilight.num_sequences", count(), absent=1),
        typed("librilight_speaker_id", "librilight.speaker_id", PATH, as_text, absent="100"),
        typed(
            "librilight_book_name",
            "librilight.book_name",
            PATH,
            as_text,
            absent="emerald_city_librivox_64kb_mp3",
        ),
        *STREAMING,
        typed("long_context_audio_dir", "long_context.audio_dir", PATH),
        typed("long_context_max_files", "long_context.max_files", count(), absent=10),
        *ignored(
            "save_results_json",
            "results_dir",
            "librilight_max_files",
            "librilight_concatenated_dir",
            "librilight_max_tokens",
            "ttt_fig5_enable",
            "ttt_fig5_max_T",
            "ttt_fig5_layers",
            "ttt_fig5_smooth",
            "sblimp_stream_config",
            "swuggy_stream_config",
            "tstory_stream_config",
            "sstory_stream_config",
        ),
        *(
            Remove(f"paper_metrics.ttt.{name}", "only a log line read it")
            for name in ("optimize_chunk_size", "chunk_size", "max_chunk_size", "prefer_efficiency", "mini_batch_size")
        ),
        RemoveRest("paper_metrics", "keys that no version of the evaluator read"),
    ),
)
