"""What softmax losses are made of: normalisers over all pairs, and positives' mean logits.

A softmax loss of any number of positives is a normaliser less a mean of logits: the first needs
all N x M logits, the second, being linear, only sums of embeddings by id.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.chunked import CrossLogSumExp, SelfLogSumExp, SoftplusSum
from tutelage.losses.positives import Pairing, positive_mask
from tutelage.losses.tiles import Exclusion, tile_side

_NO_LENGTH = 1e-12


def normalize(x: Tensor, length: Tensor | float = 1.0) -> Tensor:
    """Return embeddings (..., d) scaled to one ``length``.

    One of length zero has no direction: it stays zero, and its gradient is zero, where a quotient
    by a small number would make it 10¹² times the others'.
    """
    lengths = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * (length / torch.where(lengths > _NO_LENGTH, lengths, torch.inf))


def cross_logsumexp(
    a: Tensor, b: Tensor, exclusion: Exclusion | None = None, chunk_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the log-sum-exp of the logits a bᵀ along rows, (N,), and along columns, (M,).

    Args:
        a: (N, d), scaled so that a bᵀ are the logits.
        b: (M, d).
        exclusion: Which logits count for nothing.
        chunk_size: Rows of logits held at once; None: all where they are few, else few.

    Returns:
        Minus infinity where a row or column has nothing left.
    """
    side = tile_side(a, b, chunk_size)
    if side is not None:
        rows, columns = CrossLogSumExp.apply(a, b, exclusion, side)  # type: ignore[no-untyped-call]
        return rows, columns
    logits = _excluded(a @ b.T, exclusion)
    return logits.logsumexp(1), logits.logsumexp(0)


def self_logsumexp(
    z: Tensor, exclusion: Exclusion | None = None, chunk_size: int | None = None
) -> Tensor:
    """Return the log-sum-exp of the rows of z zᵀ without its diagonal, (N,).

    Args:
        z: (N, d), scaled so that z zᵀ are the logits.
        exclusion: Which logits count for nothing beside the diagonal; it must be symmetric.
        chunk_size: As in `cross_logsumexp`.
    """
    side = tile_side(z, z, chunk_size)
    if side is not None:
        normalizers: Tensor = SelfLogSumExp.apply(z, exclusion, side)  # type: ignore[no-untyped-call]
        return normalizers
    logits = _excluded(z @ z.T, exclusion)
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    return logits.logsumexp(1)


def softplus_sum(
    a: Tensor,
    b: Tensor,
    bias: Tensor,
    exclusion: Exclusion | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Return the sum of softplus(a bᵀ + bias), a scalar: all pairs' losses were none a match.

    Args:
        a: (N, d), scaled so that a bᵀ + bias are the logits.
        b: (M, d).
        bias: A scalar.
        exclusion: Which logits count for nothing.
        chunk_size: As in `cross_logsumexp`.
    """
    bias = bias.to(a)
    side = tile_side(a, b, chunk_size)
    if side is not None:
        total: Tensor = SoftplusSum.apply(a, b, bias, exclusion, side)  # type: ignore[no-untyped-call]
        return total
    return -F.logsigmoid(-_excluded(a @ b.T + bias, exclusion)).sum()


def _excluded(logits: Tensor, exclusion: Exclusion | None) -> Tensor:
    if exclusion is None:
        return logits
    everything = slice(None)
    return logits.masked_fill(exclusion.block(everything, everything), -torch.inf)


def positive_logits(a: Tensor, b: Tensor, pairing: Pairing) -> tuple[Tensor, Tensor]:
    """Return each row's mean logit over its positives, (N,), and their number, (N,).

    Args:
        a: (N, d), scaled so that a bᵀ are the logits.
        b: (M, d).
        pairing: What belongs together.

    Returns:
        A mean of 0 where a row has no positive.
    """
    if pairing.ids_a is None or pairing.ids_b is None:
        return (a * b).sum(1), torch.ones(len(a), dtype=torch.long, device=a.device)
    return mean_logits(a, b, pairing.ids_a, pairing.ids_b)


def mean_logits(a: Tensor, b: Tensor, ids_a: Tensor, ids_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's mean logit over the columns of its id, (N,), and their number, (N,)."""
    if ids_a.ndim == 2:
        mask = positive_mask(ids_a, ids_b)
        counts = mask.sum(1)
        return ((a @ b.T) * mask).sum(1) / counts.clamp(min=1), counts
    sums, counts = _sums_by_id(b, ids_a, ids_b)
    return (a * sums).sum(1) / counts.clamp(min=1), counts


def view_logits(z: Tensor, pairing: Pairing) -> tuple[Tensor, Tensor]:
    """Return each view's mean logit over its positives, (N + M,), and their number, (N + M,).

    Args:
        z: (N + M, d) views, those of a first, scaled so that z zᵀ are the logits.
        pairing: What belongs together.
    """
    if not pairing.aligned:
        return self_mean_logits(z, pairing.view_ids(z.device))
    logits = (z[: pairing.n] * z[pairing.n :]).sum(1).repeat(2)
    return logits, torch.ones(len(z), dtype=torch.long, device=z.device)


def self_mean_logits(z: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's mean logit over the others of its id, (N,), and their number, (N,)."""
    if ids.ndim == 2:
        mask = positive_mask(ids, ids).fill_diagonal_(False)
        counts = mask.sum(1)
        return ((z @ z.T) * mask).sum(1) / counts.clamp(min=1), counts
    sums, counts = _sums_by_id(z, ids, ids)
    counts = counts - 1
    return (z * (sums - z)).sum(1) / counts.clamp(min=1), counts


def _sums_by_id(b: Tensor, ids_a: Tensor, ids_b: Tensor) -> tuple[Tensor, Tensor]:
    """For each of ids_a, (N,): the sum of its embeddings in b, (N, d), and their number, (N,)."""
    distinct, index = torch.unique(torch.cat([ids_a, ids_b]), return_inverse=True)
    of_a, of_b = index.split([len(ids_a), len(ids_b)])
    sums = b.new_zeros(len(distinct), b.shape[1]).index_add(0, of_b, b)
    return sums[of_a], torch.bincount(of_b, minlength=len(distinct))[of_a]


def mean_over(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of ``values`` (N,) where ``counted`` (N,), or zero where nothing is."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp(min=1)
