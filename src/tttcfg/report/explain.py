"""Where the value of a setting comes from, and what it overrides."""

from __future__ import annotations

from collections.abc import Iterable

from tttcfg.documents.effective import Effective
from tttcfg.errors import InputError, Problem, nearest_key
from tttcfg.family.extension import all_fields
from tttcfg.report.render import Ink, origins_text
from tttcfg.schema.fields import Role


def fields_named(effective: Effective, key: str) -> list[str]:
    """Return the fields that `key` names: a field, those of a section, or the current field of an old name.

    Raises:
        InputError: No setting has this name, or its value is not known or not shown.
    """
    family = effective.family
    names = [name for name in effective.origins if name == key or name.startswith(f"{key}.")]
    if names:
        return names
    derived = family.layers.model_fields if family.layers is not None else {}
    if key.startswith("ttt.") and key.removeprefix("ttt.") in derived:
        reasons = [one.sentence for one in effective.findings if one.code in ("model_config", "contradiction")]
        raise InputError(Problem("model_config", "; ".join(reasons) or "is not derived: TTT is off", key))
    field = all_fields(family).get(key)
    if field is not None and field.role is Role.SECRET:
        raise InputError(Problem("unknown_key", "is a secret, and is never shown", key))
    now = family.chain.spellings.get(key)
    if now is None:
        suggestion = nearest_key(key, list(effective.origins))
        raise InputError(Problem("unknown_key", "no setting has this name", key, suggestion=suggestion))
    if now not in effective.origins:
        raise InputError(Problem("unknown_key", "no longer exists: nothing used it", key))
    return [now]


def explanation(effective: Effective, names: Iterable[str], ink: Ink) -> str:
    """Return for each field its meaning, its value, and every source that gave one, the one that is used first."""
    fields = all_fields(effective.family)
    return "".join(origins_text(fields.get(name), name, effective.origins[name], ink) for name in names)
