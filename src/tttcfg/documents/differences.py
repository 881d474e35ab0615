"""What differs between two configurations, field by field, with the role by which it matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tttcfg.documents.document import Document
from tttcfg.errors import InputError, Problem
from tttcfg.family.extension import extensions_of, path_of
from tttcfg.family.family import Family
from tttcfg.schema.fields import ConfigField, Role, plain, present
from tttcfg.schema.inside import field_inside, section_held
from tttcfg.schema.paths import Path, same

_ORDER = list(Role)


class Difference(NamedTuple):
    """One field in which two configurations differ."""

    key: str
    role: Role
    left: Any
    right: Any


def document_differences(left: Document, right: Document) -> tuple[Difference, ...]:
    """Return where two documents differ, those of their extensions included, by role and then in their order.

    Of an extension that one of them has, the other has what its trainer did without it.

    Raises:
        InputError: They are of different families.
    """
    if left.family.name != right.family.name:
        message = f"a configuration of {left.family.name} cannot be compared with one of {right.family.name}"
        raise InputError(Problem("family", message))
    found = list(differences(left.training, right.training, left.family))
    for name in sorted({*left.parts, *right.parts}):
        extension = extensions_of(left.family)[name]
        trainings = (left.part(extension).training, right.part(extension).training)
        found += [one._replace(key=f"{path_of(name)}{one.key}") for one in differences(*trainings, extension)]
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.role)))


def differences(left: Any, right: Any, family: Family) -> tuple[Difference, ...]:
    """Return where two configurations differ, by role and then in declaration order; secrets are left out.

    Where a field holds sections, and both have as many with the same keys, what differs inside of these is returned. Of
    two variants, the names differ, and what both have; what one of them has alone is left out.
    """
    found: list[Difference] = []
    for field in present(present(family.public_fields, left), right):
        if field.get(left) != field.get(right):
            whole = Difference(field.name, field.role, plain(field.get(left)), plain(field.get(right)))
            found += [whole] if section_held(field.info.annotation) is None else _inside(whole, field, ())
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.role)))


def _inside(whole: Difference, field: ConfigField, below: Path) -> Iterator[Difference]:
    """Yield what differs inside of two mappings with the same keys, or of two lists that are as long.

    Args:
        below: Where that is in the value of `field`.
    """
    key, role, left, right = whole
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        pairs = [(name, left[name], right[name]) for name in left]
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = [(str(at), one, other) for at, (one, other) in enumerate(zip(left, right, strict=True))]
    else:
        yield whole
        return
    for name, one, other in pairs:
        if not same(one, other):
            path = (*below, name)
            inner = field_inside(field, path)
            own = role if inner is None else inner.field.role
            yield from _inside(Difference(f"{key}.{name}", own, one, other), field, path)
