"""Print how far results are off from what the trainer's own code computed: `python -m tests.computed`.

With the complete numbers beside the checkout those, else the committed ones; with the `moshi` package whole models too.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from tests.computed import COMMITTED, COMPLETE, Computed, models
from tests.computed.measured import (
    RATES,
    gradient_errors,
    language_model_errors,
    output_errors,
    stack_error,
    stream_error,
    transformer,
)

COLUMNS = ("model", "layer", "gradients", "transformer", "text logits", "audio logits", "token by token")


def row(computed: Computed) -> tuple[str, ...]:
    slopes = [one for index in computed.layers for one in gradient_errors(computed, index).items()]
    own = [value for name, value in slopes if name != RATES]
    stacked = [stack_error(computed, transformer(computed))] if "transformer_in.24" in computed.expected else []
    streamed = [stream_error(computed, transformer(computed))] if "stream_in" in computed.expected else []
    whole = language_model_errors(computed) if find_spec("moshi") and "codes.24" in computed.expected else {}
    if whole:
        stacked, streamed = [value for name, value in whole.items() if "transformer" in name], [whole["stream"]]
    logits = ([value for name, value in whole.items() if name.startswith(kind)] for kind in ("text", "audio"))
    return computed.folder.name, *map(largest, (output_errors(computed), own, stacked, *logits, streamed))


def largest(errors: list[float]) -> str:
    return f"{max(errors):.0e}" if errors else "-"


def main() -> None:
    os.environ.setdefault("NO_TORCH_COMPILE", "1")
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(row, models(COMPLETE) or COMMITTED)]
    sys.stdout.writelines(f"| {' | '.join(one)} |\n" for one in rows)


if __name__ == "__main__":
    main()
