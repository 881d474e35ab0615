"""All dialects, and which one the names of tensors are in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from tttcfg.evidence.dialects import (
    moshi_finetune,
    moshi_in_place,
    ttt_lm_kernels,
    ttt_lm_pytorch,
    ttt_moshi,
    ttt_video_dit,
)
from tttcfg.evidence.dialects.dialect import Dialect

_MODULES = (moshi_finetune, moshi_in_place, ttt_lm_kernels, ttt_lm_pytorch, ttt_moshi, ttt_video_dit)
DIALECTS: Mapping[str, Dialect] = {module.dialect.name: module.dialect for module in _MODULES}
"""Every dialect by name."""


def recognise(names: Collection[str]) -> tuple[Dialect, ...]:
    """Return the dialects that `names` are in: one; none where no program is known; several where they are mixed."""
    text = "\n".join(name for name in names if "\n" not in name)
    likely = {name: one for name, one in DIALECTS.items() if one.hint in text}
    found = {name: one for name, one in likely.items() if re.search(f"(?m)^(?:{one.mark})$", text)}
    return tuple(one for one in found.values() if not found.keys() & set(one.yields_to))
