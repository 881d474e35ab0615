"""Gradients in a few numbers each: random projections that keep their inner products.

A gradient has as many numbers as the model has trained parameters, and what is asked of it here are inner products
with other gradients alone. Every coordinate gets a random sign and is added to one of `SIZE` sums (a count sketch:
Charikar, Chen, Farach-Colton, 2002). Over the signs, the inner product of two sketches is that of the gradients, with
a variance of at most (|g|^2 |h|^2 + (g . h)^2) / SIZE where no few coordinates prevail. All sketches have the same
signs, so that what two gradients have in common is kept in their difference as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

SIZE = 65_521
"""Sums of a sketch: prime, so that a column of a matrix is not always added to the same few of them."""
_SEED = 20_261_130


def sketch(vectors: Mapping[str, torch.Tensor | None], sizes: Mapping[str, int]) -> torch.Tensor:
    """Return the sketch of vectors that belong together; all of their numbers where there are no more than `SIZE`.

    Args:
        vectors: By name, of float32 or float64; None for zeros.
        sizes: How many numbers each has.

    Returns:
        A vector [min(SIZE, sum of `sizes`)] on the CPU, in float64 where any of the vectors is, else in float32.
    """
    count = sum(sizes.values())
    size = min(SIZE, count)
    sums = torch.zeros(size, dtype=torch.float64)
    start, dtype = 0, torch.float32
    for number, name in enumerate(sorted(sizes)):
        vector = vectors.get(name)
        if vector is not None:
            dtype = torch.promote_types(dtype, vector.dtype)
            signed = vector if count <= size else vector * _signs(vector, number)
            sums += _folded(signed, start % size, size)
        start += sizes[name]
    return sums.to(dtype)


def _signs(like: torch.Tensor, number: int) -> torch.Tensor:
    """Return a sign for every coordinate of the vector of a number: on one device always the same."""
    generator = torch.Generator(like.device).manual_seed(_SEED + number)
    bits = torch.randint(0, 2, like.shape, generator=generator, device=like.device, dtype=torch.int8)
    return bits.to(like.dtype).mul_(2).sub_(1)


def _folded(vector: torch.Tensor, start: int, size: int) -> torch.Tensor:
    """Return the sums of every `size`-th coordinate, the first of which is added to the sum number `start`."""
    padding = -(start + vector.numel()) % size
    rows = torch.nn.functional.pad(vector, (start, padding)).view(-1, size)
    return rows.sum(0, dtype=torch.float64).cpu()
