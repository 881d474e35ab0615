"""What differs between two configurations, field by field, with the role by which it matters."""

from __future__ import annotations

from typing import Any, NamedTuple

from tttcfg.documents.document import Document
from tttcfg.errors import InputError, Problem
from tttcfg.family.extension import extensions_of, path_of
from tttcfg.family.family import Family
from tttcfg.schema.fields import Role, plain

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
    """Return where two configurations differ, by role and then in declaration order; secrets are left out."""
    found = [
        Difference(field.name, field.role, plain(field.get(left)), plain(field.get(right)))
        for field in family.public_fields
        if field.get(left) != field.get(right)
    ]
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.role)))
