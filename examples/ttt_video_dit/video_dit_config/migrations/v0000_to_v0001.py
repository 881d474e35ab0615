"""Version 1: the first that carries a number, and the first that lies beside the weights.

Constants of the layers become settings, and three settings go that no program ever read.
"""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Remove
from tttcfg.schema.fragments import integer, number

HARD_CODED = "was a constant of ttt/models/configs.py"

migration = Migration(
    version=1,
    date="2026-11-24",
    summary="a number; constants as settings; settings that nothing read are gone",
    evidence="ttt/models/configs.py and every reader of the job configuration, at 6c316a7",
    operations=(
        Remove("model.norm_eps", "nothing read it: every layer took the constant 1e-6"),
        Add("model.layer_norm_eps", number(1e-6, exclusiveMinimum=0), 1e-6, HARD_CODED),
        Add("model.rope_theta", number(10000.0, exclusiveMinimum=0), 10000.0, HARD_CODED),
        Add("model.attn_length", integer(12, minimum=1), 12, HARD_CODED),
        Add("model.prefix_temporal_length", integer(1, minimum=0), 1, HARD_CODED),
        Add("model.gating_alpha_init", number(0.1), 0.1, HARD_CODED),
        Remove("eval.scale_factor", "nothing read it: latents are scaled by model.scale_factor"),
        Remove("guider.num_steps", "nothing read it: the sampler takes eval.num_denoising_steps"),
    ),
)
