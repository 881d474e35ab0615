"""Which values of a setting are plausible, by what its field declares."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from tttcfg.schema.fields import ConfigField, alternatives

LEGACY = "legacy"
"""A choice that says that the value is not known."""
_STEPS, _FACTOR = 3, 4.0
_LARGEST_COUNT = 64


def plausible(field: ConfigField, value: Any) -> tuple[Any, ...]:
    """Return the values of a field that are worth trying, `value` among them: sorted where they have an order.

    All choices; of a count, powers of two up to 64 or four times its value; of any other number, a geometric grid in
    steps of four around it. None where the field is of another kind.
    """
    kinds = _kinds(field)
    if bool in kinds:
        return (False, True)
    if all(get_origin(kind) is Literal for kind in kinds):
        return tuple(choice for kind in kinds for choice in get_args(kind) if choice != LEGACY)
    if not isinstance(value, (int, float)):
        return ()
    if is_rate(field):
        middle = float(value) or 1.0
        found = {float(value), *(middle * _FACTOR**step for step in range(-_STEPS, _STEPS + 1))}
    else:
        most = max(_LARGEST_COUNT, 4 * int(value))
        found = {value, *(2**power for power in range(most.bit_length()) if 2**power <= most)}
    return tuple(sorted(one for one in found if _is_allowed(field, one)))


def is_rate(field: ConfigField) -> bool:
    """Whether a field is a number that need not be whole."""
    return float in _kinds(field)


def beside(values: tuple[Any, ...], best: Any) -> tuple[Any, ...]:
    """Return the neighbours of a value in a sorted grid."""
    place = values.index(best)
    return tuple(values[max(0, place - 1) : place] + values[place + 1 : place + 2])


def between(values: tuple[Any, ...], best: Any) -> tuple[float, ...]:
    """Return what lies halfway, on a geometric scale, between a rate and its neighbours in a sorted grid."""
    return tuple((one * best) ** 0.5 for one in beside(values, best) if one > 0 and best > 0)


def _kinds(field: ConfigField) -> tuple[Any, ...]:
    """Return the types that a field takes but None, without what only restricts them."""
    found = []
    annotation: Any = field.info.annotation
    for kind in alternatives(annotation):
        inner = get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
        found += [inner] if inner is not type(None) else []
    return tuple(found)


def _is_allowed(field: ConfigField, value: float) -> bool:
    """Whether a number is within the bounds that a field declares."""
    compare = {"ge": value.__ge__, "gt": value.__gt__, "le": value.__le__, "lt": value.__lt__}
    bounds = [(name, getattr(one, name)) for one in field.info.metadata for name in compare if hasattr(one, name)]
    return all(compare[name](type(value)(bound)) for name, bound in bounds)
