"""From spike times and frame times to counts a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.neural.sessions.session import Floats, Ints

Double = NDArray[np.float64]
GAP = 1.5
"""Frame intervals, as multiples of the median, from which the stimulus is said to have paused."""


def frame_bounds(times: Double) -> tuple[Double, Ints]:
    """Return (T,) the end of each frame, and the stretch without a pause that it belongs to.

    A frame ends when the next one begins; before a pause, and at the end, after the median
    interval.

    Args:
        times: (T,) when each frame began, ascending, in seconds.
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 1.0
    pauses = steps > GAP * usual
    ends = np.append(np.where(pauses, times[:-1] + usual, times[1:]), times[-1] + usual)
    trial = np.concatenate([[0], np.cumsum(pauses)]).astype(np.int64)
    return ends, trial


def spike_counts(spikes: Sequence[Double], times: Double, ends: Double) -> Floats:
    """Return (T, N) spikes from each frame's beginning to before its end.

    Args:
        spikes: Times of each unit's spikes, in any order, in seconds.
        times: (T,) when each frame began.
        ends: (T,) when it ended.
    """
    columns = []
    for unit in spikes:
        ordered = np.sort(unit)
        columns.append(np.searchsorted(ordered, ends) - np.searchsorted(ordered, times))
    return np.stack(columns, axis=1).astype(np.float32)
