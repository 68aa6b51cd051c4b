"""Traffic that stands in two captures: the same frames in order, whatever the clock said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.frames import Frames

SEQUENCE = 8
"""Frames in a row whose ids and payloads have to agree."""
LIMIT = 0.05
"""Share of common sequences above which two captures are the same drive."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(6364136223846793005)


def sequence_hashes(frames: Frames) -> NDArray[np.uint64]:
    """Return the sorted distinct hashes of every `SEQUENCE` consecutive ids and payloads.

    Time is left out: captures made of another one often have their clock shifted.
    """
    payload = np.ascontiguousarray(frames.payload).view(np.uint64).ravel()
    frame = (frames.arbitration_id.astype(np.uint64) * _MIX) ^ payload
    frame = (frame ^ (frame >> np.uint64(31))) * _MIX
    frame ^= frame >> np.uint64(29)
    count = max(0, len(frame) - SEQUENCE + 1)
    state = np.zeros(count, np.uint64)
    for place in range(SEQUENCE):
        state = state * _STEP + frame[place : place + count]
    return np.unique(state)


def common_share(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> float:
    """Return the share of ``hashes`` that also stand in ``others``; both sorted and distinct."""
    if not len(hashes):
        return 0.0
    return float(np.isin(hashes, others, assume_unique=True).mean())


def shared_captures(
    training: Sequence[Capture], tests: Sequence[Capture]
) -> list[tuple[Capture, Capture, float]]:
    """Return each training capture that shares over `LIMIT` of its sequences with a test capture.

    Each comes with the test capture that it shares most with, and the share.
    """
    tested = [(test, sequence_hashes(test.frames)) for test in tests]
    found = []
    for capture in training if tested else ():
        mine = sequence_hashes(capture.frames)
        shares = [(common_share(mine, theirs), test) for test, theirs in tested]
        share, test = max(shares, key=lambda item: item[0])
        if share > LIMIT:
            found.append((capture, test, share))
    return found
