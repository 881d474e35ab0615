"""The layers compile as one graph, and compute the same when they do; `test_compile.py` runs these tests."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests.nn.layers.test_kernels import RETURNS
from tests.nn.models import DEEP, LINEAR, MLP, Skeleton, layer, stir, tokens, ttt_config
from tttcfg.nn import Kernel, WrongKernelError, add_ttt, carrying_states, register, torch_scan, unregister

KINDS = pytest.mark.parametrize("sizes", [LINEAR, MLP, DEEP], ids=["linear", "mlp", "deep"])


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch.compiler.reset()


@KINDS
def test_a_layer_is_one_graph(sizes: tuple[int, ...]) -> None:
    made, x = layer(ttt_config(sizes, rope_mode="mini_batch", scan_checkpoint_group_size=2)), tokens(2, 14)
    compiled = torch.compile(made, fullgraph=True, backend="eager")
    for mode in (True, False):
        made.train(mode)
        torch.testing.assert_close(compiled(x), made(x))


def test_a_model_that_carries_states_is_one_graph() -> None:
    model, x = Skeleton(), tokens(1, 8)
    add_ttt(
        model.transformer.layers,
        ttt_config(ttt_layer_context=1, non_ttt_layer_context=1, persistent_states="each_sequence"),
    )
    stir(model, size=0.1).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad(), carrying_states(model):
        pieces = torch.cat([compiled(x[:, :4]), compiled(x[:, 4:])], dim=1)
    torch.testing.assert_close(pieces, model(x), rtol=1e-5, atol=1e-5)


@RETURNS
def test_a_kernel_that_returns_something_else_is_named(wrong: Any, message: str) -> None:
    register(Kernel("mine", lambda *given: wrong(*torch_scan(*given))))
    try:
        compiled = torch.compile(layer(ttt_config(MLP)), backend="eager")
        with torch.no_grad(), pytest.raises(WrongKernelError, match=f"mine: {message}"):
            compiled(tokens(2, 8))
    finally:
        unregister("mine")


@pytest.mark.slow
def test_every_new_number_of_mini_batches_compiles_anew_and_other_lengths_do_not() -> None:
    """As docs/layers.md describes: the scan is unrolled."""
    counter = CompileCounter()
    compiled = torch.compile(layer(ttt_config(MLP, mini_batch_size=4)), backend=counter)
    counts = []
    with torch.no_grad():
        for length in (4, 8, 12, 16, 9, 11, 13, 14):
            compiled(tokens(2, length))
            counts.append(counter.frame_count)
    assert counts == [1, 2, 3, 4, 4, 4, 4, 4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the compiler's own libraries warn of
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler here")
def test_compiled_values_and_gradients_are_the_eager_ones() -> None:
    made, x = layer(ttt_config(scan_checkpoint_group_size=2)), tokens(2, 14)
    found = []
    for run in (made, torch.compile(made, fullgraph=True)):
        made.zero_grad()
        y, state = run(x)
        y.square().sum().backward()
        found.append([y.detach(), *state, *(one.grad for one in made.parameters() if one.grad is not None)])
    for eager, compiled in zip(*found, strict=True):
        assert (eager - compiled).norm() <= 1e-4 * eager.norm()
