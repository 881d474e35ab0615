"""Whether the models of a family are those of its parent, with more in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tttcfg.schema.fields import Variants, is_section, variants_of
from tttcfg.schema.inside import section_held


def departures(model: type[BaseModel], parent: type[BaseModel]) -> Iterator[str]:
    """Yield everything in which a root model is not a subclass of its parent's with all of its fields."""
    if model is parent or not issubclass(model, parent):
        yield f"its model {model.__name__} has to be a subclass of {parent.__name__}"
        return
    yield from _fields(model, parent, "")


def _fields(model: type[BaseModel], parent: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, info in parent.model_fields.items():
        path, where = f"{prefix}{name}", f"{model.__name__}.{name}"
        if name not in model.model_fields:
            yield f"{where} is gone, and an inherited field stays"
            continue
        one, other = _sections(model.model_fields[name]), _sections(info)
        if one.kind != other.kind:
            yield f"{where} is {one.kind}, and {path} of the parent is {other.kind}"
            continue
        for variant, theirs in other.models.items():
            if (ours := one.models.get(variant)) is None:
                yield f"{where} has no variant {variant}, which {path} of the parent has"
            elif ours is not theirs and not issubclass(ours, theirs):
                yield f"{where} is a {ours.__name__}, which has to be a subclass of {theirs.__name__}"
            elif ours is not theirs:
                yield from _fields(ours, theirs, f"{path}.")


class _Sections(NamedTuple):
    """What a field is or holds: the models of its sections, by the names of variants where it has these."""

    kind: str
    models: Mapping[str, type[BaseModel]]


def _sections(info: FieldInfo) -> _Sections:
    if is_section(info.annotation):
        return _Sections("a section", {"": info.annotation})
    if (variants := variants_of(info)) is not None:
        return _Sections("one of several variants", variants.models)
    held = section_held(info.annotation)
    if held is None:
        return _Sections("a single value", {})
    models = held.model.models if isinstance(held.model, Variants) else {"": held.model}
    return _Sections("several sections" if held.each else "a section that may be null", models)
