"""`Latencies`: percentiles of any number of durations, in bounded memory."""

from __future__ import annotations

import math

import numpy as np

_SHORTEST, _STEP, _BINS = 1e-6, math.log(1.01), 2100


class Latencies:
    """Counts durations in bins a hundredth apart, from a microsecond to twenty minutes."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a duration, ``count`` times."""
        place = int(math.log(max(seconds, _SHORTEST) / _SHORTEST) / _STEP)
        self._counts[min(place, _BINS - 1)] += count

    def percentile(self, p: float) -> float | None:
        """Return the duration in seconds that ``p`` % don't exceed, 1 % at most too long."""
        total = int(self._counts.sum())
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(self._counts), total * p / 100))
        return _SHORTEST * math.exp(_STEP * (place + 1))
