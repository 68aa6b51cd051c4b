"""What is known of each identifier's payload, and as arrays, which frames break it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.checksums import ParityChecksum, SumChecksum, nibbles
from tutelage.tasks.can.evidence.counters import Counter
from tutelage.tasks.can.evidence.payload_state import REACH, Grouped

_LONG = 8
"""Periods of silence after which a counter may stand anywhere."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class PatternJSON(TypedDict):
    """`Pattern` as plain JSON."""

    arbitration_id: int
    period: float
    counters: list[list[int]]
    masks: list[int]
    parity: list[int]
    sum: list[int]
    stop_rate: float
    wrong_rate: float


@dataclass(frozen=True, slots=True)
class Pattern:
    """The structure of one identifier's payload.

    Args:
        arbitration_id: The identifier.
        period: Median seconds between its frames.
        counters: Its rolling counters.
        parity: Its XOR or CRC-8.
        sum: Its checksum by addition.
        stop_rate: Share of benign frames that break its counters; 0 for fewer than can be told.
        wrong_rate: The same for its checksum.
    """

    arbitration_id: int
    period: float
    counters: tuple[Counter, ...]
    parity: ParityChecksum | None
    sum: SumChecksum | None
    stop_rate: float = 0.0
    wrong_rate: float = 0.0

    def measured(self, seen: int, stops: int, wrongs: int) -> Pattern:
        """Return the pattern with its own rates of breaks."""
        return replace(self, stop_rate=stops / max(seen, 1), wrong_rate=wrongs / max(seen, 1))

    def to_json(self) -> PatternJSON:
        """Return the pattern as plain JSON."""
        added = self.sum
        return {
            "arbitration_id": self.arbitration_id,
            "period": self.period,
            "counters": [[c.shift, c.width, c.modulus] for c in self.counters],
            "masks": list(self.parity.masks) if self.parity else [],
            "parity": list(self.parity.parity) if self.parity else [],
            "sum": [*added.weights, added.modulus, added.residue] if added else [],
            "stop_rate": self.stop_rate,
            "wrong_rate": self.wrong_rate,
        }

    @classmethod
    def from_json(cls, state: PatternJSON) -> Pattern:
        """Return the pattern that `to_json` described."""
        added, masks = state["sum"], state["masks"]
        return cls(
            state["arbitration_id"],
            state["period"],
            tuple(Counter(*c) for c in state["counters"]),
            ParityChecksum(tuple(masks), tuple(state["parity"])) if masks else None,
            SumChecksum(tuple(added[:-2]), added[-2], added[-1]) if added else None,
            state["stop_rate"],
            state["wrong_rate"],
        )


@dataclass(frozen=True, slots=True)
class PatternTable:
    """Patterns as arrays, a row for each of K identifiers.

    Args:
        ids: (K,) uint32, ascending.
        period: (K,) seconds.
        shift: (K, F) uint64, counters, padded.
        mask: (K, F) uint64.
        modulus: (K, F) int64, 0 where there is no counter.
        masks: (K, 8) uint64, 0 where there is no such checksum.
        parity: (K, 8) uint8.
        weights: (K, 16) int64, all 0 where there is no such checksum.
        sums: (K, 2) modulus and residue.
        linear: (K,) which have a checksum linear over GF(2).
        added: (K,) which have one by addition.
        checked: (K,) which have any.
        stop_rate: (K,) the identifiers' own.
        wrong_rate: (K,) the identifiers' own.
    """

    ids: NDArray[np.uint32]
    period: NDArray[np.float64]
    shift: NDArray[np.uint64]
    mask: NDArray[np.uint64]
    modulus: Ints
    masks: NDArray[np.uint64]
    parity: NDArray[np.uint8]
    weights: Ints
    sums: Ints
    linear: Bools
    added: Bools
    checked: Bools
    stop_rate: NDArray[np.float64]
    wrong_rate: NDArray[np.float64]

    @classmethod
    def of(cls, patterns: Sequence[Pattern]) -> PatternTable:
        """Lay patterns out as arrays."""
        kinds = len(patterns)
        fields = max((len(p.counters) for p in patterns), default=0)
        shape = (kinds, max(fields, 1))
        table = cls(
            np.array([p.arbitration_id for p in patterns], np.uint32),
            np.array([p.period for p in patterns], np.float64),
            np.zeros(shape, np.uint64),
            np.zeros(shape, np.uint64),
            np.zeros(shape, np.int64),
            np.zeros((kinds, 8), np.uint64),
            np.zeros((kinds, 8), np.uint8),
            np.zeros((kinds, 16), np.int64),
            np.tile(np.array([1, 0]), (kinds, 1)),
            np.array([p.parity is not None for p in patterns], np.bool_),
            np.array([p.sum is not None for p in patterns], np.bool_),
            np.array([bool(p.parity or p.sum) for p in patterns], np.bool_),
            np.array([p.stop_rate for p in patterns], np.float64),
            np.array([p.wrong_rate for p in patterns], np.float64),
        )
        for row, pattern in enumerate(patterns):
            for place, counter in enumerate(pattern.counters):
                table.shift[row, place] = counter.shift
                table.mask[row, place] = counter.mask
                table.modulus[row, place] = counter.modulus
            if pattern.parity:
                table.masks[row] = np.array(pattern.parity.masks, np.uint64)
                table.parity[row] = pattern.parity.parity
            if pattern.sum:
                table.weights[row] = pattern.sum.weights
                table.sums[row] = pattern.sum.modulus, pattern.sum.residue
        return table

    def stopped(self, grouped: Grouped) -> tuple[Bools, Ints, Ints]:
        """Return (m,) whether no counter goes on, and the first counter's value and next value."""
        code = grouped.code
        modulus = self.modulus[code]
        there = modulus > 0
        base = np.maximum(modulus, 1)
        value = (grouped.word[:, None] >> self.shift[code] & self.mask[code]).astype(np.int64)
        before, step = value, np.zeros((len(value), 1), np.int64)
        goes_on = np.zeros(value.shape, np.bool_)
        for back in range(REACH, 0, -1):
            before, step = _back(value, back), self._periods(grouped, back)[:, None]
            goes_on |= grouped.shares(back)[:, None] & (value == (before + step) % base)
        goes_on |= value == (before + 1) % base
        goes_on &= (value != before) | (step >= base)
        judged = grouped.shares(1) & (step[:, 0] < _LONG) & there.any(axis=1)
        stopped: Bools = judged & ~(goes_on & there).any(axis=1)
        return stopped, value[:, 0], (before[:, 0] + step[:, 0]) % base[:, 0]

    def _periods(self, grouped: Grouped, back: int) -> Ints:
        """Return (m,) whole periods since the frame ``back`` places before, from 1 to `_LONG`."""
        elapsed = np.zeros(len(grouped.time))
        elapsed[back:] = grouped.time[back:] - grouped.time[:-back]
        periods = np.rint(elapsed / np.maximum(self.period[grouped.code], 1e-9))
        return np.clip(periods, 1, _LONG).astype(np.int64)

    def wrong(self, grouped: Grouped) -> Bools:
        """Return (m,) whether each checksum that the identifier has is wrong."""
        broken = np.zeros(len(grouped.code), np.bool_)
        row = np.flatnonzero(self.checked[grouped.code])
        if not len(row):
            return broken
        code, word = grouped.code[row], grouped.word[row]
        bits = np.bitwise_count(word[:, None] & self.masks[code]) & np.uint8(1)
        linear = (bits != self.parity[code]).any(axis=1)
        modulus, residue = self.sums[code].T
        added = (nibbles(word) * self.weights[code]).sum(axis=1) % modulus != residue
        broken[row] = (linear | ~self.linear[code]) & (added | ~self.added[code])
        return broken


def _back(values: Ints, places: int) -> Ints:
    """Return (m, F) the values ``places`` rows before; the first rows' own."""
    shifted = values.copy()
    shifted[places:] = values[:-places]
    return shifted
