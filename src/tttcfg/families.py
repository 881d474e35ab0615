"""Finding a family by its name: the built-in one, one that a distribution declares, or `module:NAME`."""

from __future__ import annotations

from functools import cache

from tttcfg.errors import InputError, Problem, nearest
from tttcfg.family import Family
from tttcfg.plugins import FAMILIES, declared, loaded
from tttcfg.ttt_moshi.family import TTT_MOSHI

BUILT_IN = TTT_MOSHI.name


@cache
def family_named(name: str) -> Family:
    """Return a family by the name that a distribution declares it under, or by `module:NAME`.

    Raises:
        InputError: There is none, it cannot be imported, or two distributions claim the name.
    """
    if name == BUILT_IN:
        return TTT_MOSHI
    if ":" in name:
        family: Family = loaded(name, Family, "--family")
        return family
    entries = {one.name: one for one in declared(FAMILIES)}
    if name in entries:
        family = loaded(entries[name].value, Family, name)
        if family.name != name:
            message = f"is what {entries[name].distribution} calls a family whose own name is {family.name}"
            raise InputError(Problem("plugin", message, name, FAMILIES))
        return family
    known = [BUILT_IN, *entries]
    message = f"there is no family of this name (there are: {', '.join(known)}); or give it as module:NAME"
    raise InputError(Problem("plugin", message, name, suggestion=nearest(name, known)))
