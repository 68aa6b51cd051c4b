"""k-of-n alarms: an alarm when at least k of the last n windows are over the threshold."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 22

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def follows(number: Ints) -> Bools:
    """Return (W,) whether each window is the next one after the window before it.

    Args:
        number: (W,) numbers of windows in their capture, ascending.
    """
    after = np.zeros(len(number), np.bool_)
    after[1:] = np.diff(number) == 1
    return after


def k_of_n(over: Bools, number: Ints, k: int, n: int) -> Bools:
    """Return (W,) whether at least k of each window and the n - 1 before it are over the threshold.

    Only the past counts. Where windows were left out, counting starts anew.

    Args:
        over: (W,) whether each window is over the threshold.
        number: (W,) numbers of windows in their capture, ascending.
        k: Windows needed, 1 up to n.
        n: Windows looked at.
    """
    total = np.concatenate([[0], np.cumsum(over)])
    oldest = np.maximum(np.arange(len(over)) - n + 1, _first(number))
    alarm: Bools = total[1:] - total[oldest] >= k
    return alarm


class RecentAlarms:
    """`k_of_n` of consecutive windows that come one after the other.

    Args:
        k: Windows needed, 1 up to n.
        n: Windows looked at.
    """

    def __init__(self, k: int, n: int) -> None:
        self._k, self._recent, self._count = k, deque([False] * n, n), 0

    def alarms(self, over: Bools) -> Bools:
        """Return (W,) whether at least k of the last n windows are over, for the next windows."""
        found = []
        for one in over.tolist():
            self._count += one - self._recent[0]
            self._recent.append(one)
            found.append(self._count >= self._k)
        return np.array(found, np.bool_)


def kth_largest(score: NDArray[np.float32], number: Ints, k: int, n: int) -> NDArray[np.float32]:
    """Return (W,) the k-th largest score of each window and the n - 1 before it.

    It is over a threshold exactly where `k_of_n` finds an alarm; -inf before there are k windows.

    Args:
        score: (W,) scores.
        number: (W,) numbers of windows in their capture, ascending.
        k: Windows needed, 1 up to n.
        n: Windows looked at.
    """
    if n == 1:
        return score
    result, first, back = np.empty_like(score), _first(number), np.arange(n)
    step = max(1, _CHUNK // n)
    for start in range(0, len(score), step):
        rows = np.arange(start, min(start + step, len(score)))
        row = rows[:, None] - back
        past = np.where(row >= first[rows, None], score[np.maximum(row, 0)], np.float32(-np.inf))
        result[rows] = np.partition(past, n - k, axis=1)[:, n - k]
    return result


def _first(number: Ints) -> Ints:
    """Return (W,) where the run of consecutive windows that holds each one begins."""
    starts = np.where(follows(number), 0, np.arange(len(number)))
    first: Ints = np.maximum.accumulate(starts)
    return first
