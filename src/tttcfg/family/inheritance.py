"""Whether the models of a family are those of its parent, with more in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from tttcfg.schema.fields import is_section
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
        one, other = _sections(model.model_fields[name].annotation), _sections(info.annotation)
        if (one is None) != (other is None) or (one and other and one[1:] != other[1:]):
            yield f"{where} is {_kind(one)}, and {path} of the parent is {_kind(other)}"
        elif one is not None and other is not None and one[0] is not other[0]:
            if not issubclass(one[0], other[0]):
                yield f"{where} is a {one[0].__name__}, which has to be a subclass of {other[0].__name__}"
            else:
                yield from _fields(one[0], other[0], f"{path}.")


def _sections(annotation: Any) -> tuple[type[BaseModel], str] | None:
    """Return the section that a field is or holds, and how; None where it is a single value."""
    if is_section(annotation):
        return annotation, "a section"
    held = section_held(annotation)
    return None if held is None else (held[0], "several sections" if held[1] else "a section that may be null")


def _kind(found: tuple[type[BaseModel], str] | None) -> str:
    return "a single value" if found is None else found[1]
