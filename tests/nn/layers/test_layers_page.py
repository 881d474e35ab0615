"""The Python that docs/layers.md shows runs as it stands, one block after the other, and does what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nn.models import Skeleton, ttt_config
from tttcfg.nn import unregister
from tttcfg.ttt_moshi.kernels import KERNELS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "layers.md"


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, Any]]:
    """Return every name that the page's blocks make, of a model whose attention sees one token."""
    torch.manual_seed(0)
    names: dict[str, Any] = {
        "config": ttt_config(ttt_layer_context=1, non_ttt_layer_context=1, persistent_states="each_sequence"),
        "model": Skeleton(),
    }
    for block in re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text("utf-8")):
        exec(compile(block, str(PAGE), "exec"), names)
    yield names
    if "mine" in KERNELS:
        unregister("mine")


def test_a_layer_returns_the_output_and_the_state_of_every_sequence(shown: dict[str, Any]) -> None:
    assert shown["y"].shape == shown["x"].shape == (2, 12, 64)
    shapes = [tuple(one.shape) for one in shown["state"]]
    assert shapes == [(2, 4, 16, 64), (2, 4, 1, 64), (2, 4, 64, 16), (2, 4, 1, 16)]
    assert not torch.equal(shown["more"], shown["y"])


def test_pieces_of_whole_mini_batches_are_the_whole_sequence(shown: dict[str, Any]) -> None:
    with torch.no_grad():
        whole = shown["model"](shown["tokens"])
    torch.testing.assert_close(shown["in_pieces"], whole, rtol=1e-5, atol=1e-5)


def test_the_registered_kernel_is_taken_checked_and_forgotten(shown: dict[str, Any]) -> None:
    assert shown["choice"] == "auto takes mine, which runs on any processor or GPU"
    assert shown["worst"].passes
    assert "mine" not in KERNELS
