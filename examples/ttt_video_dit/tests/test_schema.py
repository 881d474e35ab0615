"""The laws of tttcfg, for this family's history."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tttcfg.testing

GOLDEN = Path(__file__).with_name("golden")


def published(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the published program did: constants whatever was written, and no word of what nothing read."""
    model = document["model"]
    constants = {"layer_norm_eps": 1e-6, "rope_theta": 10000.0, "attn_length": 12, "prefix_temporal_length": 1}
    given = {key: model[key] for key in ("mini_batch_size", "ttt_base_lr", "scale_factor", "ssm_layer")}
    steps = {"eval.num_denoising_steps": document["eval"]["num_denoising_steps"]}
    return steps | {f"model.{key}": value for key, value in (constants | given).items()}


TestSchema = tttcfg.testing.laws("video_dit_config.family:FAMILY", golden=GOLDEN, effects={0: published})
