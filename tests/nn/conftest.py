"""Without torch the tests of `tttcfg.nn` are left out; `test_without_torch.py` tests the error."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_TESTS = {path.name for path in Path(__file__).parent.glob("test_*.py")}

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)  # small tensors, and several tests at once: threads would only wait for each other
    collect_ignore = []
else:
    collect_ignore = sorted(_TESTS - {"test_without_torch.py"})
