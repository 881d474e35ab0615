"""Writes the programs that `tttcfg resolve` is compared with: the bare script and the Hydra application.

Both have the fields, defaults and constraints of the family's model, written out as a user would; they are
generated, so that they cannot lag behind the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from tttcfg.schema.fields import is_section

PROGRAMS = Path(__file__).parent / "programs"
CONSTRAINTS = {"min_len": "min_length", "max_len": "max_length"}


def write_floor(model: type[BaseModel], folder: Path) -> Path:
    """Write the bare script: pydantic models, the same files, one validation."""
    return _write(folder / "floor.py", (PROGRAMS / "floor.py.in").read_text("utf-8"), _pydantic_classes(model))


def write_hydra(model: type[BaseModel], config: str, folder: Path) -> Path:
    """Write the Hydra application, and beside it the YAML file that it composes with its schema."""
    (folder / "job.yaml").write_text(f"defaults: [schema, _self_]\n{config}", "utf-8")
    return _write(folder / "hydra_app.py", (PROGRAMS / "hydra_app.py.in").read_text("utf-8"), _dataclasses(model))


def _write(path: Path, program: str, classes: Iterator[str]) -> Path:
    path.write_text(program.replace("# MODELS\n", "\n\n".join(classes)), "utf-8")
    return path


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the sections of `model`, each after what it holds, and once."""
    found: dict[type[BaseModel], None] = {}
    for info in model.model_fields.values():
        if is_section(info.annotation):
            found |= dict.fromkeys(_models(info.annotation))
    yield from found
    yield model


def _pydantic_classes(model: type[BaseModel]) -> Iterator[str]:
    for section in _models(model):
        lines = [f"    {name}: {_field(info)}\n" for name, info in section.model_fields.items()]
        yield f"class {section.__name__}(Section):\n" + "".join(lines)


def _field(info: FieldInfo) -> str:
    if is_section(info.annotation):
        return f"{info.annotation.__name__} = {info.annotation.__name__}()"
    extra = "".join(f", {text}" for text in (*_constraints(info.metadata), f"description={info.description!r}"))
    return f"{_annotation(info.annotation)} = Field({_default(info)!r}{extra})"


def _default(info: Any) -> Any:
    """Return a field's default; one that follows from other fields is that beside their defaults."""
    return info.get_default(call_default_factory=True, validated_data={})


def _annotation(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is NoneType:
        return "None"
    if origin is Annotated:
        base, constraints = _annotation(arguments[0]), ", ".join(_constraints(annotation.__metadata__))
        return f"Annotated[{base}, Field({constraints})]" if constraints else base
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is tuple:
        return f"tuple[{', '.join('...' if one is ... else _annotation(one) for one in arguments)}]"
    if arguments:
        return " | ".join(map(_annotation, arguments))
    return str(annotation.__name__)


def _constraints(metadata: Any) -> Iterator[str]:
    """Yield constraints as `Field` takes them; validators in Python have no counterpart and are left out."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _constraints(item.metadata)
        elif not isinstance(item, (AfterValidator, BeforeValidator)):
            values = dataclasses.asdict(item) if dataclasses.is_dataclass(item) else vars(item)
            yield from (f"{CONSTRAINTS.get(key, key)}={value!r}" for key, value in values.items())


def _dataclasses(model: type[BaseModel]) -> Iterator[str]:
    for section in _models(model):
        lines = [f"    {name}: {_omega_field(info)}\n" for name, info in section.model_fields.items()]
        yield f"@dataclass\nclass {section.__name__}:\n" + "".join(lines)


def _omega_field(info: FieldInfo) -> str:
    if is_section(info.annotation):
        return f"{info.annotation.__name__} = field(default_factory={info.annotation.__name__})"
    default = _default(info)
    default = list(default) if isinstance(default, tuple) else default
    shown = f"field(default_factory=lambda: {default!r})" if isinstance(default, list) else repr(default)
    return f"{_omega_type(info.annotation)} = {shown}"


def _omega_type(annotation: Any) -> str:
    """Return the nearest type OmegaConf knows: it has no unions of containers, and no literals."""
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] if _is_union(annotation) else [annotation]
    optional = _is_union(annotation) and NoneType in get_args(annotation)
    if len(kinds) > 1:
        return "Any"
    kind = get_args(kinds[0])[0] if get_origin(kinds[0]) is Annotated else kinds[0]
    if get_origin(kind) is tuple:
        name = f"list[{get_args(get_args(kind)[0])[0].__name__ if get_args(get_args(kind)[0]) else 'Any'}]"
    else:
        name = kind.__name__ if kind in (int, float, bool, str) else "str"
    return f"Optional[{name}]" if optional else name


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"
