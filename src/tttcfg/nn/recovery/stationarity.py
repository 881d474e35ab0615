"""How near a model is to a stationary point of its training loss.

A model that was trained to the end is near a point where the expected gradient of its training loss is zero, under the
settings that it was trained with, and under no others. With gradients g_1 … g_n of disjoint batches, |mean g|^2 is no
estimate of |E g|^2: it has the noise of every batch in it. The inner product of two different ones has not:
E(g_i . g_j) = E g . E g. So the estimate is

    U = 1 / (n (n - 1)) * sum over i != j of g_i . g_j,

whose mean is zero where E g is zero. Its standard error is the jackknife's: with U_i the estimate without batch i,
sqrt((n - 1) / n * sum over i of (U_i - mean U)^2). It is right where E g is large, and sqrt(2 (n - 1) / (n - 2)) times
too large where E g is zero (1.44 for 32 batches, 1.53 for 8), never too small on average (Efron, Stein, 1981). So three
of them are about six standard deviations of the mean gradient where that has a single direction, and fewer where it has
many: what is called near zero may be a little away from it.

The inner product is that of AdamW, which divides a gradient by sqrt(v), v the running mean of its square: g . h is the
sum of g h / sqrt(v). So U is the rate at which the expected loss would still fall, per unit of the learning rate.
Beside a plain inner product, in which the few coordinates with large gradients are all that counts, it separates
settings with half as many batches or fewer (docs/recovery.md). What decoupled weight decay adds, lambda theta sqrt(v),
is part of g: AdamW stops where their sum is zero.

Two settings are compared on the same batches, of which most of the noise is common to both: the difference of their
estimates has a jackknife of its own. Of a gradient, only its sketch is kept.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import nn

from tttcfg.errors import InputError, Problem, quote
from tttcfg.nn.ranks.gather import at_rest, is_sharded, plain_name, unwrapped
from tttcfg.nn.ranks.ranks import gather_rows, sum_over_ranks, world_size
from tttcfg.nn.recovery.sketches import sketch

LEAST_BATCHES = 4
"""Fewer give no standard error that means anything."""
Loss = Callable[[nn.Module, Any], torch.Tensor]


class Estimate(NamedTuple):
    """A value that is estimated from batches, with its standard error.

    Batches whose gradient is not finite do not count, as a trainer passes over them; both figures are infinite where
    fewer than half of them are left, or fewer than four.
    """

    value: float
    error: float
    batches: int

    @property
    def errors(self) -> float:
        """How many standard errors the value is above zero."""
        if self.value == 0 or math.isinf(self.value):
            return self.value
        return self.value / self.error if self.error else math.copysign(math.inf, self.value)

    def surely(self, errors: float) -> float:
        """Return the value plus so many standard errors."""
        return self.value + errors * self.error


@dataclass(frozen=True)
class AdamMetric:
    """How AdamW turns gradients into steps.

    Attributes:
        squares: v, the running means of squared gradients, by the name of the parameter. A coordinate where v is zero
            never got a gradient in training, and does not count.
        weight_decay: By the name of the parameter; 0 where there is none.
    """

    squares: Mapping[str, torch.Tensor]
    weight_decay: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, optimizer: torch.optim.Optimizer) -> AdamMetric:
        """Return it from the state of an optimizer that was resumed from the checkpoint.

        A parameter without state is one that never got a gradient, and does not count.

        Raises:
            InputError: It is not AdamW, or has no state at all.
        """
        if not isinstance(optimizer, torch.optim.AdamW):
            message = f"is {type(optimizer).__name__}, not AdamW, whose running means of squares are used"
            raise InputError(Problem("rejected", message, "optimizer"))
        names = {id(parameter): name for name, parameter in trained_parameters(model).items()}
        squares: dict[str, torch.Tensor] = {}
        decay: dict[str, float] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name, state = names.get(id(parameter)), optimizer.state.get(parameter, {})
                if name is not None and "exp_avg_sq" in state:
                    bias = 1 - group["betas"][1] ** float(state["step"])
                    squares[name] = state["exp_avg_sq"] / bias
                    decay[name] = float(group["weight_decay"])
        if not squares:
            message, advice = "has no state", "resume it from the checkpoint first"
            raise InputError(Problem("rejected", message, "optimizer", advice=advice))
        return cls(squares, decay)

    @classmethod
    def estimated(
        cls, model: nn.Module, batches: Iterable[Any], loss: Loss, weight_decay: float | Mapping[str, float] = 0.0
    ) -> AdamMetric:
        """Return it from gradients, where the optimizer's state was not kept.

        Each is given the median length first: under settings that are wrong a single batch can have a gradient that is
        a thousand times as long as the others, and squares of it alone would be no metric. Trainers clip gradients for
        the same reason.

        Args:
            batches: As large as in training.
            weight_decay: AdamW's; by the name of the parameter where parameters differ in it, 0 for the others.

        Raises:
            InputError: None has a gradient that is finite and not zero.
        """
        squares = {name: torch.zeros_like(whole(one)) for name, one in trained_parameters(model).items()}
        lengths: list[float] = []
        for _, found in _passes(model, batches, loss):
            present = {name: gradient for name, gradient in found.items() if gradient is not None}
            length = math.sqrt(sum(float(one.double().square().sum()) for one in present.values()))
            if 0 < length < math.inf:
                lengths.append(length)
                for name, gradient in present.items():
                    squares[name] += (gradient / length).square()
        all_lengths = gather_rows(torch.tensor(lengths, dtype=torch.float64)[:, None])
        if not len(all_lengths):
            raise InputError(Problem("rejected", "none has a gradient that is finite and not zero", "batches"))
        square = float(all_lengths.median()) ** 2 / len(all_lengths)
        means = {name: sum_over_ranks(one) * square for name, one in squares.items()}
        decay = weight_decay if isinstance(weight_decay, Mapping) else dict.fromkeys(means, weight_decay)
        return cls(means, decay)

    def scaled(
        self, gradients: Mapping[str, torch.Tensor | None], parameters: Mapping[str, nn.Parameter]
    ) -> dict[str, torch.Tensor | None]:
        """Return (g + lambda theta sqrt(v)) / v^(1/4), whose plain inner products are those in AdamW's metric."""
        return {name: self._scaled(name, one, parameters[name]) for name, one in gradients.items()}

    def require_of(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Raise an InputError where it is not of these parameters: of none of them, or of another size."""
        known = {name: whole(one).numel() for name, one in self.squares.items() if name in parameters}
        problems = [
            Problem("rejected", f"has {size:,} numbers for {name}, which has {parameters[name].numel():,}", "metric")
            for name, size in known.items()
            if size != parameters[name].numel()
        ]
        if not known:
            one, other = next(iter(self.squares), "none"), next(iter(parameters))
            message = f"is of none of the trained parameters: it has {quote(one)}, …, and the model {quote(other)}, …"
            problems.append(Problem("rejected", message, "metric", advice="make it from this model's own optimizer"))
        if problems:
            raise InputError(problems)

    def _scaled(self, name: str, gradient: torch.Tensor | None, parameter: nn.Parameter) -> torch.Tensor | None:
        if name not in self.squares:
            return None
        root = whole(self.squares[name]).sqrt()
        pull = self.weight_decay.get(name, 0.0) * whole(parameter).to(root) * root
        total = pull if gradient is None else gradient + pull.to(gradient)
        return torch.where(root > 0, total / root.sqrt().to(total), 0)


class Products(ABC):
    """Gradients of batches as far as they are compared: the inner products of every two."""

    @property
    @abstractmethod
    def products(self) -> torch.Tensor:
        """The inner product of every two gradients [batches, batches], in float64."""

    @property
    def squared_norm(self) -> Estimate:
        """The estimate of the squared norm of the expected gradient."""
        return _estimate(self.products)

    @property
    def norms(self) -> torch.Tensor:
        """The norm of the gradient of every batch."""
        return self.products.diagonal().sqrt()

    @property
    def median_norm(self) -> float:
        """The median norm of those gradients that are finite; infinite without any."""
        finite = self.norms[torch.isfinite(self.norms)]
        return float(finite.median()) if len(finite) else math.inf

    def clipped(self, most: float) -> Products:
        """Return them with every gradient made as short as `most`, as trainers do: one batch alone decides nothing."""
        return self._times((most / self.norms).clamp(max=1))

    def scaled_to(self, other: Products) -> Products:
        """Return them all times the number by which their median norm is that of others; as they are without one."""
        factor = other.median_norm / self.median_norm if self.median_norm else math.inf
        return self._times(torch.full_like(self.norms, factor)) if math.isfinite(factor) and factor else self

    def _times(self, factors: torch.Tensor) -> Products:
        return _Multiplied(self.products * torch.outer(factors, factors))

    def beyond(self, other: Products) -> Estimate:
        """Return by how much the squared norm is larger than that of other gradients of the same batches.

        Raises:
            ValueError: They are not of as many batches.
        """
        if len(self.products) != len(other.products):
            raise ValueError(f"{len(self.products)} batches are compared with {len(other.products)}")
        return _estimate(self.products - other.products)


@dataclass(frozen=True)
class _Multiplied(Products):
    """Gradients that are multiplied by numbers, which needs no more of them than their inner products."""

    inner: torch.Tensor

    @property
    def products(self) -> torch.Tensor:
        return self.inner


@dataclass(frozen=True)
class Gradients(Products):
    """The gradients of a loss over batches, as far as inner products need them.

    Attributes:
        sketches: Of each batch [batches, numbers].
        losses: The loss of each batch [batches].
    """

    sketches: torch.Tensor
    losses: torch.Tensor

    def __add__(self, more: Gradients) -> Gradients:
        """Return these and those of more batches."""
        return Gradients(torch.cat([self.sketches, more.sketches]), torch.cat([self.losses, more.losses]))

    @cached_property
    def products(self) -> torch.Tensor:
        """The inner product of every two gradients [batches, batches], in float64."""
        exact = self.sketches.double()
        return exact @ exact.T


def _estimate(products: torch.Tensor) -> Estimate:
    """Return the mean of what is off the diagonal, with the jackknife's error over batches."""
    finite = torch.isfinite(products.diagonal())
    if int(finite.sum()) < max(LEAST_BATCHES, len(finite) / 2):
        return Estimate(math.inf, math.inf, len(finite))
    products = products[finite][:, finite]
    count = len(products)
    others = products.sum(1) - products.diagonal()
    total = others.sum()
    without = (total - 2 * others) / ((count - 1) * (count - 2))
    error = ((count - 1) / count * (without - without.mean()).square().sum()).sqrt()
    return Estimate(float(total / (count * (count - 1))), float(error), count)


def batch_gradients(
    model: nn.Module, batches: Iterable[Any], loss: Loss, metric: AdamMetric | None = None
) -> Gradients:
    """Return the gradients of a loss with respect to a model's trained parameters, batch by batch.

    On several ranks, each gives batches of its own; a model that `fully_shard` has sharded has one gradient of all
    ranks' batches together. Memory does not depend on the number of batches but for a quarter of a megabyte each. The
    model's own gradients are gone afterwards; nothing else of it changes but what its forward passes change, such as
    the running means of batch norms. It runs as it is: in training mode where it was trained in it.

    Args:
        model: As it is trained: `requires_grad` decides.
        batches: Disjoint ones, drawn as in training.
        loss: Returns the loss of a batch, a scalar, as it is minimised: the mean over the batch, with all weights.
        metric: AdamW's; without one the plain inner product.

    Raises:
        InputError: There are fewer than four batches, or nothing is trained.
        RankError: A rank has ended.
    """
    found = gradients_of(model, batches, loss, metric)
    require_batches(len(found.losses))
    return found


def require_batches(count: int) -> None:
    """Raise an InputError where there are too few batches for a standard error."""
    if count < LEAST_BATCHES:
        raise InputError(Problem("rejected", f"{count} are too few; give {LEAST_BATCHES} or more", "batches"))


def gradients_of(model: nn.Module, batches: Iterable[Any], loss: Loss, metric: AdamMetric | None) -> Gradients:
    """Return what `batch_gradients` does, of any number of batches."""
    parameters = trained_parameters(model)
    if metric is not None:
        metric.require_of(parameters)
    sizes = {name: one.numel() for name, one in parameters.items()}
    rows: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    for value, found in _passes(model, batches, loss):
        values.append(value)
        rows.append(sketch(found if metric is None else metric.scaled(found, parameters), sizes))
    sketches = torch.stack(rows) if rows else torch.zeros(0, 1)
    losses = torch.stack(values) if values else torch.zeros(0, dtype=torch.float64)
    if is_sharded_model(model):
        return Gradients(sketches, sum_over_ranks(losses) / world_size())
    return Gradients(gather_rows(sketches), gather_rows(losses[:, None])[:, 0])


def is_sharded_model(model: nn.Module) -> bool:
    """Whether all ranks' batches together have one gradient."""
    return any(is_sharded(one) for one in trained_parameters(model).values())


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of a model that are trained, by name without wrappers.

    Raises:
        InputError: There is none.
    """
    named = unwrapped(model).named_parameters()
    found = {plain_name(name): one for name, one in named if one.requires_grad}
    if not found:
        message, advice = "has no parameter that is trained", "build it as for training: requires_grad decides"
        raise InputError(Problem("rejected", message, "model", advice=advice))
    return found


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor as a vector of float32 or float64, all of it on every rank."""
    tensor = tensor.detach()
    if is_sharded(tensor):
        tensor = tensor.full_tensor()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return tensor.reshape(-1).to(torch.float64 if tensor.dtype == torch.float64 else torch.float32)


def _passes(
    model: nn.Module, batches: Iterable[Any], loss: Loss
) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor | None]]]:
    """Yield the loss of every batch, and its gradients as vectors, by name; None where there is none."""
    parameters = trained_parameters(model)
    try:
        for batch in batches:
            _forget(parameters)
            with _apart(model):
                value = loss(model, batch)
                require_scalar(value)
                value.backward()
            found = {name: None if one.grad is None else whole(one.grad) for name, one in parameters.items()}
            yield value.detach().reshape(()).double().cpu(), found
    finally:
        _forget(parameters)
        at_rest(model)


def require_scalar(value: Any, *, trained: bool = True) -> None:
    """Raise an InputError where a loss returned no single number, or one that no gradient goes through."""
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or (trained and not value.requires_grad):
        message, advice = "is no scalar that a gradient goes through", "return the mean over the batch"
        raise InputError(Problem("rejected", message, "loss", advice=advice))


def _apart(model: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a rank's gradient is its own, and not the mean of all ranks'."""
    no_sync = getattr(model, "no_sync", None)  # of DistributedDataParallel, which takes a second to import
    return contextlib.nullcontext() if no_sync is None else no_sync()


def _forget(parameters: Mapping[str, nn.Parameter]) -> None:
    for one in parameters.values():
        one.grad = None
