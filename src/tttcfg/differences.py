"""What differs between two configurations, leaf by leaf, with the role that says how much it matters."""

from __future__ import annotations

from typing import Any, NamedTuple

from tttcfg.family import Family
from tttcfg.fields import Role, plain


class Difference(NamedTuple):
    """One field in which two configurations differ."""

    key: str
    role: Role
    left: Any
    right: Any


def differences(left: Any, right: Any, family: Family) -> tuple[Difference, ...]:
    """Return where two configurations differ, by role and then in declaration order; secrets are left out."""
    order = list(Role)
    found = [
        Difference(leaf.name, leaf.role, plain(leaf.get(left)), plain(leaf.get(right)))
        for leaf in family.public_leaves
        if leaf.get(left) != leaf.get(right)
    ]
    return tuple(sorted(found, key=lambda difference: order.index(difference.role)))
