"""Intervals in which a regular identifier is missing: labels derived where a capture has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.absence_state import NANO, AbsenceState, Visits, bus_clock
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import each_window, id_codes

_FEWEST = 32
"""Frames of an identifier from which its regularity can be told."""
_REGULAR = 2.5
"""Periods within which a regular identifier's frames follow each other."""
_SILENT = 10.0
"""Periods from which on a regular identifier is missing."""
_RARE = 0.01
"""Share of an identifier's gaps that may be silences, if it is to be regular."""
_PAUSE = 100.0
"""Median gaps between any frames after which the whole bus, or its logger, pauses."""


@dataclass(frozen=True, slots=True)
class Silence:
    """An interval in which an identifier was missing; derived from the frames, not labelled.

    Args:
        arbitration_id: The identifier.
        start: When its first missing frame was due, seconds on the capture's clock.
        end: When it came again, or the capture ended.
    """

    arbitration_id: int
    start: float
    end: float


def derive_silences(frames: Frames) -> list[Silence]:
    """Return the silences of regular identifiers, by beginning, from the whole capture.

    A regular identifier's gaps stay within 2.5 of its median gap, but for the rare one of ten or
    more. What an identifier missing from the first frame to the last is can't be derived. These
    intervals look ahead: they are for scoring a detector, never for tuning one.
    """
    if not len(frames):
        return []
    ids = np.unique(frames.arbitration_id)
    reached = np.maximum.accumulate(frames.timestamp)
    pause = int(np.median(np.diff(reached, prepend=reached[0])) * _PAUSE * NANO) + 1
    state = AbsenceState.empty(len(ids))
    clock, _ = bus_clock(frames.timestamp, state, pause)
    visits = Visits.of(id_codes(frames.arbitration_id, ids), clock, state)
    until = np.append(clock, clock[-1])[visits.next_row(len(clock))]
    bounds = np.searchsorted(visits.code, np.arange(len(ids) + 1))
    found = []
    for place, (low, high) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        gap = until[low:high] - visits.clock[low:high]
        period = float(np.median(gap))
        silent = gap > _SILENT * period
        uneven = gap[~silent].max(initial=0) > _REGULAR * period
        if high - low < _FEWEST or uneven or silent.sum() > max(1.0, _RARE * (high - low)):
            continue
        ends = np.minimum(visits.next_row(len(clock))[low:high][silent], len(clock) - 1)
        starts = reached[visits.row[low:high][silent]] + period / NANO
        found += [
            Silence(int(ids[place]), float(start), float(end))
            for start, end in zip(starts, reached[ends], strict=True)
        ]
    return sorted(found, key=lambda s: (s.start, s.arbitration_id))


def silent_windows(
    frames: Frames, silences: Sequence[Silence], window: int, stride: int
) -> NDArray[np.bool_]:
    """Return (W,) whether a silence overlaps each window: derived labels, to be called so."""
    reached = np.maximum.accumulate(frames.timestamp) if len(frames) else frames.timestamp
    times = each_window(reached, window, stride)
    silent = np.zeros(len(times), np.bool_)
    for silence in silences:
        silent |= (times[:, 0] < silence.end) & (times[:, -1] >= silence.start)
    return silent
