"""A large JSON object, read a piece at a time: the whole of it as Python objects would take ten times its bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

PIECE = 1 << 18
_BETWEEN = re.compile(rb'\}[ \t\r\n]*,[ \t\r\n]*(?=")')
"""Where a member of an object most likely ends; it may also be inside a text, or deeper."""


def read_in_pieces(data: bytes, read: Callable[[bytes], bool], start: int = 1) -> bool:
    """Call `read` with objects whose members are together those of the object `data`, in their order.

    Text between two pieces is only a comma, so that pieces which are all valid are exactly the whole.

    Args:
        read: Reads one object, or returns False where it is not valid JSON; it is then called with a longer one.
        start: Where the first member begins.

    Returns:
        Whether the whole is valid JSON.
    """
    end, size = len(data.rstrip(b" \t\r\n")) - 1, PIECE
    if data[end : end + 1] != b"}":
        return False
    while True:
        cut = _BETWEEN.search(data, start + size, end)
        piece = b"{" + data[start : cut.start() + 1 if cut else end] + b"}"
        if read(piece):
            if cut is None:
                return True
            start, size = cut.end(), PIECE
        elif cut is None:
            return False
        else:
            size *= 2
