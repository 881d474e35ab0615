"""The tensors of every dialect, made from dimensions.

Written from the programs' sources and from files that they saved, never from our declarations: what these names prove
is to be what they were made of.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.safetensors.files import compact, laid_out, room_for
from tttcfg.evidence.evidence import Evidence, gather
from tttcfg.safetensors.header import LENGTH_BYTES, Header, parse_header
from tttcfg.ttt_moshi.tensors import MoshiTensors

Shapes = dict[str, list[int]]
PROJECTIONS = ("wq", "wk", "wv", "wo")


class Size(NamedTuple):
    """The dimensions of a small model."""

    heads: int = 4
    head_dim: int = 16
    layers: int = 4
    mini_batch: int = 8

    @property
    def width(self) -> int:
        return self.heads * self.head_dim


SIZES = st.builds(
    Size,
    heads=st.integers(1, 64),
    head_dim=st.integers(1, 256),
    layers=st.integers(1, 12),
    mini_batch=st.integers(1, 2048),
)
HIDDEN = st.lists(st.integers(1, 4096), max_size=5).map(tuple)
FEW_HIDDEN = st.lists(st.integers(1, 4096), max_size=1).map(tuple)  # the other programs have no inner model of more


def header_of(tensors: Mapping[str, tuple[str, Sequence[int]]], metadata: Mapping[str, str] | None = None) -> Header:
    """Return the header of a file with these tensors: dtype and shape by name."""
    data = compact(laid_out(tensors, metadata))
    return parse_header(data, "model.safetensors", LENGTH_BYTES + len(data) + room_for(tensors))


def evidence_of(shapes: Mapping[str, Sequence[int]], dtype: str = "BF16") -> Evidence:
    return gather(header_of({name: (dtype, shape) for name, shape in shapes.items()}))


def proved_values(evidence: Evidence) -> dict[str, Any]:
    """Return what tensors prove of the built-in family's fields, by dotted path."""
    return {name: proof.value for name, proof in MoshiTensors().proved(evidence).items()}


def problems(shapes: Mapping[str, Sequence[int]]) -> list[str]:
    return [problem.message for problem in evidence_of(shapes).problems]


def scan(size: Size, hidden: Sequence[int]) -> Shapes:
    """Return an inner model's tensors as every program names them: no hidden width is TTT-Linear, one is TTT-MLP."""
    widths = [size.head_dim, *hidden, size.head_dim]
    found: Shapes = {}
    for number, (given, taken) in enumerate(pairwise(widths), start=1):
        found[f"W{number}"] = [size.heads, given, taken]
        found[f"b{number}"] = [size.heads, 1, taken]
    return found


def many_layers(size: Size, hidden: Sequence[int]) -> Shapes:
    """Return the same as the Moshi TTT trainer names it from three layers on."""
    number = {name: str(int(name[1:]) - 1) for name in scan(size, hidden)}
    kind = {"W": "weights", "b": "biases"}
    return {f"{kind[name[0]]}.{number[name]}": shape for name, shape in scan(size, hidden).items()}


def around_the_scan(size: Size) -> Shapes:
    """Return what the inner model has around it in the Moshi TTT trainer and in ttt-video-dit."""
    heads, head_dim, width = size.heads, size.head_dim, size.width
    found: Shapes = {}
    for name in PROJECTIONS:
        found |= {f"{name}.weight": [width, width], f"{name}.bias": [width]}
    found |= {"learnable_ttt_lr_weight": [heads, 1, width], "learnable_ttt_lr_bias": [heads, 1]}
    found |= {"ttt_norm_weight": [heads, head_dim], "ttt_norm_bias": [heads, head_dim]}
    return found | {"post_norm.weight": [width], "post_norm.bias": [width]}


def below(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


# Moshi, as moshi.models.lm builds it with two codebooks and a depth transformer of width 32.


def moshi_linears(size: Size) -> Shapes:
    """Return every linear module of Moshi, without the `.weight`: LoRA wraps all of them."""
    width = size.width
    hidden = 21 * width // 8
    found: Shapes = {"text_linear": [50, width], "linears.0": [32, 32], "linears.1": [32, 32]}
    for layer in range(size.layers):
        found |= below(
            f"transformer.layers.{layer}.",
            {
                "self_attn.in_projs.0": [3 * width, width],
                "self_attn.out_projs.0": [width, width],
                "gating.linear_in": [2 * hidden, width],
                "gating.linear_out": [width, hidden],
            },
        )
    for step in range(2):
        found[f"depformer_in.{step}"] = [32, width]
        found[f"depformer.layers.0.self_attn.in_projs.{step}"] = [96, 32]
        found[f"depformer.layers.0.self_attn.out_projs.{step}"] = [32, 32]
        found[f"depformer.layers.0.gating.{step}.linear_in"] = [84, 32]
        found[f"depformer.layers.0.gating.{step}.linear_out"] = [32, 42]
    return found


def moshi_others(size: Size) -> Shapes:
    """Return the embeddings and norms of Moshi, which have no adapters."""
    width = size.width
    layers = [f"transformer.layers.{layer}.norm{number}.alpha" for layer in range(size.layers) for number in (1, 2)]
    found = {name: [1, 1, width] for name in (*layers, "out_norm.alpha")}
    found |= {f"depformer.layers.0.norm{number}.alpha": [1, 1, 32] for number in (1, 2)}
    found |= {f"emb.{book}.weight": [33, width] for book in range(4)}
    return found | {
        "text_emb.weight": [51, width],
        "depformer_text_emb.weight": [51, 32],
        "depformer_emb.0.weight": [33, 32],
    }


def weights(linears: Shapes) -> Shapes:
    return {f"{name}.weight": shape for name, shape in linears.items()}


def lora(linears: Shapes, rank: int) -> Shapes:
    found: Shapes = {}
    for name, (out, given) in linears.items():
        found |= {f"{name}.lora_A.weight": [rank, given], f"{name}.lora_B.weight": [out, rank]}
    return found


def frozen(linears: Shapes) -> Shapes:
    return {f"{name}.frozen_W.weight": shape for name, shape in linears.items()}


def moshi(size: Size) -> Shapes:
    return weights(moshi_linears(size)) | moshi_others(size)


def old_moshi(size: Size) -> Shapes:
    """Return Moshi as its first files name the attention: one tensor for all steps."""
    pattern = re.compile(r"(transformer\.layers\..*)(in|out)_projs\.0\.weight")
    last = {"in": "in_proj_weight", "out": "out_proj.weight"}
    return {pattern.sub(lambda found: found[1] + last[found[2]], name): shape for name, shape in moshi(size).items()}


def converted(shapes: Shapes, layers: Collection[int], twice: bool = True) -> Shapes:
    """Return the tensors with those of converted layers under the hybrid layer's names: both of them, or the first."""
    found: Shapes = {}
    for name, shape in shapes.items():
        layer = re.match(r"transformer\.layers\.(\d+)\.", name)
        if layer is None or int(layer.group(1)) not in layers:
            found[name] = shape
            continue
        start, rest = layer.group(), name[layer.end() :]
        found[f"{start}original_layer.{rest}"] = shape
        if twice:
            found[f"{start}seq_modeling_block.original_layer.{rest}"] = shape
    return found


def moshi_ttt(size: Size, layers: Collection[int], hidden: Sequence[int]) -> Shapes:
    """Return what the Moshi TTT trainer adds to each converted layer: 18 tensors for TTT-Linear, 20 for TTT-MLP."""
    inner = scan(size, hidden) if len(hidden) < 2 else many_layers(size, hidden)
    gates = {f"{way}_ssm_gating.gating_alpha": [size.width] for way in ("forward", "backward")}
    block = gates | below("ttt_layer.ttt.", around_the_scan(size) | inner)
    found: Shapes = {}
    for layer in layers:
        found |= below(f"transformer.layers.{layer}.seq_modeling_block.", block)
    return found


def consolidated(size: Size, layers: Collection[int], hidden: Sequence[int]) -> Shapes:
    return converted(moshi(size), layers) | moshi_ttt(size, layers, hidden)


def adapters(size: Size, layers: Collection[int], hidden: Sequence[int], rank: int) -> Shapes:
    """Return a lora.safetensors: adapters under the hybrid layer's first name, and TTT."""
    return converted(lora(moshi_linears(size), rank), layers, twice=False) | moshi_ttt(size, layers, hidden)


def unfrozen(size: Size, layers: Collection[int], hybrid: Collection[int]) -> Shapes:
    """Return the attention of trained base layers, which lies in lora.safetensors beside everything else."""
    starts = tuple(f"transformer.layers.{layer}.self_attn." for layer in layers)
    found = {name: shape for name, shape in weights(moshi_linears(size)).items() if name.startswith(starts)}
    return converted(found, hybrid, twice=False)


# The other programs.


def video_dit(size: Size, hidden: Sequence[int]) -> Shapes:
    width, head_dim = size.width, size.head_dim
    found: Shapes = {}

    def linear(name: str, out: int, given: int) -> None:
        found.update({f"dit.{name}.weight": [out, given], f"dit.{name}.bias": [out]})

    def norm(name: str, size_: int) -> None:
        found.update({f"dit.{name}.weight": [size_], f"dit.{name}.bias": [size_]})

    for name, out, given in (("time_embed.0", 12, width), ("time_embed.2", 12, 12), ("final_layer.linear", 64, width)):
        linear(name, out, given)
    linear("patch_embedding.text_proj", width, 20)
    linear("final_layer.adaLN_modulation.1", 2 * width, 12)
    found |= {"dit.patch_embedding.vid_proj.weight": [width, 16, 2, 2], "dit.patch_embedding.vid_proj.bias": [width]}
    norm("transformer_norm", width)
    norm("final_layer.norm", width)
    for layer in range(size.layers):
        start, block = f"layers.{layer}.", f"layers.{layer}.seq_modeling_block."
        linear(f"{start}mlp.layer1", 4 * width, width)
        linear(f"{start}mlp.layer2", width, 4 * width)
        for name in ("pre_seq", "pre_mlp"):
            norm(f"{start}{name}_layernorm", width)
            linear(f"{start}{name}_adaLN_modulation.1", 6 * width, 12)
        for name in "qkvo":
            linear(block + name, width, width)
        for name in "qk":
            norm(f"{block}{name}_norm", head_dim)
        for way in ("forward", "backward"):
            for what in ("video", "text"):
                found[f"dit.{block}{way}_ssm_gating_{what}.gating_alpha"] = [width]
        found |= below(f"dit.{block}ssm.ttt.", around_the_scan(size) | scan(size, hidden))
    return found


def language_model(size: Size, layer: Shapes, block: Shapes) -> Shapes:
    """Return a language model whose layers all have the same tensors."""
    found: Shapes = {"model.embed_tokens.weight": [50, size.width], "model.norm.weight": [size.width]}
    for number in range(size.layers):
        start = f"model.layers.{number}."
        found |= {f"{start}seq_norm.weight": [size.width], f"{start}ffn_norm.weight": [size.width]}
        found |= below(start, layer) | below(f"{start}seq_modeling_block.", block)
    return found | {"lm_head.weight": [50, size.width]}


def convolution(name: str, width: int, kernel: int = 4) -> Shapes:
    return {f"{name}.weight": [width, 1, kernel], f"{name}.bias": [width]}


def lm_pytorch(
    size: Size, hidden: Sequence[int], share_qk: bool = False, use_gate: bool = False, pre_conv: bool = False
) -> Shapes:
    width = size.width
    block: Shapes = {"learnable_token_idx": [size.mini_batch]}
    names = ["q_proj", "v_proj", "o_proj", *(["g_proj"] if use_gate else []), *([] if share_qk else ["k_proj"])]
    block |= {f"{name}.weight": [width, width] for name in names}
    around = around_the_scan(size)
    block |= {name: around[name] for name in around if name.partition(".")[0] not in PROJECTIONS}
    if share_qk:
        block |= convolution("conv_q", width) | convolution("conv_k", width)
    layer: Shapes = {f"mlp.{name}_proj.weight": [48, width] for name in ("gate", "up")}
    layer["mlp.down_proj.weight"] = [width, 48]
    if pre_conv:
        layer |= {"conv.norm.weight": [width], **convolution("conv.conv", width)}
    return language_model(size, layer, block | scan(size, hidden))


def lm_kernels(size: Size, hidden: Sequence[int], conv_before_ttt: bool = False) -> Shapes:
    width, heads = size.width, size.heads
    block: Shapes = {
        "learnable_token_idx_bias": [1, 1, size.mini_batch, 1],
        "learnable_ttt_lr_bias": [1, 1, heads],
        "ttt_norm_weight": [1, heads, 1, size.head_dim],
        "ttt_norm_bias": [1, heads, 1, size.head_dim],
        "qkv_learnable_ttt_lr_proj.weight": [3 * width + heads, width],
        "o_proj.weight": [width, width],
        "post_norm.weight": [width],
        "post_norm.bias": [width],
    }
    block |= convolution("conv_q", width) | convolution("conv_k", width) | scan(size, hidden)
    layer: Shapes = {"mlp.up_gate_proj.weight": [96, width], "mlp.down_proj.weight": [width, 48]}
    if conv_before_ttt:
        layer |= {"conv_norm.weight": [width], **convolution("conv.conv", width)}
    return language_model(size, layer, block)


def in_place(size: Size, layers: Collection[int]) -> Shapes:
    """Return Moshi whose MLPs adapt in place, as far as the sources of its classes show."""
    found = moshi(size)
    for layer in layers:
        start = f"transformer.layers.{layer}.gating."
        shape = found.pop(f"{start}linear_out.weight")
        found |= {f"{start}w_down": shape, f"{start}w_down_pretrained": shape}
        found |= {f"{start}target_generator.conv.weight": [size.width, 1, 2]}
        found |= {f"{start}target_generator.W_target": [size.width, size.width]}
    return found
