"""`IdSequences`: a capture's frames grouped by identifier, with grouped medians over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import id_codes

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class IdSequences:
    """Frames of known identifiers, grouped by key and in time order within it.

    Args:
        key: (n,) groups, ascending: capture and identifier.
        code: (n,) positions of the identifier.
        time: (n,) seconds.
        word: (n,) the payload as one little-endian number.
        row: (n,) where each stood in the captures, laid end to end.
    """

    key: Ints
    code: Ints
    time: Floats
    word: Words
    row: Ints

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def group(cls, captures: Sequence[Frames], ids: NDArray[np.uint32]) -> IdSequences:
        """Group the frames whose identifier is one of the ascending ``ids`` (K,)."""
        frames = captures[0] if len(captures) == 1 else Frames.concatenate(captures)
        lengths = [len(c) for c in captures]
        code = id_codes(frames.arbitration_id, ids)
        key = np.repeat(np.arange(len(captures)) * len(ids), lengths) + code
        order = np.lexsort((frames.timestamp, key))
        order = order[code[order] < len(ids)]
        word = np.ascontiguousarray(frames.payload).view("<u8").ravel()
        time = frames.timestamp[order]
        return cls(key[order], code[order], time, word[order], order.astype(np.int64))

    def keep(self, mask: Bools) -> IdSequences:
        """Return the frames where ``mask`` (n,) holds."""
        return IdSequences(
            self.key[mask], self.code[mask], self.time[mask], self.word[mask], self.row[mask]
        )

    def inner(self) -> Bools:
        """Return (n - 2,) whether the frames before and after each inner one share its key."""
        shares: Bools = self.key[2:] == self.key[:-2]
        return shares

    def gaps(self) -> tuple[Floats, Floats]:
        """Return the seconds since the frame before, and until the one after, infinite at ends."""
        before, after = np.full(len(self), np.inf), np.full(len(self), np.inf)
        gap = np.where(self.key[1:] == self.key[:-1], np.diff(self.time), np.inf)
        before[1:] = after[:-1] = gap
        return before, after

    def isolated_bits(self) -> Ints:
        """Return (n,) how many bits differ from both neighbours, which agree on them; 0 at ends."""
        bits = np.zeros(len(self), np.int64)
        hop = self.word[1:] ^ self.word[:-1]
        bits[1:-1] = np.where(self.inner(), np.bitwise_count(hop[1:] & hop[:-1]), 0)
        return bits

    def hop(self) -> Ints:
        """Return (n,) the larger number of bits by which each differs from a neighbour."""
        step = np.bitwise_count(self.word[1:] ^ self.word[:-1]).astype(np.int64)
        larger = np.zeros(len(self), np.int64)
        larger[1:] = np.where(self.key[1:] == self.key[:-1], step, 0)
        larger[:-1] = np.maximum(larger[:-1], larger[1:])
        return larger


def median_of_each(values: Floats, code: Ints, kinds: int) -> Floats:
    """Return the (kinds,) median of ``values`` (n,) of each code; 0 where it has fewer than two."""
    ordered = values[np.lexsort((values, code))]
    count = np.bincount(code, minlength=kinds)
    first = np.cumsum(count) - count
    some = count >= 2
    median = np.zeros(kinds)
    low, high = (first + (count - 1) // 2)[some], (first + count // 2)[some]
    median[some] = (ordered[low] + ordered[high]) / 2.0
    return median


def median_gaps(sequences: IdSequences, kinds: int) -> Floats:
    """Return the (kinds,) median gap of each identifier; 0 where it has fewer than two gaps."""
    within = sequences.key[1:] == sequences.key[:-1]
    return median_of_each(np.diff(sequences.time)[within], sequences.code[1:][within], kinds)
