"""What a payload model remembers of a stream: the last few frames of each identifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames

RECENT = 4
"""Frames of an identifier whose surprises are summed."""
REACH = 3
"""Frames before one that it is compared with."""
KEPT = RECENT - 1 + REACH
"""Frames of an identifier that a later frame's score depends on."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PayloadState:
    """The last frames of each known identifier, the latest at the end.

    Args:
        word: (K, KEPT) uint64 payloads.
        time: (K, KEPT) float64 seconds.
        held: (K,) how many of them there are.
    """

    word: NDArray[np.uint64]
    time: NDArray[np.float64]
    held: Ints

    @classmethod
    def empty(cls, kinds: int) -> PayloadState:
        """Return the state before the first frame."""
        shape = (kinds, KEPT)
        return cls(np.zeros(shape, np.uint64), np.zeros(shape), np.zeros(kinds, np.int64))


@dataclass(frozen=True, slots=True)
class Grouped:
    """Frames of known identifiers, those of one together and in order, after remembered ones.

    Args:
        code: (m,) positions of the identifier, ascending.
        word: (m,) payloads.
        time: (m,) seconds.
        row: (m,) where each stood among the frames; -1 for a remembered one.
    """

    code: Ints
    word: NDArray[np.uint64]
    time: NDArray[np.float64]
    row: Ints

    def shares(self, back: int) -> NDArray[np.bool_]:
        """Return (m,) whether the frame ``back`` places before has the same identifier."""
        same = np.zeros(len(self.code), np.bool_)
        same[back:] = self.code[back:] == self.code[:-back]
        return same


def group(frames: Frames, code: Ints, state: PayloadState) -> Grouped:
    """Group frames by ``code`` (n,), in which K stands for an unknown identifier."""
    kinds = len(state.held)
    row = np.flatnonzero(code < kinds)
    present = np.unique(code[row])
    age = np.arange(KEPT)
    remembered = age >= KEPT - state.held[present, None]
    before = np.repeat(present, state.held[present])
    word = np.ascontiguousarray(frames.payload).view("<u8").ravel()
    joined = np.concatenate([before, code[row]])
    order = np.argsort(joined, kind="stable")
    return Grouped(
        joined[order],
        np.concatenate([state.word[present][remembered], word[row]])[order],
        np.concatenate([state.time[present][remembered], frames.timestamp[row]])[order],
        np.concatenate([np.full(len(before), -1), row])[order],
    )


def remember(grouped: Grouped, state: PayloadState) -> PayloadState:
    """Return the state after the frames of ``grouped``."""
    if not len(grouped.code):
        return state
    last = np.flatnonzero(np.append(grouped.code[1:] != grouped.code[:-1], True))
    first = np.append(0, last[:-1] + 1)
    code = grouped.code[last]
    place = np.maximum(last[:, None] - np.arange(KEPT)[::-1], first[:, None])
    word, time, held = state.word.copy(), state.time.copy(), state.held.copy()
    word[code], time[code] = grouped.word[place], grouped.time[place]
    held[code] = np.minimum(last - first + 1, KEPT)
    return PayloadState(word, time, held)
