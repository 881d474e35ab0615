"""The layers need torch, and say how to get it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_without_torch_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None; import tttcfg.nn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith('ImportError: tttcfg.nn needs torch: pip install "tttcfg[torch]"\n')


def test_the_other_tests_of_this_folder_run() -> None:
    pytest.importorskip("torch", reason="the tests of tttcfg.nn need torch: pip install --group nn")
    import tttcfg.nn

    assert all(hasattr(tttcfg.nn, name) for name in tttcfg.nn.__all__)
