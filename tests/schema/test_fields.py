"""One declaration per field: role, unit and description, or the model is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from tttcfg.schema.fields import Role, Section, Text, config_fields, plain, sections, setting
from tttcfg.schema.paths import get_path, set_path
from tttcfg.ttt_moshi.family import TTT_MOSHI, TrainingArgs, TTTConfig

SOURCES = Path(__file__).resolve().parents[2] / "src" / "tttcfg"


class Inner(Section):
    width: int = setting(3, role=Role.RUN, unit="channels", description="A width.")


class Sample(Section):
    inner: Inner = Inner()
    names: tuple[str, ...] | None = setting(None, role=Role.TRAINING, unit="text", description="Some names.")
    note: str = setting("", role=Role.RUN, description="A note.")


@pytest.mark.parametrize("model", [TrainingArgs, TTTConfig])
def test_every_field_declares_role_unit_and_description(model: type[Section]) -> None:
    for field in config_fields(model).values():
        assert isinstance(field.role, Role)
        assert field.unit
        assert field.description.endswith("."), field.name


def test_a_type_that_implies_a_unit_needs_no_other() -> None:
    class Implied(Section):
        on: bool | None = setting(None, role=Role.RUN, description="Whether it is on.")
        mode: Literal["fast", "slow"] = setting("fast", role=Role.RUN, description="A mode.")
        note: Text | None = setting(None, role=Role.RUN, description="A note.")
        folder: Text = setting("", role=Role.RUN, unit="path", description="A folder.")
        rate: float = setting(1.0, role=Role.RUN, description="A number without a unit.")

    units = [field.unit for field in config_fields(Implied).values()]
    assert units == ["boolean", "fast, slow", "text", "path", ""]


def test_a_switch_that_is_no_field_is_refused() -> None:
    class Mistaken(Section):
        SWITCH: ClassVar[str] = "enbled"

        enabled: bool = setting(True, role=Role.RUN, description="Whether it is on.")

    with pytest.raises(TypeError, match="Mistaken has no field 'enbled', which SWITCH names"):
        config_fields(Mistaken)


@pytest.mark.parametrize(
    "declared", [3, Field(3, description="No role."), Field(3, json_schema_extra={"x-role": "run"})]
)
def test_a_model_with_an_undeclared_field_is_refused(declared: Any) -> None:
    class Undeclared(Section):
        width: int = declared

    with pytest.raises(TypeError, match=r"Undeclared\.width declares no role and description"):
        config_fields(Undeclared)


def test_leaves_come_in_declaration_order_with_dotted_names() -> None:
    assert list(config_fields(Sample)) == ["inner.width", "names", "note"]
    assert sections(Sample) == {"inner"}


def test_a_field_reads_its_value() -> None:
    assert config_fields(Sample)["inner.width"].get(Sample(inner=Inner(width=5))) == 5


def test_a_field_knows_whether_it_takes_null_and_whether_it_takes_text() -> None:
    found = config_fields(Sample)
    assert [field.nullable for field in found.values()] == [False, True, False]
    assert [field.is_text for field in found.values()] == [False, False, True]


def test_a_default_that_is_made_is_known() -> None:
    class Made(Section):
        tags: list[str] = setting(role=Role.RUN, unit="tags", description="Tags.", default_factory=lambda: ["a"])

    assert config_fields(Made)["tags"].default == ["a"]


def test_what_a_list_or_a_mapping_holds_is_not_the_fields_own_type() -> None:
    class Held(Section):
        tags: list[str] = setting([], role=Role.RUN, unit="tags", description="Tags.")
        more: dict[str, str] | None = setting(None, role=Role.RUN, unit="tags", description="More.")
        words: list[str | None] = setting([], role=Role.RUN, unit="words", description="Words.")
        text: Annotated[str, Field(max_length=3)] | None = setting(None, role=Role.RUN, description="One.")

    found = [(field.is_text, field.is_free_text, field.nullable) for field in config_fields(Held).values()]
    assert found == [(False, False, False), (False, False, True), (False, False, False), (True, True, True)]


def test_field_names_of_the_model_are_listed_nowhere_else() -> None:
    """No module outside the family spells its fields; what it needs follows from the declarations.

    The layers and the Checkpointer are the family's own: what they find wrong, they report for a field.
    """
    names = {name for name in TTT_MOSHI.fields if "." in name}
    for path in SOURCES.rglob("*.py"):
        if not {"ttt_moshi", "nn", "cli"} & set(path.parts):
            text = path.read_text("utf-8")
            listed = [name for name in names if f'"{name}"' in text]
            assert len(listed) < 2, f"{path.name} lists {listed}"


def test_configurations_are_deeply_frozen() -> None:
    training = TrainingArgs()
    with pytest.raises(ValidationError, match="frozen"):
        training.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        training.ttt.mlp.layers = 3
    assert isinstance(training.optim.betas, tuple)
    assert hash(training) == hash(TrainingArgs())


def test_dig_and_plant_walk_nested_mappings() -> None:
    tree: dict[str, Any] = {"a": {"b": 1}, "c": None, "d": 3}
    set_path(tree, ("a", "x", "y"), 2)
    set_path(tree, ("d", "z"), 4)
    assert get_path(tree, ("a", "x", "y")) == 2
    assert get_path(tree, ("d", "z"), "nothing") == "nothing"
    assert get_path(tree, ("a", "absent")) is None


def test_plain_values_are_what_json_holds() -> None:
    assert plain((1, (2, 3))) == [1, [2, 3]]
    assert plain({"a": [(1,), Inner()]}) == {"a": [[1], {"width": 3}]}
