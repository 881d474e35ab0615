"""Version 2: GELU by its name, and a bound of the gradient."""

from typing import Any

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Convert
from tttcfg.schema.fragments import choice, number


def convert_inner_activation(value: Any) -> Any:
    """Return what `inner.activation` of version 1 is in version 2."""
    return "gelu_tanh" if value == "gelu" else value


migration = Migration(
    version=2,
    date="2026-11-30",
    summary="GELU by its name, and a bound of the gradient",
    evidence="flavours 0.3",
    operations=(
        Convert(
            "inner.activation",
            convert_inner_activation,
            "gelu was the approximation by tanh",
            choice("gelu_tanh", "gelu_erf", "gelu_tanh", "silu"),
        ),
        Add("optim.clip", number(1.0, minimum=0), 0.0, "there was no bound"),
    ),
)
