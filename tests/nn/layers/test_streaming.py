"""A sequence in pieces: where it computes what the whole sequence does, and where it mathematically cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.nn.models import DEEP, LINEAR, MLP, Skeleton, stir, tokens, ttt_config
from tttcfg.nn import add_ttt, carrying_states, reset_states
from tttcfg.nn.layers.hybrid import warn_of_order

KINDS = pytest.mark.parametrize("sizes", [LINEAR, MLP, DEEP], ids=["linear", "mlp", "deep"])


def model(sizes: tuple[int, ...] = MLP, **changes: Any) -> Skeleton:
    """Return a model whose attention sees one token, so that nothing but TTT connects the pieces."""
    made = Skeleton()
    given = {"ttt_layer_context": 1, "non_ttt_layer_context": 1, "persistent_states": "each_sequence"}
    add_ttt(made.transformer.layers, ttt_config(sizes, **{**given, **changes}))
    stir(made, size=0.1)
    return made.eval()


def in_pieces(made: Skeleton, x: torch.Tensor, *lengths: int) -> torch.Tensor:
    with torch.no_grad(), carrying_states(made):
        return torch.cat([made(piece) for piece in x.split(list(lengths), dim=1)], dim=1)


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@KINDS
@pytest.mark.parametrize("rope_mode", ["off", "mini_batch"])
def test_pieces_of_whole_mini_batches_are_the_whole_sequence(sizes: tuple[int, ...], rope_mode: str) -> None:
    made, x = model(sizes, rope_mode=rope_mode), tokens(2, 24)
    torch.testing.assert_close(in_pieces(made, x, 4, 12, 8), made(x), rtol=1e-5, atol=1e-5)


def test_a_last_piece_of_any_length_is_filled_up_like_the_whole_sequence() -> None:
    made, x = model(), tokens(2, 22)
    torch.testing.assert_close(in_pieces(made, x, 8, 8, 6), made(x), rtol=1e-5, atol=1e-5)


@KINDS
def test_token_by_token_is_the_whole_sequence_with_mini_batches_of_one(sizes: tuple[int, ...]) -> None:
    made, x = model(sizes, mini_batch_size=1), tokens(2, 9)
    torch.testing.assert_close(in_pieces(made, x, *[1] * 9), made(x), rtol=1e-5, atol=1e-5)


def test_token_by_token_differs_with_larger_mini_batches() -> None:
    """A token sees later ones of its mini-batch in the whole sequence, and zeros in their place when it comes alone."""
    made, x = model(mini_batch_size=4), tokens(2, 8)
    alone, whole = in_pieces(made, x, *[1] * 8), made(x)
    assert not any(close(alone[:, index], whole[:, index]) for index in range(8))


@pytest.mark.parametrize("sizes", [MLP, DEEP], ids=["mlp", "deep"])
def test_where_states_never_persist_every_piece_starts_anew(sizes: tuple[int, ...]) -> None:
    made, x = model(sizes, persistent_states="never"), tokens(2, 8)
    torch.testing.assert_close(in_pieces(made, x, 4, 4), torch.cat([made(x[:, :4]), made(x[:, 4:])], dim=1))
    assert not close(in_pieces(made, x, 4, 4), made(x))


def test_the_state_of_the_first_sequence_goes_on_for_all_while_evaluating(caplog: pytest.LogCaptureFixture) -> None:
    """As the trainer's own parameters do that it overwrites: whatever the next batch is."""
    warn_of_order.cache_clear()
    made, x = model(DEEP, persistent_states="first_sequence"), tokens(2, 8)
    first, other = x[:1], tokens(3, 4, seed=7)
    with torch.no_grad(), carrying_states(made):
        made(x)
        found = made(other)
    alone = model(DEEP)
    with torch.no_grad(), carrying_states(alone):
        for index in range(3):
            reset_states(alone)
            alone(first)
            expected = alone(other[index : index + 1])
            torch.testing.assert_close(found[index : index + 1], expected, rtol=1e-5, atol=1e-5)
    assert [one.message for one in caplog.records if "first_sequence" in one.message] == [
        "ttt.persistent_states is first_sequence: what is evaluated depends on order and batches"
    ]


def test_the_state_of_the_first_sequence_never_goes_on_while_training() -> None:
    made, x = model(DEEP, persistent_states="first_sequence").train(), tokens(2, 8)
    with torch.no_grad(), carrying_states(made):
        first, second = made(x), made(x)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_outside_every_forward_starts_anew() -> None:
    made, x = model(), tokens(1, 8)
    before = made(x)
    in_pieces(made, x, 4, 4)
    torch.testing.assert_close(made(x), before, rtol=0, atol=0)


def test_another_sequence_begins_after_a_reset() -> None:
    made, x = model(), tokens(1, 8)
    with carrying_states(made):
        first, second = made(x), made(x)
        reset_states(made)
        again = made(x)
        reset_states(made)
        made(tokens(3, 4))
        with pytest.raises(ValueError, match="that of 3 sequences"):
            made(x)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not close(first, second)


def test_a_context_inside_another_leaves_it_as_it_was() -> None:
    made, x = model(), tokens(1, 8)
    whole = made(x)
    with carrying_states(made):
        first = made(x[:, :4])
        in_pieces(made, tokens(2, 8, seed=3), 8)
        second = made(x[:, 4:])
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=1e-5, atol=1e-5)


def test_evaluating_never_changes_the_state_dict() -> None:
    made = model(DEEP)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    with carrying_states(made):
        made(tokens(2, 8))
        inside = made.state_dict()
        assert list(inside) == list(before)
    after = made.state_dict()
    assert all(torch.equal(before[name], inside[name]) and torch.equal(before[name], after[name]) for name in before)


def test_gradients_end_between_pieces() -> None:
    made, x = model().train(), tokens(1, 8)
    with carrying_states(made):
        made(x[:, :4]).sum().backward()
        made(x[:, 4:]).sum().backward()
    assert made.transformer.layers[1].seq_modeling_block.ttt_layer.ttt.W1.grad.isfinite().all()
