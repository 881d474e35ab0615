"""How large a file may be."""

from __future__ import annotations

from tttcfg.errors import Place, Problem

CONFIGURATION_CAP = 1 << 16
"""Most bytes a configuration may have; real ones have about 4,000."""


def too_large(name: str, size: int, cap: int) -> Problem:
    return Problem("too_large", f"has {size:,} bytes; a configuration may have {cap:,}", place=Place(name))
