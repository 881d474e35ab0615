"""What the laws need to know of this family's rules across fields, documents of any of its versions, and JSON texts."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st

import tttcfg.testing
from tttcfg.testing.values import names, plain_values, scalars, texts
from tttcfg.ttt_moshi.family import TTT_MOSHI

# By default hypothesis draws what UTF-8 encodes, the same characters; to find them it takes 200 MB.
encodable = st.characters(exclude_categories=["Cs"])
layer_texts = st.sampled_from(("all", "middle", "none")) | st.lists(st.integers(0, 40), min_size=1, max_size=4).map(
    lambda indices: ",".join(map(str, indices))
)
# Ascending and without repetition: what a list of layers is in its one saved form.
layer_lists = st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True).map(sorted)


def overrides(version: int) -> dict[str, st.SearchStrategy[Any]]:
    """Return how to draw the fields whose text or keys have a meaning that no schema has; version 7 has typed ones."""
    layers = layer_texts if version < 7 else st.sampled_from(("all", "middle", "none")) | layer_lists
    return {
        "ttt.layers": layers,
        "ttt.unfrozen_attention_layers": layers,
        "world_size": st.sampled_from((None, -1, 1, 8) if version < 7 else (None, 1, 8)),
        "paper_metrics": free_form_metrics(),
    }


@cache
def complete_documents(version: int) -> st.SearchStrategy[dict[str, Any]]:
    """Generate documents that hold every field of `version`, each of them valid."""
    return tttcfg.testing.documents(TTT_MOSHI, version, overrides(version), settled)


def free_form_metrics() -> st.SearchStrategy[dict[str, Any]]:
    """Generate `paper_metrics`: keys that the evaluator read, keys that it ignored, and unknown keys."""
    known = {
        "paper_metrics_eval": st.booleans(),
        "paper_metrics_freq": st.integers(0, 5000),
        "sblimp_audio_dir": st.none() | texts,
        "swuggy_max_pairs": st.integers(0, 5000),
        "tstory_max_pairs": st.integers(0, 3),
        "librilight_evaluation_mode": st.sampled_from(("single_book", "multi_book", "pre_concatenated")),
        "librilight_speaker_id": st.integers(0, 9999) | texts,
        "librilight_streaming": st.fixed_dictionaries({"enabled": st.booleans()}),
        "results_dir": texts,
        "ttt_fig5_layers": st.lists(st.integers(0, 31), max_size=3),
    }
    own = names.map(lambda name: f"own_{name}")
    return st.builds(
        lambda rest, read: {**rest, **read},
        st.dictionaries(own, plain_values, max_size=3),
        st.fixed_dictionaries({}, optional=known),
    )


def settled(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose hidden layers have one width each, as the rule across fields demands."""
    ttt = document.get("ttt", {})
    for holder, layers, widths in (
        (ttt, "ttt_mlp_layers", "ttt_mlp_hidden_dims"),
        (ttt.get("mlp"), "layers", "hidden_dims"),
    ):
        if holder and widths in holder:
            given = holder[widths]
            holder[layers] = 2 + holder[layers] % 4
            if given is not None:
                holder[widths] = [*given, *[64] * 5][: holder[layers] - 1]
    return document


def json_texts() -> st.SearchStrategy[str]:
    """Generate JSON texts as no serialiser writes them: keys that repeat, escapes, colons, odd spacing."""
    field = scalars.map(json.dumps) | st.sampled_from(
        ['"a:b"', '"\\u003a"', '"::"', '""', "1e400", "NaN", "-Infinity", "1E5", "-0", "1" + "0" * 400, '"\\ud800"']
    )
    key = st.sampled_from(['"a"', '"b"', '"a:"', '"\\u0061"', '":"', '"é"'])
    gap = st.sampled_from(["", " ", "\n", "\t "])

    def container(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pair = st.builds(lambda k, left, right, v: f"{k}{left}:{right}{v}", key, gap, gap, inner)
        listed = st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        mapped = st.lists(pair, max_size=3).map(lambda items: f"{{{', '.join(items)}}}")
        return listed | mapped

    return st.builds(
        lambda before, pairs, after: f"{before}{{{','.join(pairs)}}}{after}",
        gap,
        st.lists(
            st.builds(lambda k, v: f"{k}:{v}", key, st.recursive(field, container, max_leaves=6)),
            min_size=1,
            max_size=4,
        ),
        gap,
    )
