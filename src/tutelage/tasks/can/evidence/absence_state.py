"""What an absence monitor remembers of a stream, and the clock by which it counts silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

NANO = 1_000_000_000
RECENT_GAPS = 8
"""Gaps between an identifier's last frames: another one as long is no surprise."""

Ints = NDArray[np.int64]


class AbsenceJSON(TypedDict):
    """`AbsenceMonitor` as plain JSON."""

    ids: list[int]
    unit: list[int]
    longest: list[int]
    first: list[int]
    further: list[int]
    pause: int


@dataclass(frozen=True, slots=True)
class AbsenceState:
    """When each known identifier was last seen, by the bus clock.

    Args:
        latest: The latest timestamp so far, seconds; minus infinity before the first frame.
        clock: Nanoseconds that the bus has been active.
        seen: (K, RECENT_GAPS + 1) clock at each identifier's last frames, the latest at the end;
            -1 before its first.
    """

    latest: float
    clock: int
    seen: Ints

    @classmethod
    def empty(cls, kinds: int) -> AbsenceState:
        """Return the state before the first frame."""
        return cls(-np.inf, 0, np.full((kinds, RECENT_GAPS + 1), -1, np.int64))


def bus_clock(
    timestamp: NDArray[np.float64], state: AbsenceState, pause: int
) -> tuple[Ints, float]:
    """Return (n,) nanoseconds of bus activity at each frame, and the latest timestamp.

    A step back in time doesn't count, nor does what a pause of the whole bus lasts beyond
    ``pause`` nanoseconds: where nobody speaks, no identifier is missed.
    """
    reached = np.maximum.accumulate(np.concatenate([[state.latest], timestamp]))
    before = np.where(np.isfinite(reached[:-1]), reached[:-1], reached[1:])
    active = np.minimum(np.rint((reached[1:] - before) * NANO), pause).astype(np.int64)
    return state.clock + np.cumsum(active), float(reached[-1])


@dataclass(frozen=True, slots=True)
class Visits:
    """When known identifiers came, those of one together and in order, after remembered visits.

    Args:
        code: (m,) positions of the identifier, ascending.
        clock: (m,) nanoseconds.
        row: (m,) where each stands in the block; -1 before it.
    """

    code: Ints
    clock: Ints
    row: Ints

    @classmethod
    def of(cls, code: Ints, clock: Ints, state: AbsenceState) -> Visits:
        """Group a block's frames by ``code`` (n,), in which K stands for an unknown identifier."""
        row = np.flatnonzero(code < len(state.seen))
        known, place = np.nonzero(state.seen >= 0)
        joined = np.concatenate([known, code[row]])
        order = np.argsort(joined, kind="stable")
        return cls(
            joined[order],
            np.concatenate([state.seen[known, place], clock[row]])[order],
            np.concatenate([np.full(len(known), -1), row])[order],
        )

    def next_row(self, length: int) -> Ints:
        """Return (m,) where the identifier comes next in a block of ``length``; that if nowhere."""
        following = np.append(self.row[1:], length)
        another = np.append(self.code[1:] != self.code[:-1], True)
        return np.where(another, length, np.maximum(following, 0)).astype(np.int64)

    def longest_recent(self) -> Ints:
        """Return (m,) the longest of the last `RECENT_GAPS` gaps up to each visit; 0 of none."""
        gap = np.diff(self.clock, prepend=0)
        gap[np.append(True, self.code[1:] != self.code[:-1])[: len(gap)]] = 0
        longest = gap.copy()
        for back in range(1, RECENT_GAPS):
            same = self.code[back:] == self.code[:-back]
            longest[back:] = np.maximum(longest[back:], np.where(same, gap[:-back], 0))
        return longest

    def after(self, state: AbsenceState, latest: float, clock: int) -> AbsenceState:
        """Return the state after the block."""
        seen = state.seen.copy()
        if len(self.code):
            last = np.flatnonzero(np.append(self.code[1:] != self.code[:-1], True))
            first = np.append(0, last[:-1] + 1)
            place = last[:, None] - np.arange(RECENT_GAPS, -1, -1)
            there = place >= first[:, None]
            seen[self.code[last]] = np.where(there, self.clock[np.maximum(place, 0)], -1)
        return AbsenceState(latest, clock, seen)
