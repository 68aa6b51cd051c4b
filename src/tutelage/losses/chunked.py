"""Normalisers over all pairs in O(chunk · N) memory, exact, forward and backward.

The logits a bᵀ are made a tile at a time, twice: once for the sums, once for their gradients,
which are written by hand, so that autograd holds no tile. One exponential of a tile serves its
rows and its columns: exp(l - shift), with one shift for all logits where no sum then overflows or
vanishes; where one does, each row and column has its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.losses.tiles import Exclusion

_HEADROOM = {torch.float32: 60.0, torch.float64: 500.0}
"""A logit whose exponential leaves room for the sum of some millions, by dtype."""


class Tiles:
    """The logits of a and b, a tile at a time, in one buffer that is used again.

    Args:
        a: (N, d).
        b: (M, d).
        exclusion: Logits that become minus infinity.
        side: Rows and columns of a tile.
    """

    def __init__(self, a: Tensor, b: Tensor, exclusion: Exclusion | None, side: int) -> None:
        self.a: Tensor = a
        self.b: Tensor = b
        self.exclusion: Exclusion | None = exclusion
        size = min(side, len(a)) * min(side, len(b))
        self._logits, self._spare = a.new_empty(size), a.new_empty(size)
        self._rows = [slice(i, min(i + side, len(a))) for i in range(0, len(a), side)]
        self._columns = [slice(j, min(j + side, len(b))) for j in range(0, len(b), side)]

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield each tile's rows, columns and logits; the logits last until the next tile."""
        for rows in self._rows:
            for columns in self._columns:
                yield rows, columns, self._tile(rows, columns)

    def upper(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield the tiles on and above the diagonal, which itself becomes minus infinity."""
        for i, rows in enumerate(self._rows):
            for columns in self._columns[i:]:
                logits = self._tile(rows, columns)
                if rows == columns:
                    logits.fill_diagonal_(-torch.inf)
                yield rows, columns, logits

    def spare(self, like: Tensor) -> Tensor:
        """Return a second buffer of a tile's shape."""
        return self._spare[: like.numel()].view(like.shape)

    def _tile(self, rows: slice, columns: slice) -> Tensor:
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        logits = self._logits[: shape[0] * shape[1]].view(shape)
        torch.mm(self.a[rows], self.b[columns].T, out=logits)
        if self.exclusion is not None:
            logits.masked_fill_(self.exclusion.block(rows, columns), -torch.inf)
        return logits


def bound(a: Tensor, b: Tensor) -> float:
    """Return a bound of the absolute logits a bᵀ: the product of the greatest norms."""
    return float(
        torch.linalg.vector_norm(a, dim=1).max() * torch.linalg.vector_norm(b, dim=1).max()
    )


def _shift(a: Tensor, b: Tensor) -> float:
    return max(0.0, bound(a, b) - _HEADROOM[a.dtype])


def _vanishes(sums: Tensor, shift: float) -> bool:
    """Whether a sum is so small that terms which count may have been rounded to nothing."""
    return shift > 0 and bool((sums < math.exp(-2 / 3 * _HEADROOM[sums.dtype])).any())


def _weights(gradient: Tensor, normalizers: Tensor, shift: float) -> Tensor:
    """What exp(l - shift) is multiplied by to give a row's gradient; nothing for empty rows."""
    scale = torch.where(normalizers.isneginf(), 0.0, (shift - normalizers).exp())
    return gradient * scale


def _own_weights(logits: Tensor, normalizers: Tensor, gradient: Tensor, spare: Tensor) -> Tensor:
    """Each row's gradient of its logits, g softmax(l), in ``spare``."""
    safe = normalizers.masked_fill(normalizers.isneginf(), 0.0)
    torch.sub(logits, safe[:, None], out=spare)
    return spare.exp_().mul_(gradient[:, None])


class CrossLogSumExp(torch.autograd.Function):
    """Log-sum-exp of a bᵀ along rows and along columns."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, exclusion: Exclusion | None, side: int
    ) -> tuple[Tensor, Tensor]:
        """Return both, (N,) and (M,), of ``a`` (N, d) and ``b`` (M, d)."""
        tiles, shift = Tiles(a, b, exclusion, side), _shift(a, b)
        rows, columns = a.new_zeros(len(a)), a.new_zeros(len(b))
        for i, j, logits in tiles:
            powers = (logits.sub_(shift) if shift else logits).exp_()
            rows[i] += powers.sum(1)
            columns[j] += powers.sum(0)
        ctx.shared = not (_vanishes(rows, shift) or _vanishes(columns, shift))
        if ctx.shared:
            rows, columns = rows.log_().add_(shift), columns.log_().add_(shift)
        else:
            rows.fill_(-torch.inf)
            columns.fill_(-torch.inf)
            for i, j, logits in tiles:
                rows[i] = torch.logaddexp(rows[i], logits.logsumexp(1))
                columns[j] = torch.logaddexp(columns[j], logits.logsumexp(0))
        ctx.save_for_backward(a, b, rows, columns)
        ctx.exclusion, ctx.side, ctx.shift = exclusion, side, shift
        return rows, columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_rows: Tensor, of_columns: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients, their tiles made anew."""
        a, b, rows, columns = ctx.saved_tensors
        needs_a, needs_b = ctx.needs_input_grad[:2]
        grad_a = torch.zeros_like(a) if needs_a else None
        grad_b = torch.zeros_like(b) if needs_b else None
        tiles, shift = Tiles(a, b, ctx.exclusion, ctx.side), ctx.shift
        by_row, by_column = (
            _weights(g, n, shift) for g, n in ((of_rows, rows), (of_columns, columns))
        )
        for i, j, logits in tiles:
            spare = tiles.spare(logits)
            if ctx.shared:
                powers = (logits.sub_(shift) if shift else logits).exp_()
                torch.add(by_row[i, None], by_column[j], out=spare)
                gradient = powers.mul_(spare)
            else:
                gradient = _own_weights(logits, rows[i], of_rows[i], spare).clone()
                gradient += _own_weights(logits.T, columns[j], of_columns[j], spare.T).T
            if grad_a is not None:
                grad_a[i].addmm_(gradient, b[j])
            if grad_b is not None:
                grad_b[j].addmm_(gradient.T, a[i])
        return grad_a, grad_b, None, None


class SelfLogSumExp(torch.autograd.Function):
    """Log-sum-exp of the rows of z zᵀ without its diagonal; only half of the tiles are made."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, exclusion: Exclusion | None, side: int) -> Tensor:
        """Return it, (N,), of ``z`` (N, d)."""
        tiles, shift = Tiles(z, z, exclusion, side), _shift(z, z)
        sums = z.new_zeros(len(z))
        for i, j, logits in tiles.upper():
            powers = (logits.sub_(shift) if shift else logits).exp_()
            sums[i] += powers.sum(1)
            if i != j:
                sums[j] += powers.sum(0)
        ctx.shared = not _vanishes(sums, shift)
        if ctx.shared:
            normalizers = sums.log_().add_(shift)
        else:
            normalizers = sums.fill_(-torch.inf)
            for i, j, logits in tiles.upper():
                normalizers[i] = torch.logaddexp(normalizers[i], logits.logsumexp(1))
                if i != j:
                    normalizers[j] = torch.logaddexp(normalizers[j], logits.logsumexp(0))
        ctx.save_for_backward(z, normalizers)
        ctx.exclusion, ctx.side, ctx.shift = exclusion, side, shift
        return normalizers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_rows: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient, its tiles made anew."""
        z, normalizers = ctx.saved_tensors
        grad = torch.zeros_like(z)
        tiles, shift = Tiles(z, z, ctx.exclusion, ctx.side), ctx.shift
        weights = _weights(of_rows, normalizers, shift)
        for i, j, logits in tiles.upper():
            spare = tiles.spare(logits)
            if ctx.shared:
                powers = (logits.sub_(shift) if shift else logits).exp_()
                torch.add(weights[i, None], weights[j], out=spare)
                gradient = powers.mul_(spare)
            else:
                gradient = _own_weights(logits, normalizers[i], of_rows[i], spare).clone()
                gradient += _own_weights(logits.T, normalizers[j], of_rows[j], spare.T).T
            grad[i].addmm_(gradient, z[j])
            if i != j:
                grad[j].addmm_(gradient.T, z[i])
        return grad, None, None


class SoftplusSum(torch.autograd.Function):
    """Sum of softplus(a bᵀ + bias); having no normaliser, its gradient is made forward."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, bias: Tensor, exclusion: Exclusion | None, side: int
    ) -> Tensor:
        """Return it, a scalar, of ``a`` (N, d), ``b`` (M, d) and ``bias``, a scalar."""
        grad_a, grad_b, grad_bias = (
            torch.zeros_like(x) if needed else None
            for x, needed in zip((a, b, bias), ctx.needs_input_grad[:3], strict=True)
        )
        tiles, sums = Tiles(a, b, exclusion, side), []
        small = bound(a, b) + abs(float(bias)) < _HEADROOM[a.dtype]
        for i, j, logits in tiles:
            logits.add_(bias)
            spare = tiles.spare(logits)
            if small:
                powers = logits.exp_()
                sums.append(torch.log1p(powers, out=spare).sum())
                slopes = powers.div_(torch.add(powers, 1, out=spare))
            else:
                sums.append(-torch.nn.functional.logsigmoid(-logits).sum())
                slopes = logits.sigmoid_()
            if grad_a is not None:
                grad_a[i].addmm_(slopes, b[j])
            if grad_b is not None:
                grad_b[j].addmm_(slopes.T, a[i])
            if grad_bias is not None:
                grad_bias += slopes.sum()
        ctx.gradients = (grad_a, grad_b, grad_bias)
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_sum: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that were made forward."""
        made: tuple[Tensor | None, ...] = ctx.gradients
        return (*(None if grad is None else grad * of_sum for grad in made), None, None)
