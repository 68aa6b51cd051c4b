"""Second moments of embeddings, for losses that have no negatives."""

from __future__ import annotations

import torch
from torch import Tensor
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


def standardize(x: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Return (N, d) embeddings with mean zero and variance one in each *column*.

    A row-wise normalisation, which is an easy slip, leaves the optimum out of reach.
    """
    return F.batch_norm(x, None, None, training=True, eps=epsilon)


def off_diagonal(matrix: Tensor) -> Tensor:
    """Return a square matrix with zeros on its diagonal."""
    return matrix - torch.diag(matrix.diagonal())
