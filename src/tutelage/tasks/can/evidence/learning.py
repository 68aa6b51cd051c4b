"""Learning the structure of payloads, one identifier at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.tasks.can.evidence.checksums import find_parity_checksum, find_sum_checksum
from tutelage.tasks.can.evidence.counters import find_counters
from tutelage.tasks.can.evidence.patterns import Pattern
from tutelage.tasks.can.frames import Frames

_FEWEST = 32
"""Frames of an identifier below which nothing is said of its payload."""


def learn_patterns(captures: Sequence[Frames]) -> list[Pattern]:
    """Return a pattern for each identifier whose payload has a counter or a checksum, ascending."""
    sorted_captures = [_Sorted(capture) for capture in captures]
    ids = np.unique(np.concatenate([s.ids for s in sorted_captures]))
    found = []
    for identifier in ids.tolist():
        rows = [s.rows(identifier) for s in sorted_captures]
        parts = [c.word[r] for c, r in zip(sorted_captures, rows, strict=True) if len(r)]
        if sum(map(len, parts)) < _FEWEST:
            continue
        gaps = [np.diff(s.time[r]) for s, r in zip(sorted_captures, rows, strict=True)]
        words = np.concatenate(parts)
        length = max(s.length(r) for s, r in zip(sorted_captures, rows, strict=True))
        pattern = Pattern(
            identifier,
            float(np.median(np.concatenate(gaps))),
            tuple(find_counters(parts)),
            find_parity_checksum(words, length),
            find_sum_checksum(words, length),
        )
        if pattern.counters or pattern.parity or pattern.sum:
            found.append(pattern)
    return found


class _Sorted:
    """A capture's frames by identifier."""

    def __init__(self, frames: Frames) -> None:
        self.order = np.argsort(frames.arbitration_id, kind="stable")
        self.sorted_ids = frames.arbitration_id[self.order]
        self.ids = np.unique(self.sorted_ids)
        self.word = np.ascontiguousarray(frames.payload).view("<u8").ravel()
        self.time = frames.timestamp
        self.dlc = frames.dlc

    def rows(self, identifier: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return where the identifier's frames stand, in order."""
        low, high = np.searchsorted(self.sorted_ids, [identifier, identifier + 1])
        return self.order[low:high]

    def length(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
        """Return the longest payload of some frames in octets; 0 of none."""
        return int(self.dlc[rows].max(initial=0))
