"""The layers need torch, and the error says how to install it."""

from __future__ import annotations

import pytest

from tests.launcher import python


def test_without_torch_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None; import tttcfg.nn"
    assert python("-c", code, code=1).err.endswith('ImportError: tttcfg.nn needs torch: pip install "tttcfg[torch]"\n')


def test_the_other_tests_of_this_folder_run() -> None:
    pytest.importorskip("torch", reason="the tests of tttcfg.nn need torch: pip install --group nn")
    import tttcfg.nn

    assert all(hasattr(tttcfg.nn, name) for name in tttcfg.nn.__all__)
