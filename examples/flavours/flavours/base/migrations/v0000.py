"""Version 0: the trainer's first settings."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fragments import choice, integer, number, text

migration = Migration(
    version=0,
    date="2026-11-30",
    summary="the trainer's first settings",
    evidence="flavours 0.1",
    operations=(
        Declare("run_dir", text("runs")),
        Declare("seed", integer(0, minimum=0)),
        Declare("steps", integer(10000, minimum=1)),
        Declare("model.dim", integer(512, minimum=1)),
        Declare("model.layers", integer(12, minimum=1)),
        Declare("model.heads", integer(8, minimum=1)),
        Declare("inner.lr", number(1.0, minimum=0)),
        Declare("inner.mini_batch", integer(16, minimum=1)),
        Declare("inner.activation", choice("gelu", "gelu", "silu")),
        Declare("optim.lr", number(0.0003, exclusiveMinimum=0)),
        Declare("optim.weight_decay", number(0.1, minimum=0)),
    ),
)
