"""`Limits` and `Ration`: what an alarm takes, and one budget of false alarms for all detectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.chance import student_t
from tutelage.tasks.can.evidence import Monitors

_TAIL = 0.1
"""Share of the beginning's highest scores that tell how its tail falls off."""
_DEVIATIONS = 1.2816
"""The same quantile of a normal distribution lies so many standard deviations above its middle."""

Scores = NDArray[np.float32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """What it takes for an alarm.

    Args:
        middle: The learned detector's median score of the beginning.
        learned: Its score above which it alarms.
        level: The monitors' score above which they alarm.
        per_hour: False alarms an hour that the learned detector may have.
    """

    middle: float
    learned: float
    level: float
    per_hour: float

    @classmethod
    def of(
        cls,
        beginning: Floats,
        start: Floats,
        end: Floats,
        threshold: float,
        per_hour: float,
        monitors: Monitors,
    ) -> Limits:
        """Share the budget out evenly: to the learned detector, and to each of the monitors.

        The learned detector's limit comes from its scores of the beginning: the larger of what
        their tail and what their spread lead to expect.

        Args:
            beginning: (B,) scores of the beginning's windows.
            start: (B,) seconds at which these begin.
            end: (B,) seconds at which they end.
            threshold: The score above which it alarms without calibration.
            per_hour: False alarms an hour that all detectors may have together.
            monitors: The label-free ones.
        """
        own = per_hour / (monitors.DETECTORS + 1)
        seconds = float(end.max() - start.min())
        share = own / (3600.0 * len(beginning) / max(seconds, 1e-3))
        expected = max(_tail_limit(beginning, share), _spread_limit(beginning, share))
        level = monitors.level(per_hour - own)
        return cls(float(np.median(beginning)), max(threshold, expected), level, own)


class Ration:
    """Judges windows by model and monitors together, in order of time, within the budget.

    An alarm of the learned detector that no monitor confirms may be false. One is let through from
    the start, and then as many more as its share of the budget allows in the time that has gone by:
    where its noise would eat up the budget, it falls silent, and the monitors are heard alone.

    Args:
        limits: What it takes for an alarm.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._began = np.nan
        self._latest = -np.inf
        self._let_through = 0

    def together(self, learned: Floats, monitored: Scores, time: Floats) -> Scores:
        """Return (T,) the larger of both scores, each in units of what it takes for an alarm.

        Where the learned detector is over its limit and out of its ration, its score is 1, which is
        no alarm.

        Args:
            learned: (T,) scores of the learned detector for the next windows.
            monitored: (T,) scores of the monitors.
            time: (T,) seconds at which these windows end.
        """
        limits = self.limits
        excess = (learned - limits.middle) / max(limits.learned - limits.middle, 1e-6)
        certain = monitored / limits.level
        lone = (excess > 1.0) & ~(certain > 1.0)
        excess = np.where(lone & ~self._granted(lone, time), 1.0, excess)
        both: Scores = np.maximum(excess, certain).astype(np.float32)
        return both

    def _granted(self, lone: Bools, time: Floats) -> Bools:
        """Return (T,) which of the unconfirmed alarms ``lone`` the ration allows."""
        granted = np.zeros(len(time), np.bool_)
        if not len(time):
            return granted
        clock = np.maximum(np.maximum.accumulate(time), self._latest)
        self._latest = float(clock[-1])
        if np.isnan(self._began):
            self._began = float(clock[0])
        asked = np.flatnonzero(lone)
        at = int(np.searchsorted(clock[asked], self._due))
        while at < len(asked):  # once for each alarm that is let through
            granted[asked[at]] = True
            self._let_through += 1
            at = max(at + 1, int(np.searchsorted(clock[asked], self._due)))
        return granted

    @property
    def _due(self) -> float:
        """When the next one may be let through, in seconds."""
        return self._began + 3600.0 * self._let_through / self.limits.per_hour


def _tail_limit(scores: Floats, share: float) -> float:
    """Return what a share of scores too small to be seen is expected to exceed.

    Above a high quantile scores are taken to fall off exponentially (Pickands 1975), at the pace of
    those seen. An attack among them raises the limit.
    """
    high = float(np.quantile(scores, 1.0 - _TAIL))
    pace = float((scores[scores >= high] - high).mean())
    return high + pace * max(0.0, float(np.log(_TAIL / share)))


def _spread_limit(scores: Floats, share: float) -> float:
    """Return what a share of further scores is expected to exceed, if they are about normal.

    Student's prediction interval (1908), from the median and a high quantile: with few scores,
    whose tail nobody knows, it is wide.
    """
    middle, high = (float(np.quantile(scores, q)) for q in (0.5, 1.0 - _TAIL))
    deviation = (high - middle) / _DEVIATIONS
    within = max(0.0, 1.0 - 2.0 * share)
    wide = student_t(max(1, len(scores) - 1), within) * np.sqrt(1.0 + 1.0 / len(scores))
    return middle + float(wide) * deviation
