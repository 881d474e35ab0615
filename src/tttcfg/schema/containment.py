"""Whether one JSON Schema allows all that another does, for the subset that pydantic writes.

Every decision is True, False or None: not decided. A keyword that is not known here makes it None; none is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tttcfg.schema.fragments import Fragment, inside

Decision = bool | None

_OURS = ("x-role", "x-unit", "x-default", "x-plugins")
_ANNOTATIONS = ("title", "description", "default", "examples", "deprecated", *_OURS)
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TEXTUAL = ("minLength", "maxLength", "pattern", "format")
_LISTED = ("items", "prefixItems", "minItems", "maxItems", "uniqueItems")
_MAPPED = ("properties", "additionalProperties", "required")
_FEW: dict[str, list[Any]] = {"boolean": [True, False], "null": [None]}
_FEW_NUMBERS = 1000
"""Up to so many whole numbers are checked one by one."""
_KNOWN = {"type", "enum", "const", "anyOf", *_NUMERIC, *_TEXTUAL, *_LISTED, *_MAPPED}


def contains(wide: Any, narrow: Any) -> Decision:
    """Return whether every value that `narrow` allows is one that `wide` allows."""
    if (variants := _variants(wide, narrow)) is not None:
        outer, inner = variants
        return _all(contains(outer.get(name, False), one) for name, one in inner.items())
    wide, narrow = _rules(wide), _rules(narrow)
    if narrow is False or wide == {} or _equal(wide, narrow):
        return True
    if wide is False:
        return False
    branches, others = _branches(narrow), _branches(wide)
    if branches is None or others is None:
        return None
    return _all(_covered(others, wide, branch) for branch in branches)


def _variants(wide: Any, narrow: Any) -> tuple[dict[str, Fragment], dict[str, Fragment]] | None:
    """Return the variants of two fragments by name, where each is a union with the same discriminator, or null too."""
    found = [_named_variants(fragment) for fragment in (wide, narrow)]
    (key, outer), (other, inner) = found
    return (outer, inner) if key and key == other else None


def _named_variants(fragment: Any) -> tuple[str, dict[str, Fragment]]:
    """Return the discriminator of a fragment and its variants by name, null by an empty one; nothing without any."""
    key, found = "", dict[str, Fragment]()
    for one in inside({"anyOf": [fragment]}) if isinstance(fragment, dict) else ():
        if one.variant is not None and not one.each:
            key, found[one.variant[1]] = one.variant[0], one.section
    null = {"type": "null"}
    if key and null in fragment.get("anyOf", ()):
        found[""] = null
    return key, found


def accepts(fragment: Any, value: Any) -> Decision:
    """Return whether `fragment` allows `value`, which is plain JSON."""
    rules = _rules(fragment)
    if rules is False:
        return False
    return _all(_rule_decisions(rules, value))


def _all(decisions: Iterable[Decision]) -> Decision:
    found = set(decisions)
    return False if False in found else None if None in found else True


def _any(decisions: Iterable[Decision]) -> Decision:
    found = set(decisions)
    return True if True in found else None if None in found else False


def _rules(fragment: Any) -> Any:
    """Return the keywords of a fragment that restrict values; False where it allows none."""
    if isinstance(fragment, bool):
        return {} if fragment else False
    rules = {key: value for key, value in fragment.items() if key not in _ANNOTATIONS}
    if "discriminator" in rules and "oneOf" in rules:  # of which a value is never several
        rules = {key: value for key, value in rules.items() if key not in ("discriminator", "oneOf")}
        rules["anyOf"] = fragment["oneOf"]
    return rules


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, all the way down; true is not 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _rule_decisions(rules: Fragment, value: Any) -> Iterator[Decision]:
    """Yield for each rule whether it allows a value."""
    if rules.keys() - _KNOWN:
        yield None
    if "type" in rules:
        kinds = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
        yield any(_KINDS[kind].holds(value) for kind in kinds)
    if "enum" in rules:
        yield any(_equal(one, value) for one in rules["enum"])
    if "const" in rules:
        yield _equal(rules["const"], value)
    if "anyOf" in rules:
        yield _any(accepts(one, value) for one in rules["anyOf"])
    if _KINDS["number"].holds(value):
        low, high = _range(rules, whole=False)
        yield low <= (value, 0) <= high
        yield None if "multipleOf" in rules else True
    elif isinstance(value, str):
        yield rules.get("minLength", 0) <= len(value) <= rules.get("maxLength", math.inf)
        yield None if rules.keys() & {"pattern", "format"} else True
    elif isinstance(value, list):
        yield rules.get("minItems", 0) <= len(value) <= rules.get("maxItems", math.inf)
        yield None if rules.get("uniqueItems") else True
        yield from (accepts(_item(rules, place), item) for place, item in enumerate(value))
    elif isinstance(value, dict):
        yield set(rules.get("required", ())) <= value.keys()
        yield from (accepts(_member(rules, name), item) for name, item in value.items())


def _branches(rules: Fragment) -> list[Fragment] | None:
    """Return alternatives without anyOf that allow together what `rules` allows; None where they cannot be separated.

    A fragment that allows only a few values becomes one alternative for each.
    """
    if "anyOf" in rules:
        rest = {key: value for key, value in rules.items() if key != "anyOf"}
        found: list[Fragment] = []
        for one in rules["anyOf"]:
            below = _rules(one)
            if below is False:
                continue
            if rest.keys() & below.keys():
                return None
            branches = _branches({**rest, **below})
            if branches is None:
                return None
            found += branches
        return found
    if isinstance(rules.get("type"), list):
        return _branches(
            {**{k: v for k, v in rules.items() if k != "type"}, "anyOf": [{"type": t} for t in rules["type"]]}
        )
    few = _FEW.get(_kind(rules))
    values = rules["enum"] if "enum" in rules else [rules["const"]] if "const" in rules else few
    if values is None:
        return [rules]
    kept = [(value, accepts(rules, value)) for value in values]
    return None if any(allowed is None for _, allowed in kept) else [{"const": value} for value, yes in kept if yes]


def _covered(outer: list[Fragment], wide: Fragment, branch: Fragment) -> Decision:
    """Return whether the alternatives `outer` of `wide` allow together what `branch` does."""
    if "const" in branch:
        return accepts(wide, branch["const"])
    if _kind(branch) == "integer":
        (least, _), (greatest, _) = _range(branch, whole=True)
        if greatest - least < _FEW_NUMBERS:
            return _all(accepts(wide, number) for number in range(int(least), int(greatest) + 1))
    decisions = [_within(one, branch) for one in outer]
    akin = sum(_kind(one) in (_kind(branch), "number") for one in outer)
    decision = _any(decisions)
    return None if decision is False and akin > 1 else decision  # several may cover together what none covers alone


def _kind(rules: Fragment) -> str:
    return str(rules.get("type", ""))


def _within(wide: Fragment, narrow: Fragment) -> Decision:
    """Return whether one alternative allows all that another does."""
    if wide == {}:
        return True
    if "const" in wide or not narrow:
        return None if _allows_few(narrow) else False
    kind, outer = _kind(narrow), _kind(wide)
    if not kind or not outer:
        return None
    if kind != outer and (kind, outer) != ("integer", "number"):
        return False
    known = {"type", *_KINDS[kind].keywords}
    unknown = {key for key in (wide.keys() | narrow.keys()) - known if not _equal(wide.get(key), narrow.get(key))}
    decision = _all(_KINDS[kind].compare(wide, narrow))
    return None if unknown and decision else decision


def _allows_few(rules: Fragment) -> bool:
    """Whether bounds may leave a single value, so that a constant can be all of it."""
    one_number = "minimum" in rules and rules["minimum"] == rules.get("maximum")
    return one_number or 0 in (rules.get("maxLength"), rules.get("maxItems")) or rules.get("properties") == {}


def _range(rules: Fragment, whole: bool) -> tuple[tuple[float, int], tuple[float, int]]:
    """Return the least and the greatest number allowed, each with 0, or with 1 and -1 where the bound is exclusive."""
    low, high = (rules.get("minimum", -math.inf), 0), (rules.get("maximum", math.inf), 0)
    if "exclusiveMinimum" in rules:
        bound = rules["exclusiveMinimum"]
        low = max(low, (math.floor(bound) + 1, 0) if whole else (bound, 1))
    if "exclusiveMaximum" in rules:
        bound = rules["exclusiveMaximum"]
        high = min(high, (math.ceil(bound) - 1, 0) if whole else (bound, -1))
    return low, high


def _numbers(wide: Fragment, narrow: Fragment) -> Iterator[Decision]:
    whole = narrow["type"] == "integer"
    (low, high), (least, greatest) = _range(wide, whole), _range(narrow, whole)
    yield low <= least and greatest <= high
    step = wide.get("multipleOf")
    if step is not None and step != narrow.get("multipleOf") and not (whole and step == 1):
        yield None


def _texts(wide: Fragment, narrow: Fragment) -> Iterator[Decision]:
    yield wide.get("minLength", 0) <= narrow.get("minLength", 0)
    yield narrow.get("maxLength", math.inf) <= wide.get("maxLength", math.inf)
    yield from (None for key in ("pattern", "format") if wide.get(key, narrow.get(key)) != narrow.get(key))


def _lists(wide: Fragment, narrow: Fragment) -> Iterator[Decision]:
    most = narrow.get("maxItems", math.inf)
    yield wide.get("minItems", 0) <= narrow.get("minItems", 0)
    yield most <= wide.get("maxItems", math.inf)
    yield not wide.get("uniqueItems") or bool(narrow.get("uniqueItems")) or most <= 1
    named = max(len(rules.get("prefixItems", ())) for rules in (wide, narrow))
    for place in range(named + 1):
        if place < most:
            yield contains(_item(wide, place), _item(narrow, place))


def _item(rules: Fragment, place: int) -> Any:
    named = rules.get("prefixItems", ())
    return named[place] if place < len(named) else rules.get("items", True)


def _mappings(wide: Fragment, narrow: Fragment) -> Iterator[Decision]:
    yield set(wide.get("required", ())) <= set(narrow.get("required", ()))
    names = {*wide.get("properties", ()), *narrow.get("properties", ())}
    yield from (contains(_member(wide, name), _member(narrow, name)) for name in names)
    yield contains(wide.get("additionalProperties", True), narrow.get("additionalProperties", True))


def _member(rules: Fragment, name: str) -> Any:
    return rules.get("properties", {}).get(name, rules.get("additionalProperties", True))


class _Kind(NamedTuple):
    """A type of JSON: which values are of it, its keywords, and how two fragments of it are compared."""

    holds: Callable[[Any], bool]
    keywords: tuple[str, ...] = ()
    compare: Callable[[Fragment, Fragment], Iterable[Decision]] = lambda _wide, _narrow: ()


_KINDS = {
    "null": _Kind(lambda value: value is None),
    "boolean": _Kind(lambda value: isinstance(value, bool)),
    "integer": _Kind(lambda value: isinstance(value, int) and not isinstance(value, bool), _NUMERIC, _numbers),
    "number": _Kind(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool), _NUMERIC, _numbers),
    "string": _Kind(lambda value: isinstance(value, str), _TEXTUAL, _texts),
    "array": _Kind(lambda value: isinstance(value, list), _LISTED, _lists),
    "object": _Kind(lambda value: isinstance(value, dict), _MAPPED, _mappings),
}
