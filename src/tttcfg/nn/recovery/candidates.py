"""Which values of a setting are plausible, by what its field declares."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from tttcfg.migration.record import LEGACY
from tttcfg.schema.fields import ConfigField, alternatives

_STEPS, _FACTOR = 3, 4.0
_LARGEST_COUNT = 64
_FINE = 3.5
"""A rate's neighbours in its grid are near enough where they are not more times larger or smaller."""


def plausible(field: ConfigField, value: Any, at_null: Any = None) -> tuple[Any, ...]:
    """Return the values of a field that are worth trying, `value` among them: sorted where they have an order.

    All choices; of a count, powers of two up to 64 or four times its value; of any other number, a geometric grid in
    steps of four around it; and null, last, where the field takes it. None where the field is of another kind.

    Args:
        value: What it is as far as that is known.
        at_null: The number that is meant by null, if that is known, which is not tried twice then.
    """
    kinds = _kinds(field)
    if bool in kinds:
        return (False, True)
    if all(get_origin(kind) is Literal for kind in kinds):
        return tuple(choice for kind in kinds for choice in get_args(kind) if choice != LEGACY)
    middle = at_null if value is None else value
    if not {int, float} & set(kinds) or not isinstance(middle, (int, float, type(None))):
        return ()
    if is_rate(field):
        around = float(middle or 1)
        found = {around, *(around * _FACTOR**step for step in range(-_STEPS, _STEPS + 1))}
    else:
        around = int(middle or 1)
        most = max(_LARGEST_COUNT, 4 * around)
        found = {around, *(2**power for power in range(most.bit_length()) if 2**power <= most)}
    numbers = tuple(sorted(one for one in found if _is_allowed(field, one)))
    return (*(one for one in numbers if one != at_null), None) if field.nullable else numbers


def is_rate(field: ConfigField) -> bool:
    """Whether a field is a number that need not be whole."""
    return float in _kinds(field)


def beside(values: tuple[Any, ...], best: Any) -> tuple[Any, ...]:
    """Return the neighbours of a value in a sorted grid; of choices, which have no order, all others."""
    if not all(isinstance(one, (int, float, type(None))) for one in values):
        return tuple(one for one in values if one != best)
    place = values.index(best)
    return tuple(values[max(0, place - 1) : place] + values[place + 1 : place + 2])


def between(values: tuple[Any, ...], best: Any) -> tuple[float, ...]:
    """Return what lies halfway, on a geometric scale, between a rate and its neighbours in a grid, if they are far."""
    if not best or best < 0:
        return ()
    around = [one for one in beside(values, best) if one and one > 0 and max(one / best, best / one) > _FINE]
    return tuple((one * best) ** 0.5 for one in around)


def in_order(values: set[Any]) -> tuple[Any, ...]:
    """Return numbers in their order, null last."""
    return tuple(sorted(values, key=lambda one: (one is None, 0 if one is None else one)))


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
