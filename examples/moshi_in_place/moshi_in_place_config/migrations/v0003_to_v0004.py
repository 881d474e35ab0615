"""Version 4: the first that carries a number; the optimiser's constants are settings, secrets stay at home."""

from typing import Any

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Convert, Withhold
from tttcfg.schema.fragments import Fragment, integer, nullable, number

HARD_CODED = "was a constant of train.py"
BETAS: Fragment = {
    "default": [0.9, 0.95],
    "type": "array",
    "prefixItems": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}] * 2,
    "minItems": 2,
    "maxItems": 2,
}


def ranks(value: Any) -> Any:
    return None if isinstance(value, int) and not isinstance(value, bool) and value < 1 else value


migration = Migration(
    version=4,
    date="2026-11-24",
    summary="a number; constants as settings; no secrets",
    evidence="train.py of kyutai-labs/moshi-finetune, from which the fork took its optimiser",
    operations=(
        Withhold("wandb.key", "secrets do not travel with checkpoints"),
        Convert("world_size", ranks, "-1 stood for a run without a launcher", nullable(integer(None, minimum=1))),
        Add("optim.betas", BETAS, [0.9, 0.95], HARD_CODED),
        Add("optim.eps", number(1e-8, exclusiveMinimum=0), 1e-8, HARD_CODED),
    ),
)
