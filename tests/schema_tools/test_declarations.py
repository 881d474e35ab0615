"""What every field has to declare, and which types a document can hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import numpy as np
import pytest
from pydantic import ConfigDict, Field, SecretStr, create_model
from typing_extensions import TypedDict

from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema_tools.declarations import undeclared
from tttcfg.ttt_moshi.family import TTT_MOSHI


class Colour(Enum):
    RED = "red"


class Table(TypedDict):
    name: str


class Hub(Section):
    name: str = setting("", role=Role.RUN, description="A name.")
    token: SecretStr | None = setting(None, role=Role.SECRET, unit="secret", description="A token.")


class Deep(Section):
    hub: Hub = Hub()


class Stage(Section):
    n: int = setting(1, role=Role.TRAINING, unit="steps", description="Steps.")


class Odd(Enum):
    PAIR = (1, 2)


class Priced(Section):
    price: Decimal | None = setting(None, role=Role.RUN, unit="euros", description="A price.")


class Loose(Section):
    """Without this, pydantic itself refuses types of other libraries when the class is made."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


def messages(annotation: Any, role: Role = Role.RUN) -> list[str]:
    """Return what is wrong with a model that has one field of a type."""
    declared = setting(None, role=role, unit="dimensionless", description="A value.")
    model = create_model("Sample", __base__=Loose, value=(annotation, declared))
    return [fault.message for fault in undeclared(model)]


@pytest.mark.parametrize(
    ("annotation", "called"),
    [
        (dict[str, tuple[Decimal, ...]], "Decimal"),
        (Annotated[bytes, Field(max_length=3)], "bytes"),
        (complex | None, "complex"),
        (list[Callable[[int], int]], "Callable"),
        (Odd, "Odd"),
        (np.float32, "float32"),
    ],
)
def test_a_type_that_json_does_not_give_back_is_named(annotation: Any, called: str) -> None:
    assert messages(annotation) == [f"value has the type {called}, which JSON has no values of"]


@pytest.mark.parametrize(
    ("annotation", "advice"),
    [
        (bytes, "declare text, in hex or base64"),
        (Callable[[int], int], "declare its name as text, and look it up in the trainer"),
        (np.float32, "declare an int, a float or a bool"),
        (Decimal, "declare a float, or text"),
        (Odd, "declare what is in the file: text, a number, a Literal, a list; the trainer converts it"),
    ],
)
def test_what_to_declare_instead_is_said(annotation: Any, advice: str) -> None:
    declared = setting(None, role=Role.RUN, unit="dimensionless", description="A value.")
    (fault,) = undeclared(create_model("Sample", __base__=Loose, value=(annotation, declared)))
    assert fault.advice == advice


def test_such_a_type_is_found_below_an_optional_section() -> None:
    (message,) = messages(Priced | None)
    assert message.startswith("value.price has the type Decimal")


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        Optional[int],  # noqa: UP045 both spellings of a union
        Union[str, float],  # noqa: UP007
        list[str] | None,
        dict[str, list[tuple[int, ...]]],
        tuple[Literal["a", 1], bool],
        Annotated[Sequence[Annotated[int, Field(ge=0)]], Field(min_length=1)],
        Mapping[str, Any],
        Table,
        list,
        SecretStr,
        Path,
        Path | None,
        dt.date,
        list[dt.datetime],
        dt.timedelta,
        Colour,
        dict[Colour, int],
        set[int],
        frozenset[str],
        tuple[int, str],
    ],
)
def test_what_json_holds_may_be_declared(annotation: Any) -> None:
    assert messages(annotation) == []


@pytest.mark.parametrize("annotation", [Hub | None, list[Hub], dict[str, list[Hub]], Deep | None])
def test_a_secret_inside_of_one_value_is_refused(annotation: Any) -> None:
    (message,) = messages(annotation)
    assert "token has the role secret, but value is one value" in message or "token is a secret, and value" in message


def test_a_field_inside_has_no_graver_role_than_what_holds_it() -> None:
    assert [message.partition(",")[0] for message in messages(Hub | None, Role.TRAINING)] == ["value.token is a secret"]
    found = messages(list[Stage], Role.RUN)
    assert [message.partition(" (")[0] for message in found] == [
        "value.*.n has the role training, and value, which decides whether it is there, run"
    ]
    assert messages(list[Stage], Role.COMPUTATION) == []


def test_one_value_may_be_secret_as_a_whole() -> None:
    assert messages(Hub | None, Role.SECRET) == []


def test_the_built_in_family_has_no_undeclared_part() -> None:
    assert list(undeclared(TTT_MOSHI.model)) == []


class Tree(Section):
    leaves: int = setting(1, role=Role.RUN, unit="leaves", description="Leaves.")
    below: list[Tree] = setting([], role=Role.RUN, unit="trees", description="Trees in it.")


@pytest.mark.parametrize("annotation", [Tree | None, list[Tree], dict[str, Tree]])
def test_a_section_in_itself_is_refused(annotation: Any) -> None:
    assert messages(annotation) == [
        "value.below is a Tree inside a Tree, and a document has no room for any depth",
    ]


@pytest.mark.parametrize("kind", ["alias", "validation_alias", "serialization_alias"])
def test_an_alias_is_refused(kind: str) -> None:
    declared = setting(1, role=Role.RUN, unit="steps", description="A value.", **{kind: "other-name"})
    (fault,) = undeclared(create_model("Sample", __base__=Section, value=(int, declared)))
    assert fault.message == "value has the alias 'other-name', and documents have every field by its own name"
