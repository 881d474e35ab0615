"""The squared norm of an expected gradient, compared with that of quadratics whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from tttcfg.errors import InputError
from tttcfg.nn.recovery.stationarity import AdamMetric, Gradients, batch_gradients

DIM, BATCH = 40, 8
HESSIAN = torch.diag(torch.logspace(-1, 1, DIM, dtype=torch.float64))


class Point(nn.Module):
    """A point on a quadratic, which moves, and a number that is not trained."""

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.at = nn.Parameter(value.clone())
        self.unused = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.fixed = nn.Parameter(torch.ones(1, dtype=torch.float64), requires_grad=False)


def loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Half the squared distance to each sample, in the Hessian's metric: its expected gradient is H (at - mean)."""
    distance = model.at - batch
    return torch.einsum("bi,ij,bj->b", distance, HESSIAN, distance).mean() / 2


def batches(count: int, seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)


def split(count: int, seed: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    found = list(batches(count, seed))
    return found[: count // 2], found[count // 2 :]


def point(distance: float) -> Point:
    return Point(torch.full((DIM,), distance, dtype=torch.float64))


def expected(distance: float) -> float:
    return float((HESSIAN @ point(distance).at.detach()).square().sum())


@pytest.mark.parametrize("distance", [0.0, 0.05, 0.5])
def test_the_estimate_is_unbiased_and_its_error_is_right(distance: float) -> None:
    """The error is right where there is a gradient, and up to a half too large where there is none."""
    found = [batch_gradients(point(distance), batches(12, seed), loss).squared_norm for seed in range(300)]
    values, errors = torch.tensor([one[:2] for one in found], dtype=torch.float64).unbind(1)
    spread = values.std()
    assert abs(values.mean() - expected(distance)) < 3 * spread / math.sqrt(len(found))
    assert 0.9 * spread < errors.square().mean().sqrt() < 1.6 * spread
    if distance == 0.5:
        assert errors.square().mean().sqrt() < 1.2 * spread


def test_the_mean_gradients_norm_would_be_biased() -> None:
    """What the estimate is there for: without a gradient, the noise of the batches remains in the mean."""
    found = [batch_gradients(point(0.0), batches(12, seed), loss).products.mean() for seed in range(30)]
    assert min(found) > 0
    assert sum(found) / len(found) > 0.5


def test_more_batches_may_follow() -> None:
    whole, parts = list(batches(12, 1)), [batch_gradients(point(0.1), given, loss) for given in split(12, 1)]
    assert (parts[0] + parts[1]).squared_norm == batch_gradients(point(0.1), whole, loss).squared_norm


def test_two_points_are_compared_on_the_same_batches() -> None:
    """The noise that is common to both is not in the error of their difference."""
    near, far = (batch_gradients(point(distance), batches(16, 1), loss) for distance in (0.05, 0.06))
    difference = far.beyond(near)
    assert difference.value == pytest.approx(far.squared_norm.value - near.squared_norm.value)
    assert difference.error < 0.3 * math.hypot(far.squared_norm.error, near.squared_norm.error)
    assert abs(difference.value - (expected(0.06) - expected(0.05))) < 4 * difference.error
    with pytest.raises(ValueError, match="16 batches are compared with 12"):
        far.beyond(batch_gradients(point(0.05), batches(12, 1), loss))


def test_one_batch_alone_decides_nothing_where_gradients_are_clipped() -> None:
    found = batch_gradients(point(0.5), batches(32, 1), loss)
    blown = found.sketches.clone()
    blown[3] *= -1e3
    wild = Gradients(blown, found.losses)
    assert abs(wild.squared_norm.errors) < 2
    most = 2 * float(wild.norms.median())
    assert wild.clipped(most).squared_norm.errors > 3
    assert found.clipped(math.inf).squared_norm == found.squared_norm


def adam_at_rest(weight_decay: float) -> tuple[Point, torch.optim.AdamW]:
    """Return a point that AdamW has brought to rest, and AdamW."""
    model = point(3.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=weight_decay, betas=(0.9, 0.999))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 4000)
    offset = torch.linspace(-2, 2, DIM, dtype=torch.float64)
    for batch in batches(4000, 9):
        optimizer.zero_grad()
        loss(model, batch + offset).backward()
        optimizer.step()
        schedule.step()
    return model, optimizer


def test_weight_decay_is_accounted_for() -> None:
    """AdamW stops where gradient and decay are equal, which is far from where the gradient is zero."""
    model, optimizer = adam_at_rest(0.5)
    offset = torch.linspace(-2, 2, DIM, dtype=torch.float64)
    given = [batch + offset for batch in batches(64, 3)]
    adam = AdamMetric.of(model, optimizer)
    assert batch_gradients(model, given, loss, adam).squared_norm.errors < 3
    without = AdamMetric(adam.squares)
    assert batch_gradients(model, given, loss, without).squared_norm.errors > 5


def test_without_a_state_squares_are_estimated_from_gradients() -> None:
    model, optimizer = adam_at_rest(0.0)
    kept = AdamMetric.of(model, optimizer).squares["at"]
    found = AdamMetric.estimated(point(3.0), [batch + 3 for batch in batches(200, 5)], loss, 0.1)
    assert not found.squares["unused"].any()
    assert found.weight_decay["at"] == 0.1
    offset = torch.linspace(-2, 2, DIM, dtype=torch.float64)
    here = AdamMetric.estimated(model, [batch + offset for batch in batches(200, 5)], loss).squares["at"]
    assert ((here / kept).log().abs() < 1.5).all()


def test_one_batch_alone_makes_no_metric() -> None:
    """Nor does one whose gradient is not finite."""
    given = list(batches(16, 5))
    wanted = AdamMetric.estimated(point(0.3), given, loss).squares["at"]
    for worth in (1e6, math.inf):
        found = AdamMetric.estimated(point(0.3), [*given, given[0] + worth], loss).squares["at"]
        assert ((found / wanted).log().abs() < 1.5).all()


def test_the_metric_weighs_directions_by_their_noise() -> None:
    """A gradient in a quiet direction counts as much as one in a loud direction."""
    adam = AdamMetric({"at": torch.diagonal(HESSIAN).square() / BATCH})
    value = batch_gradients(point(0.3), batches(64, 1), loss, adam).squared_norm
    wanted = float((HESSIAN @ point(0.3).at.detach()).square() @ adam.squares["at"].rsqrt())
    assert abs(value.value - wanted) < 4 * value.error


def test_what_never_got_a_gradient_does_not_count() -> None:
    squares = torch.ones(DIM)
    squares[::2] = 0
    found = batch_gradients(point(0.3), batches(8, 1), loss, AdamMetric({"at": squares}))
    whole = batch_gradients(point(0.3), batches(8, 1), loss, AdamMetric({"at": torch.ones(DIM)}))
    assert 0 < found.squared_norm.value < whole.squared_norm.value


def test_nothing_of_the_model_changes() -> None:
    model = point(0.3)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    batch_gradients(model, batches(4, 1), loss)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())


def test_a_loss_that_fails_leaves_no_gradients_behind() -> None:
    model = point(0.3)

    def failing(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        if model.at.grad is None and batch is given[2]:
            raise RuntimeError("on purpose")
        return loss(model, batch)

    given = list(batches(4, 1))
    with pytest.raises(RuntimeError, match="on purpose"):
        batch_gradients(model, given, failing)
    assert all(one.grad is None for one in model.parameters())


def test_a_gradient_that_is_not_finite_is_far_from_zero() -> None:
    found = batch_gradients(point(math.inf), batches(4, 1), loss)
    assert found.squared_norm == (math.inf, math.inf, 4)
    assert found.beyond(batch_gradients(point(0.0), batches(4, 1), loss)).errors == math.inf


@pytest.mark.parametrize(
    ("count", "model", "message"),
    [
        (3, point(0.1), "batches: 3 are too few; give 4 or more"),
        (0, point(0.1), "batches: 0 are too few; give 4 or more"),
        (4, point(0.1).requires_grad_(False), "model: has no parameter that is trained"),
    ],
)
def test_what_gives_no_estimate_is_refused(count: int, model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        batch_gradients(model, batches(count, 1), loss)


@pytest.mark.parametrize("value", [torch.ones(2, requires_grad=True), torch.tensor(1.0), 1.0], ids=str)
def test_a_loss_without_a_gradient_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="loss: is no scalar that a gradient goes through"):
        batch_gradients(point(0.1), batches(4, 1), lambda _model, _batch: value)


def test_weight_decay_may_differ_by_parameter() -> None:
    metric = AdamMetric.estimated(point(0.3), batches(8, 1), loss, {"at": 0.5})
    alone = AdamMetric.estimated(point(0.3), batches(8, 1), loss, 0.5)
    given = list(batches(8, 2))
    values = [batch_gradients(point(0.3), given, loss, one).squared_norm for one in (metric, alone)]
    assert values[0] == values[1]


def test_an_optimizer_without_running_means_is_refused() -> None:
    model = point(0.1)
    with pytest.raises(InputError, match="optimizer: is SGD, not AdamW"):
        AdamMetric.of(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(InputError, match="optimizer: has no state"):
        AdamMetric.of(model, torch.optim.AdamW(model.parameters()))
    with pytest.raises(InputError, match="batches: none has a gradient that is finite and not zero"):
        AdamMetric.estimated(model, [], loss)
