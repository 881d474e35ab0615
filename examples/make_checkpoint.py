"""Build the bundled checkpoint: a small model's TTT tensors beside a complete generation-3 configuration.

Names, shapes and layout are those of the real trainer (5-layer TTT-MLP in three layers, no LoRA, so
lora.safetensors holds the TTT tensors alone); the model is 32 channels wide instead of 4096, so that
the files are small. Running it again writes the same bytes: `python examples/make_checkpoint.py [FOLDER]`.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

STEP = 1000
LAYERS = (29, 30, 31)
HERE = Path(__file__).parent / "checkpoint"

# The Moshi language model's configuration as the trainer dumps it, narrow: config.json.
MODEL = {
    "dim": 32,
    "text_card": 32000,
    "existing_text_padding_id": 3,
    "n_q": 16,
    "dep_q": 8,
    "card": 2048,
    "num_heads": 4,
    "num_layers": 32,
    "hidden_scale": 4.125,
    "causal": True,
    "layer_scale": None,
    "context": 3000,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 16,
    "depformer_dim_feedforward": 66,
    "depformer_num_heads": 2,
    "depformer_num_layers": 6,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_context": 8,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1],
    "lora": False,
    "lora_rank": 64,
    "lora_scaling": 2.0,
}

# What the trainer of October 2025 saved: dataclasses.asdict of all its arguments, without a version.
TRAINING = {
    "data": {
        "train_data": "/corpora/phone-dialogues/train.jsonl",
        "shuffle": True,
        "eval_data": "/corpora/phone-dialogues/dev.jsonl",
    },
    "run_dir": "/runs/dialogues-ttt5-mb64",
    "moshi_paths": {
        "hf_repo_id": "kyutai/moshiko-pytorch-bf16",
        "mimi_path": None,
        "moshi_path": None,
        "tokenizer_path": None,
        "config_path": None,
    },
    "first_codebook_weight_multiplier": 100.0,
    "text_padding_weight": 0.5,
    "optim": {"lr": 3e-05, "weight_decay": 0.1, "pct_start": 0.05},
    "seed": 7,
    "num_microbatches": 1,
    "duration_sec": 163.84,
    "batch_size": 2,
    "max_norm": 1.0,
    "max_steps": 2000,
    "log_freq": 10,
    "ckpt_freq": 500,
    "save_adapters": True,
    "do_ckpt": True,
    "num_ckpt_keep": 3,
    "eval_freq": 250,
    "do_eval": True,
    "gradient_checkpointing": True,
    "world_size": 1,
    "wandb": {"project": "dialogues-ttt", "offline": True, "key": None, "run_name": "ttt5-mb64"},
    "lora": {"enable": False, "rank": 64, "scaling": 2.0, "ft_embed": False},
    "full_finetuning": False,
    "ttt": {
        "enable": True,
        "layers": ",".join(map(str, LAYERS)),
        "base_lr": 0.1,
        "mini_batch_size": 64,
        "persistent_states": True,
        "initial_gating_alpha": 0.005,
        "override_gating_alpha_on_resume": False,
        "log_inner_loop_losses": False,
        "inner_loop_log_interval": 1,
        "save_inner_loop_plots": False,
        "inner_loop_plot_dir": "./evaluation_plots/inner_loop",
        "optimize_chunk_size": True,
        "chunk_size": None,
        "max_chunk_size": 50,
        "prefer_efficiency": True,
        "ttt_mlp_layers": 5,
        "ttt_mlp_hidden_dims": None,
        "ttt_mlp_expansion_factor": 4.0,
        "normalize_ttt_output": False,
        "target_output_norm": 25.0,
    },
    "paper_metrics": {
        "paper_metrics_eval": True,
        "paper_metrics_freq": 500,
        "paper_metrics_use_silence": True,
        "paper_metrics_use_user_stream": False,
        "sblimp_audio_dir": "/corpora/slm21/syntactic/dev",
        "sblimp_gold_csv": "/corpora/slm21/syntactic/dev/gold.csv",
        "sblimp_max_pairs": 200,
        "swuggy_audio_dir": "/corpora/slm21/lexical/dev",
        "swuggy_gold_csv": "/corpora/slm21/lexical/dev/gold.csv",
        "swuggy_max_pairs": 200,
        "tstory_audio_dir": "/corpora/storycloze/topic",
        "tstory_max_pairs": 200,
        "sstory_audio_dir": "/corpora/storycloze/spoken",
        "sstory_max_pairs": 200,
        "librilight_audio_dir": "/corpora/librilight/medium",
        "librilight_evaluation_mode": "single_book",
        "librilight_speaker_id": "100",
        "librilight_book_name": "emerald_city",
        "librilight_max_chapters": 3,
        "librilight_num_sequences": 1,
    },
    "param_dtype": "bfloat16",
    "overwrite_run_dir": False,
    "resume_from": None,
    "reset_optimizer": False,
    "reset_step": False,
}

Shape = tuple[int, ...]
Tensor = tuple[str, Shape, float, float]


def layer_tensors(layer: int) -> Iterator[Tensor]:
    """Yield name, shape, centre and spread of every tensor of one TTT layer."""
    width, heads = 32, 4
    head = width // heads
    hidden = int(head * 4.0)
    sizes = (head, hidden, hidden, hidden, hidden, head)
    block = f"transformer.layers.{layer}.seq_modeling_block"
    inner = f"{block}.ttt_layer.ttt"
    yield f"{block}.backward_ssm_gating.gating_alpha", (width,), 0.005, 0.0
    yield f"{block}.forward_ssm_gating.gating_alpha", (width,), 0.005, 0.002
    for name in ("wq", "wk", "wv", "wo"):
        yield f"{inner}.{name}.weight", (width, width), 0.0, 0.05
        yield f"{inner}.{name}.bias", (width,), 0.0, 0.01
    yield f"{inner}.learnable_ttt_lr_weight", (heads, 1, width), 0.0, 0.05
    yield f"{inner}.learnable_ttt_lr_bias", (heads, 1), 0.0, 0.01
    yield f"{inner}.ttt_norm_weight", (heads, head), 1.0, 0.02
    yield f"{inner}.ttt_norm_bias", (heads, head), 0.0, 0.02
    yield f"{inner}.post_norm.weight", (width,), 1.0, 0.0
    yield f"{inner}.post_norm.bias", (width,), 0.0, 0.0
    for index, (rows, columns) in enumerate(pairwise(sizes)):
        yield f"{inner}.weights.{index}", (heads, rows, columns), 0.0, 0.05
        yield f"{inner}.biases.{index}", (heads, 1, columns), 0.0, 0.01


def bfloat16(value: float) -> bytes:
    """Return `value` rounded to the nearest bfloat16, little-endian."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def tensor_bytes(name: str, shape: Shape, centre: float, spread: float) -> bytes:
    """Return values around `centre` that depend on the tensor's name alone."""
    count = 1
    for size in shape:
        count *= size
    noise = struct.unpack(f"<{count}h", hashlib.shake_256(name.encode()).digest(2 * count))
    return b"".join(bfloat16(centre + spread * one / 32768) for one in noise)


def safetensors(tensors: list[Tensor]) -> bytes:
    """Return a safetensors file: the length of the header, the header padded to 8 bytes, the values."""
    header: dict[str, dict[str, object]] = {}
    body = b""
    for name, shape, centre, spread in sorted(tensors):
        values = tensor_bytes(name, shape, centre, spread)
        offsets = [len(body), len(body) + len(values)]
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": offsets}
        body += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def files() -> dict[str, bytes]:
    """Return the checkpoint's files by their path below the run folder."""
    folder = f"checkpoints/checkpoint_{STEP:06d}/consolidated"
    tensors = [tensor for layer in LAYERS for tensor in layer_tensors(layer)]
    return {
        f"{folder}/config.json": json.dumps(MODEL, indent=4).encode(),
        f"{folder}/training_config.json": json.dumps(TRAINING, indent=4).encode(),
        f"{folder}/lora.safetensors": safetensors(tensors),
    }


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, data in files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{path} ({len(data):,} bytes)")


if __name__ == "__main__":
    main()
