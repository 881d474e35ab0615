"""The Python that docs/layers.md shows runs as it is, one block after the other, and does what the page describes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.builders import ROOT
from tests.launcher import python

BEFORE = """
import json
import torch
from tests.nn.models import Skeleton, ttt_config
from tttcfg.ttt_moshi.kernels import KERNELS

torch.manual_seed(0)
torch.set_num_threads(1)
config = ttt_config(ttt_layer_context=1, non_ttt_layer_context=1, persistent_states="each_sequence")
model = Skeleton()
"""
AFTER = """
with torch.no_grad():
    whole = model(tokens)
print(json.dumps({
    "shapes": [list(one.shape) for one in (x, y, *state)],
    "goes_on": not torch.equal(more, y),
    "equal": torch.allclose(in_pieces, whole, rtol=1e-5, atol=1e-5),
    "choice": choice,
    "passes": worst.passes,
    "forgotten": "mine" not in KERNELS,
}))
"""


@pytest.fixture(scope="module")
def shown() -> Any:
    """Run the page's blocks, with a model whose attention sees one token, as a process: some take 150 MB."""
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```$", (ROOT / "docs" / "layers.md").read_text("utf-8"))
    return python("-c", "".join([BEFORE, *blocks, AFTER]), cwd=ROOT).json


def test_a_layer_returns_the_output_and_the_state_of_every_sequence(shown: dict[str, Any]) -> None:
    of_states = [[2, 4, 16, 64], [2, 4, 1, 64], [2, 4, 64, 16], [2, 4, 1, 16]]
    assert shown["shapes"] == [[2, 12, 64], [2, 12, 64], *of_states]
    assert shown["goes_on"]


def test_pieces_of_whole_mini_batches_are_the_whole_sequence(shown: dict[str, Any]) -> None:
    assert shown["equal"]


def test_the_registered_kernel_is_taken_checked_and_forgotten(shown: dict[str, Any]) -> None:
    assert shown["choice"] == "auto takes mine, which runs on any processor or GPU"
    assert shown["passes"]
    assert shown["forgotten"]
