"""Second moments of embeddings, for losses that have no negatives."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tutelage.core.errors import DataError


def check_pairs(a: Tensor, b: Tensor) -> None:
    """Refuse what has no statistics over pairs.

    Raises:
        DataError: There are not as many of ``a`` as of ``b``, or fewer than two.
    """
    if len(a) != len(b):
        problem = f"{len(a)} and {len(b)} embeddings make no pairs"
        raise DataError(problem, hint="Give as many of b as of a.")
    if len(a) < 2:
        raise DataError("one pair has no variance", hint="Give at least two pairs a batch.")


def covariance(x: Tensor) -> Tensor:
    """Return the unbiased covariance of (N, d) embeddings, (d, d)."""
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


EPSILON: Final = 1e-5
"""Added to a variance, so that a column without any has a deviation to be divided by."""


def standardize(x: Tensor) -> Tensor:
    """Return (N, d) embeddings with mean zero and variance one in each *column*.

    A row-wise normalisation, which is an easy slip, leaves the optimum out of reach.
    """
    return F.batch_norm(x, None, None, training=True, eps=EPSILON)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of each column of a with each of b, (N, d) both, as (d, d).

    It is ``standardize(a).T @ standardize(b) / N``; the gradient takes a pass less over each.
    """
    found: Tensor = _Correlation.apply(a, b)  # type: ignore[no-untyped-call]
    return found


class _Correlation(torch.autograd.Function):
    """Standardised columns are centred, and their products with the gradient are known already."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        parts = []
        for x in (a, b):
            z, _, scale = torch.native_batch_norm(x, None, None, None, None, True, 0.0, EPSILON)
            parts += [z, scale]
        product = parts[0].T @ parts[2] / len(a)
        ctx.save_for_backward(*parts, product)
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, scale_a, b, scale_b, product = ctx.saved_tensors
        grad = grads[0].to(a.dtype) / len(a)
        along = grad * product
        sides = ((b, grad.T, along.sum(1), a, scale_a), (a, grad, along.sum(0), b, scale_b))
        return tuple(
            (other @ (mixed * scale)).addcmul_(own, sums * scale, value=-1) if needed else None
            for needed, (other, mixed, sums, own, scale) in zip(
                ctx.needs_input_grad, sides, strict=True
            )
        )


def off_diagonal(matrix: Tensor) -> Tensor:
    """Return a square matrix with zeros on its diagonal."""
    return matrix - torch.diag(matrix.diagonal())
