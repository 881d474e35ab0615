"""The layers of a setting: `all`, `middle`, `none` or concrete indices, in one canonical form."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tttcfg.errors import InputError, Problem, quote
from tttcfg.schema.fields import Whole

Word = Literal["all", "middle", "none"]
Indices = Annotated[tuple[Annotated[Whole, Field(ge=0)], ...], Field(min_length=1, strict=False)]

_INDEX_LIST = re.compile(r"\s*[0-9]{1,16}(\s*,\s*[0-9]{1,16})*\s*(?:,\s*)?")


def canonical_layers(value: Any) -> Any:
    """Return the one saved form: a word, or ascending indices without repetition.

    `"28,29,30"` (how the trainer wrote a list) and a single index become a list; an empty list is
    `none`. Anything else is returned as it is, for the validator to refuse.
    """
    if isinstance(value, str) and _INDEX_LIST.fullmatch(value):
        value = [int(part) for part in value.split(",") if part.strip()]
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, (list, tuple)) or not set(map(type, value)) <= {int} or min(value, default=0) < 0:
        return value
    return tuple(sorted(set(value))) or "none"


def ascending(indices: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(indices)))


# Left to right: saved values, words and indices, are validated with the least Python code.
LayerSpec = Annotated[
    Word | Annotated[Indices, AfterValidator(ascending)] | Annotated[Word | Indices, BeforeValidator(canonical_layers)],
    Field(union_mode="left_to_right"),
]


def concrete_layers(spec: Word | tuple[int, ...], num_layers: int) -> tuple[int, ...]:
    """Return the indices, ascending from 0, of the layers that a setting such as `ttt.layers` selects.

    Args:
        spec: `all`, `none`, `middle`, which is [n // 4, 3 n // 4) as in the trainer's parse_layer_specification, or
            indices.
        num_layers: The model's transformer layers, n.

    Raises:
        InputError: It is another word.
    """
    if not isinstance(spec, str):
        return spec
    words = {"all": range(num_layers), "middle": range(num_layers // 4, 3 * num_layers // 4), "none": range(0)}
    if spec not in words:
        raise InputError(Problem("rejected", f"{quote(spec)} is none of {', '.join(words)}", "spec"))
    return tuple(words[spec])
