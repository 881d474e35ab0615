"""Which source is used for a setting, as a merge of dictionaries: the model that the resolver is compared with.

Written from `docs/roles.md` and `docs/overrides.md`; it shares no code with the program.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.trust.history_model import MOVED, NEWEST, Current, Values, default, is_valid, new_form, schema

FIELDS = {name: one["x-role"] for name, one in schema(NEWEST).items()}
"""The role of every setting."""
FOLLOWING = ("ttt.read_out", "ttt.scan_dtype", "ttt.persistent_states")
MODEL_DEFINING = [name for name, role in FIELDS.items() if role in ("architecture", "computation")]


class By(NamedTuple):
    source: str
    value: Any


"""A value, and the source that it is from."""


class Given(NamedTuple):
    """One setting that a file or an override gives: under its name, or under an old one with a value of that time."""

    name: str
    value: Any

    @property
    def now(self) -> str:
        return MOVED.get(self.name, self.name)

    def today(self, chosen: dict[str, By]) -> Any:
        """Return the value in today's form, which the depth of the inner model may decide."""
        deep = "ttt.mlp.layers" in chosen and chosen["ttt.mlp.layers"].value > 2
        linear = "ttt.inner_model" in chosen and chosen["ttt.inner_model"].value == "linear"
        return new_form(self.name, self.value, deep and not (linear and self.name == "ttt.persistent_states"))


class Merged(NamedTuple):
    """The values that are used, the source of each, and the names that are reported."""

    values: Values
    sources: dict[str, str]
    restored: set[str]
    deviating: set[str]


def merged(current: Current | None, files: list[list[Given]], overrides: list[Given], restore: str) -> Merged | None:
    """Merge a checkpoint's configuration, files and overrides; None where the result is refused.

    An override's value may be `!default` or `!config`.
    """
    configured = {one.now: one for file in files for one in file}
    if any(one.value == "!config" and one.now not in configured for one in overrides):
        return None
    chosen: dict[str, By] = {}
    first = ("ttt.mlp.layers", "ttt.inner_model")
    for name in (*first, *(one for one in FIELDS if one not in first)):
        if FIELDS[name] != "secret":
            chosen[name] = _chosen(name, current, configured, overrides, restore, chosen)
    values = {name: one.value for name, one in chosen.items()}
    for name in FOLLOWING:
        if chosen[name].source == "default":
            values[name] = default(name, NEWEST, values)
    if not is_valid(values):
        return None
    restored = {
        name
        for name, one in configured.items()
        if chosen[name].source == "checkpoint" and chosen[name].value != one.today(chosen)
    }
    deviating = _deviating(current, values) if current else set()
    return Merged(values, {name: one.source for name, one in chosen.items()}, restored, deviating)


def _chosen(
    name: str,
    current: Current | None,
    configured: dict[str, Given],
    overrides: list[Given],
    restore: str,
    chosen: dict[str, By],
) -> By:
    sources = {"default": By("default", None if name in FOLLOWING else default(name, NEWEST))}
    if current is not None and restore != "none":
        sources["checkpoint"] = By("checkpoint", current.values[name])
    if name in configured:
        sources["config"] = By("config", configured[name].today(chosen))
    order = ["checkpoint", "config", "default"]
    if current is not None and ((restore == "auto" and FIELDS[name] == "run") or name in current.assumed):
        order = ["config", "checkpoint", "default"]
    used = next(sources[one] for one in order if one in sources)
    for override in overrides:
        if override.now == name:
            word = str(override.value)
            is_word = word in ("!default", "!config")
            used = sources[word.removeprefix("!")] if is_word else By("override", override.today(chosen))
    return used


def _deviating(current: Current, values: Values) -> set[str]:
    """Return what defines the model and is not what the weights were trained with, as far as that is known."""
    known = (name for name in MODEL_DEFINING if name not in {*current.trail.doubted, *current.assumed})
    trained = {name: current.values[name] for name in known if current.values[name] != "legacy"}
    return {name for name, value in trained.items() if values[name] != value}
