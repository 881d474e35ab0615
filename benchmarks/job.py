"""The job that is measured: a checkpoint, a configuration file for something else, and three overrides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from math import prod
from pathlib import Path

import tttcfg

HERE = Path(__file__).parent
CONFIG = HERE / "job.yaml"
OLD = HERE / "version3.json"
OVERRIDES = ("ttt.mini_batch_size=32", "batch_size=4", "optim.lr=2e-5")
TTT_LAYERS = (8, 9, 10, 11)
RANK = 128
HIDDEN = (512, 512)
TRAINED_WITH = (f"ttt.layers={list(TTT_LAYERS)}", f"lora.rank={RANK}", "seed=7")
PARTS = ("self_attn.in_projs.{}", "self_attn.out_projs.{}", "gating.{}.linear_in", "gating.{}.linear_out")
MODEL = {"dim": 4096, "num_heads": 32, "num_layers": 32, "context": 3000, "card": 2048}
WRITTEN_AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def write_checkpoint(folder: Path) -> Path:
    """Write a checkpoint of the current version, without weights."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = tttcfg.resolve(config=CONFIG, overrides=TRAINED_WITH)
    tttcfg.save_document(folder, trained, written_at=WRITTEN_AT)
    (folder / "config.json").write_text(json.dumps(MODEL, indent=2), "utf-8")
    return folder


def write_weights(folder: Path) -> int:
    """Write the weights of that checkpoint, adapters and TTT layers, as holes, and return how many tensors they are."""
    header, end = {}, 0
    for name, shape in (*_adapters(), *_ttt_layers()):
        begin, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    with (folder / "lora.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return len(header)


def _adapters() -> Iterator[tuple[str, list[int]]]:
    width, steps = MODEL["dim"], range(8)
    depth = [f"depformer.layers.{layer}.{part}" for layer in range(6) for part in PARTS]
    names = [f"{part.format(step)}" for part in depth for step in steps]
    names += [f"depformer_in.{step}" for step in steps] + [f"linears.{step}" for step in steps] + ["text_linear"]
    for layer in range(MODEL["num_layers"]):
        home = "original_layer." if layer in TTT_LAYERS else ""
        parts = ("self_attn.in_projs.0", "self_attn.out_projs.0", "gating.linear_in", "gating.linear_out")
        names += [f"transformer.layers.{layer}.{home}{part}" for part in parts]
    for name in names:
        yield f"{name}.lora_A.weight", [RANK, width]
        yield f"{name}.lora_B.weight", [width, RANK]


def _ttt_layers() -> Iterator[tuple[str, list[int]]]:
    width, heads = MODEL["dim"], MODEL["num_heads"]
    head = width // heads
    ttt: dict[str, list[int]] = {f"w{one}.weight": [width, width] for one in "qkvo"}
    ttt |= {f"w{one}.bias": [width] for one in "qkvo"}
    ttt |= {"learnable_ttt_lr_weight": [heads, 1, width], "learnable_ttt_lr_bias": [heads, 1]}
    ttt |= {f"ttt_norm_{one}": [heads, head] for one in ("weight", "bias")}
    ttt |= {f"post_norm.{one}": [width] for one in ("weight", "bias")}
    for number, (given, taken) in enumerate(zip((head, *HIDDEN), (*HIDDEN, head), strict=True)):
        ttt |= {f"weights.{number}": [heads, given, taken], f"biases.{number}": [heads, 1, taken]}
    for layer in TTT_LAYERS:
        block = f"transformer.layers.{layer}.seq_modeling_block."
        for way in ("forward", "backward"):
            yield f"{block}{way}_ssm_gating.gating_alpha", [width]
        for name, shape in ttt.items():
            yield f"{block}ttt_layer.ttt.{name}", shape
