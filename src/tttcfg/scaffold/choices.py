"""Fields of a class that hold one of several classes, and state which: pydantic's unions and draccus' registries."""

from __future__ import annotations

from typing import Any, get_args

from tttcfg.scaffold.annotations import bare, is_union
from tttcfg.scaffold.classes import ReadField, is_readable
from tttcfg.schema.fields import Variants, variants_in

REGISTRY_KEY = "type"
"""The key by which draccus states which class of a registry a section is of."""


def choice_of(field: ReadField) -> Variants | None:
    """Return the classes that a field holds one of, by the names that its program gives them.

    A registry of a single class is no choice, and neither is a union of which nothing states what a value is.
    """
    if (variants := variants_in(field.annotation, field.discriminator)) is not None:
        return variants if len(set(variants.models.values())) > 1 else None
    kinds = [one for one in map(bare, _alternatives(field.annotation)) if one is not type(None)]
    known = getattr(kinds[0], "get_known_choices", None) if len(kinds) == 1 else None
    models = dict(known()) if callable(known) else {}
    if len(set(models.values())) < 2 or not all(map(is_readable, models.values())):
        return None
    return Variants(REGISTRY_KEY, {str(name): model for name, model in models.items()})


def is_nullable(field: ReadField) -> bool:
    """Whether null is a value of a field, or its default."""
    return field.default is None or type(None) in map(bare, _alternatives(field.annotation))


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    kind = bare(annotation)
    return get_args(kind) if is_union(kind) else (kind,)
