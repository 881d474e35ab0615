"""Strategies that generate documents of any version from its frozen schema, and JSON texts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import strategies as st

from tttcfg.schema import schema_name

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas" / "ttt_moshi"
LAYER_TEXTS = ("ttt.layers", "ttt.unfrozen_attention_layers")
SMALL = 1 << 20

# No surrogates, and no words that the record of removals takes for the name of a secret.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
names = st.text("abcxyz_:é", min_size=1, max_size=6)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
scalars = st.none() | st.booleans() | st.integers(-SMALL, SMALL) | finite | texts
plain_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
layer_texts = st.sampled_from(("all", "middle", "none")) | st.lists(st.integers(0, 40), min_size=1, max_size=4).map(
    lambda indices: ",".join(map(str, indices))
)


@cache
def frozen_schema(version: int) -> dict[str, Any]:
    """Return the frozen schema of documents of `version`."""
    schema: dict[str, Any] = json.loads((SCHEMAS / schema_name(version)).read_bytes())
    return schema


@cache
def validator(version: int) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(frozen_schema(version))


@cache
def complete_documents(version: int) -> st.SearchStrategy[dict[str, Any]]:
    """Generate documents that hold every field of `version`, each of them valid."""
    shape = frozen_schema(version)
    return section(shape, ()).map(settled)


def section(shape: dict[str, Any], path: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: field(child, (*path, name)) for name, child in shape["properties"].items()}
    return st.fixed_dictionaries(fields)


def field(shape: dict[str, Any], path: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Generate values of a field; the few whose text has a meaning of its own are known by their path."""
    key = ".".join(path)
    if key in LAYER_TEXTS and shape.get("type") == "string":
        return layer_texts
    if key == "world_size":
        return st.sampled_from((None, 1, 8) if shape["anyOf"][0]["minimum"] == 1 else (None, -1, 1, 8))
    if path[-1] == "paper_metrics":
        return free_form_metrics()
    if key == "$schema":
        return st.just("urn:tttcfg:ttt_moshi:v0007")
    if key == "provenance":
        return st.dictionaries(names, plain_values, max_size=3)
    return section(shape, path) if "properties" in shape else values(shape)


def values(shape: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Generate values of a shape, for the part of JSON Schema that the frozen files use."""
    if "const" in shape:
        return st.just(shape["const"])
    if "enum" in shape:
        return st.sampled_from(shape["enum"])
    if "anyOf" in shape:
        return st.one_of([values(child) for child in shape["anyOf"]])
    if shape["type"] == "array":
        return arrays(shape)
    return {
        "null": lambda _: st.none(),
        "boolean": lambda _: st.booleans(),
        "integer": lambda s: st.integers(s.get("minimum", -SMALL), SMALL),
        "number": numbers,
        "string": lambda s: texts.filter(bool) if s.get("minLength") else texts,
    }[shape["type"]](shape)


def numbers(shape: dict[str, Any]) -> st.SearchStrategy[float]:
    low = shape.get("exclusiveMinimum", shape.get("minimum"))
    high = shape.get("exclusiveMaximum", shape.get("maximum"))
    return st.floats(
        low,
        high,
        exclude_min="exclusiveMinimum" in shape,
        exclude_max="exclusiveMaximum" in shape,
        allow_nan=False,
        allow_infinity=False,
    )


def arrays(shape: dict[str, Any]) -> st.SearchStrategy[list[Any]]:
    if "prefixItems" in shape:
        return st.tuples(*map(values, shape["prefixItems"])).map(list)
    # Ascending and without repetition: what a list of layers is in its one saved form.
    return st.lists(values(shape["items"]), min_size=shape.get("minItems", 0), max_size=4, unique=True).map(sorted)


def free_form_metrics() -> st.SearchStrategy[dict[str, Any]]:
    """Generate `paper_metrics`: keys that the evaluator read, keys that it ignored, and keys of nobody."""
    known = {
        "paper_metrics_eval": st.booleans(),
        "paper_metrics_freq": st.integers(0, 5000),
        "sblimp_audio_dir": st.none() | texts,
        "swuggy_max_pairs": st.integers(1, 5000),
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
    leaf = scalars.map(json.dumps) | st.sampled_from(
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
            st.builds(lambda k, v: f"{k}:{v}", key, st.recursive(leaf, container, max_leaves=6)), min_size=1, max_size=4
        ),
        gap,
    )
