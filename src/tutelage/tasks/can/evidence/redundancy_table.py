"""Checks of redundant signals as arrays: which rows fall under them, and by how much they fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.twins import PARTNERS, Check

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CheckTable:
    """Checks as arrays, a row for each of C; those of one identifier together.

    Args:
        ids: (K,) uint32, every identifier that is compared, ascending.
        first: (K + 1,) where each identifier's own checks begin.
        field: (C, 1, 2) octets of the field.
        other: (C, PARTNERS) position of each twin's identifier; K for none.
        twin: (C, PARTNERS, 2) octets of the twins.
        slope: (C, PARTNERS).
        offset: (C, PARTNERS).
        residual: (C, PARTNERS).
        weight: (C,) log10 of the frames in calibration.
    """

    ids: NDArray[np.uint32]
    first: Ints
    field: Ints
    other: Ints
    twin: Ints
    slope: Floats
    offset: Floats
    residual: Floats
    weight: Floats

    @classmethod
    def of(cls, checks: Sequence[Check]) -> CheckTable:
        """Lay checks out as arrays."""
        ordered = sorted(checks, key=lambda c: c.field.arbitration_id)
        members = {c.field.arbitration_id for c in ordered}
        members |= {t.field.arbitration_id for c in ordered for t in c.twins}
        ids = np.array(sorted(members), np.uint32)
        owner = np.array([c.field.arbitration_id for c in ordered], np.uint32)
        shape = (len(ordered), PARTNERS)
        table = cls(
            ids,
            np.searchsorted(owner, np.append(ids.astype(np.int64), 1 << 32)),
            np.array([[[c.field.low, c.field.high]] for c in ordered], np.int64).reshape(-1, 1, 2),
            np.full(shape, len(ids), np.int64),
            np.zeros((*shape, 2), np.int64),
            np.zeros(shape),
            np.zeros(shape),
            np.ones(shape),
            np.log10([c.seen for c in ordered]),
        )
        for row, check in enumerate(ordered):
            for place, twin in enumerate(check.twins):
                table.other[row, place] = np.searchsorted(ids, twin.field.arbitration_id)
                table.twin[row, place] = twin.field.low, twin.field.high
                table.slope[row, place] = twin.slope
                table.offset[row, place] = twin.offset
                table.residual[row, place] = twin.residual
        return table

    def compare(
        self,
        row: Ints,
        check: Ints,
        word: NDArray[np.uint64],
        words: NDArray[np.uint64],
        seen: NDArray[np.bool_],
    ) -> tuple[Floats, Floats, Floats]:
        """Return (P,) values, what twins say, and the distance; that is -1 where it can't be told.

        Args:
            row: (P,) rows.
            check: (P,) checks that they fall under.
            word: (n,) payloads.
            words: (n, K) each identifier's latest payload at each row.
            seen: (n, K) whether there was one.
        """
        value = _values(word[row, None], self.field[check])[:, 0]
        other, residual = self.other[check], self.residual[check]
        place = np.minimum(other, len(self.ids) - 1)
        known = (other < len(self.ids)) & seen[row[:, None], place]
        twin = _values(words[row[:, None], place], self.twin[check])
        predicted = self.slope[check] * twin + self.offset[check]
        off = np.where(known, np.abs(predicted - value[:, None]) / residual, np.inf)
        highest = np.where(known, predicted, -np.inf).max(axis=1)
        lowest = np.where(known, predicted, np.inf).min(axis=1)
        told = known.sum(axis=1) >= 2
        agreed = told & (highest - lowest <= residual.max(axis=1))
        middle = np.zeros(len(value))
        middle[told] = (highest[told] + lowest[told]) / 2
        return value, middle, np.where(agreed, off.min(axis=1), -1.0)

    def due(self, code: Ints) -> tuple[Ints, Ints]:
        """Return pairs of a row and a check that it falls under, for rows of ``code`` (n,)."""
        known = np.flatnonzero(code < len(self.ids))
        begin = self.first[code[known]]
        count = self.first[code[known] + 1] - begin
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(known, count), np.repeat(begin, count) + offset


def _values(word: NDArray[np.uint64], octets: Ints) -> Floats:
    """Return (...) the numbers at ``octets`` (..., 2), low and high, of payload words (...)."""
    low = word >> (octets[..., 0] * 8).astype(np.uint64) & np.uint64(255)
    high = word >> (octets[..., 1] * 8).astype(np.uint64) & np.uint64(255)
    wide = octets[..., 0] != octets[..., 1]
    return (low + np.where(wide, high * np.uint64(256), np.uint64(0))).astype(np.float64)
