"""How often functions are called: what one operation has computed, it computes once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls(action: Callable[[], object], *functions: Callable[..., Any]) -> dict[str, int]:
    """Return how often each of `functions` is called while `action` runs, by name."""
    names = {function.__code__: function.__name__ for function in functions}
    found = Counter(dict.fromkeys(names.values(), 0))

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in names:
            found[names[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return dict(found)
