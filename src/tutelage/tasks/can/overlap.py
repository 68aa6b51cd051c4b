"""Traffic that stands in two captures: the same frames in order, whatever the clock said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.scratch import ROWS, blocks, zeros

SEQUENCE = 8
"""Frames in a row whose ids and payloads have to agree."""
LIMIT = 0.05
"""Share of common sequences above which two captures are the same drive."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(6364136223846793005)


@dataclass(frozen=True, slots=True)
class Shared:
    """Traffic of a training capture of n frames that also stands in test captures.

    Args:
        capture: The training capture.
        test: The test capture that it shares most with.
        share: Share of its sequences that stand in that one.
        repeats: (n - SEQUENCE + 1,) whether the sequence that starts at a frame stands in any test
            capture of the same drive.
    """

    capture: Capture
    test: Capture
    share: float
    repeats: NDArray[np.bool_]

    @property
    def says(self) -> str:
        """How much stands where, in words."""
        share = f"{self.share:.0%}" if self.share >= 0.1 else f"{self.share:.1%}"
        return f"{share} of its traffic also stands in {self.test.label}"


def _hashes(frames: Frames, rows: int = ROWS) -> NDArray[np.uint64]:
    """Return (n - SEQUENCE + 1,) the hash of the ids and payloads from each frame on.

    Args:
        frames: n frames.
        rows: Of how many it is computed at once.
    """
    found: NDArray[np.uint64] = zeros(max(0, len(frames) - SEQUENCE + 1), np.uint64)
    for part in blocks(len(found), rows):
        found[part] = _hashed(frames[part.start : part.stop + SEQUENCE - 1])
    return found


def _hashed(frames: Frames) -> NDArray[np.uint64]:
    payload = np.ascontiguousarray(frames.payload).view(np.uint64).ravel()
    frame = (frames.arbitration_id.astype(np.uint64) * _MIX) ^ payload
    frame = (frame ^ (frame >> np.uint64(31))) * _MIX
    frame ^= frame >> np.uint64(29)
    count = max(0, len(frame) - SEQUENCE + 1)
    state = np.zeros(count, np.uint64)
    for place in range(SEQUENCE):
        state = state * _STEP + frame[place : place + count]
    return state


def sequence_hashes(frames: Frames) -> NDArray[np.uint64]:
    """Return the sorted distinct hashes of every `SEQUENCE` consecutive ids and payloads.

    Time is left out: captures made of another one often have their clock shifted.
    """
    return _distinct(_hashes(frames))


def _distinct(values: NDArray[np.uint64], rows: int = ROWS) -> NDArray[np.uint64]:
    """Sort values in place; return those that differ, in the same memory."""
    values.sort()
    count = 0
    for part in blocks(len(values), rows):
        some = values[part]
        first = np.append(not count or some[0] != values[count - 1], some[1:] != some[:-1])
        kept = some[first]
        values[count : count + len(kept)] = kept
        count += len(kept)
    return values[:count]


def _stand_in(
    values: NDArray[np.uint64], others: NDArray[np.uint64], found: NDArray[np.bool_]
) -> None:
    """Note in ``found`` (n,) which ``values`` (n,) stand in ``others`` (m,), which ascend."""
    for part in blocks(len(values)) if len(others) else ():
        place = np.minimum(np.searchsorted(others, values[part]), len(others) - 1)
        found[part] |= others[place] == values[part]


def common_share(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> float:
    """Return the share of ``hashes`` that also stand in ``others``; both sorted and distinct."""
    if not len(hashes):
        return 0.0
    found: NDArray[np.bool_] = zeros(len(hashes), np.bool_)
    _stand_in(hashes, others, found)
    return float(np.count_nonzero(found) / len(hashes))


def shared_captures(training: Sequence[Capture], tests: Sequence[Capture]) -> list[Shared]:
    """Return each training capture that is of the same drive as a test capture.

    They are when they share over `LIMIT` of the sequences of the one with fewer: a short test
    capture may be a small part of a long training capture.
    """
    tested = [(test, sequence_hashes(test.frames)) for test in tests]
    found = []
    for capture in training if tested else ():
        mine = sequence_hashes(capture.frames)
        same = [
            (common_share(mine, theirs), test, theirs)
            for test, theirs in tested
            if common_share(*sorted((mine, theirs), key=len)) > LIMIT
        ]
        if same:
            share, test, _ = max(same, key=lambda item: item[0])
            own = _hashes(capture.frames)
            repeats: NDArray[np.bool_] = zeros(len(own), np.bool_)
            for *_, theirs in same:
                _stand_in(own, theirs, repeats)
            found.append(Shared(capture, test, share, repeats))
    return found


def overlapping_captures(captures: Sequence[Capture]) -> list[tuple[Capture, Capture, float]]:
    """Return each capture that holds the traffic of another one that is kept before it.

    Of two captures that share over `LIMIT` of the sequences of the one with fewer, the one named
    for validation is kept, else the longer, else the first. Each capture left out comes with the
    kept one that it shares most with, and the share.
    """
    if len(captures) < 2:
        return []
    order = sorted(captures, key=lambda c: (not c.validates, -len(c.frames)))
    kept: list[tuple[Capture, NDArray[np.uint64]]] = []
    left_out = []
    for capture in order:
        mine = sequence_hashes(capture.frames)
        shares = [
            (common_share(*sorted((mine, theirs), key=len)), position)
            for position, (_, theirs) in enumerate(kept)
        ]
        share, position = max(shares, default=(0.0, 0), key=lambda item: item[0])
        if share > LIMIT:
            left_out.append((capture, kept[position][0], share))
        else:
            kept.append((capture, mine))
    return left_out
