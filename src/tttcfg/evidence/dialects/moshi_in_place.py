"""moshi_in_place: Moshi whose MLPs learn in their down projection while they run.

Known only from the source of its classes: no such file was available, and the prefix is inferred. Its TTT has no inner
model, no heads and no mini-batches, so its tensors determine none of the `ttt` fields.
"""

from __future__ import annotations

from tttcfg.evidence.dialects.dialect import CONV_KERNEL_SIZE, MODEL_DIM, Dialect
from tttcfg.evidence.dialects.moshi_finetune import LAYER, MOSHI

dialect = Dialect(
    name="moshi_in_place",
    title="moshi_in_place",
    source="its classes, read; the prefix is inferred",
    signature=LAYER + r"gating\.(?:w_down|w_down_pretrained|target_generator\..+)",
    hint=".gating.",
    base=MOSHI._replace(converted=""),
    block=rf"{LAYER}gating\.(?=w_down|target_generator\.)",
    tensors={"w_down": (MODEL_DIM, "hidden")},
    optional={
        "w_down_pretrained": (MODEL_DIM, "hidden"),
        "target_generator.conv.weight": ("channels", "channels of a group", CONV_KERNEL_SIZE),
        "target_generator.conv.bias": None,
        "target_generator.W_target": None,
        "target_generator.W_target.weight": None,
    },
    family="moshi_in_place",
    other_ttt=True,
)
