"""`setting`, with the role as the name of the function: how this family declares its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tttcfg.schema.fields import Role, setting


def _declaring(role: Role) -> Callable[..., Any]:
    def declare(default: Any, description: str, unit: str = "", **constraints: Any) -> Any:
        return setting(default, role=role, unit=unit, description=description, **constraints)

    return declare


architecture, computation, training, run, secret = map(_declaring, Role)
