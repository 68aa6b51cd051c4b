"""Attacks as events, alarms as episodes: what was found, how soon, at what cost in false alarms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.alarms import Bools, Ints, follows
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.scratch import blocks

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AttackEvents:
    """The attacks on one capture.

    Args:
        intervals: (n, 2) seconds: the first and the last moment of each, first <= last.
        derived: Whether they were inferred from the traffic, not read from labels.
    """

    intervals: Floats
    derived: bool = False

    def __len__(self) -> int:
        return len(self.intervals)


@dataclass(frozen=True, slots=True)
class WindowTimes:
    """When each judged window of a capture was.

    Args:
        number: (W,) numbers of windows in their capture, ascending.
        start: (W,) seconds, of the first frame.
        end: (W,) seconds, of the last frame.
        seconds: (W,) how much time each stands for; of windows that overlap, stride over window of
            their length.
    """

    number: Ints
    start: Floats
    end: Floats
    seconds: Floats

    def under(self, events: AttackEvents) -> Bools:
        """Return (W,) whether any event reaches into each window."""
        starts, ends = np.sort(events.intervals[:, 0]), np.sort(events.intervals[:, 1])
        begun = np.searchsorted(starts, np.maximum(self.start, self.end), side="right")
        reached: Bools = begun > np.searchsorted(ends, self.start, side="left")
        return reached


@dataclass(frozen=True, slots=True)
class EventScores:
    """What one detector made of the attacks on some captures, and of the time without attack.

    Time without attack is that of the windows into which no event reaches; windows between two
    attack frames of one event are not part of it. A false episode is a run of consecutive
    alarming windows that begins in time without attack, however long it lasts. An alarm that
    begins in an attack and outlasts it is no false episode; its time counts as alarm time.

    Args:
        events: Attacks that reach into a judged window.
        derived: How many of these were inferred, not labelled.
        delays: (d,) seconds to the detection of each that was found: from its first attack frame,
            or from the beginning of the judged time if that is later, to the end of the first
            alarming window into which it reaches.
        episodes: False episodes.
        free_seconds: Time without attack.
        alarm_seconds: How much of it was under alarm.
    """

    events: int
    derived: int
    delays: Floats
    episodes: int
    free_seconds: float
    alarm_seconds: float

    @staticmethod
    def join(parts: Sequence[EventScores]) -> EventScores:
        """Add up several captures."""
        return EventScores(
            sum(p.events for p in parts),
            sum(p.derived for p in parts),
            np.concatenate([p.delays for p in parts]),
            sum(p.episodes for p in parts),
            sum(p.free_seconds for p in parts),
            sum(p.alarm_seconds for p in parts),
        )

    def metrics(self) -> dict[str, float]:
        """Scores of these events; one whose denominator is empty is left out.

        ``event_recall`` is the share of events found; ``time_to_detection`` and its ``_p95`` are
        median and 95th percentile of the delays in seconds; ``false_alarm_episodes_per_hour``
        counts false episodes in an hour without attack, ``alarm_duty`` is the share of that time
        under alarm. ``events`` are counted, and ``derived_events`` where there are any.
        """
        found: dict[str, float] = {"events": self.events}
        if self.derived:
            found["derived_events"] = self.derived
        if self.events:
            found["event_recall"] = len(self.delays) / self.events
        if len(self.delays):
            found["time_to_detection"] = float(np.median(self.delays))
            found["time_to_detection_p95"] = float(np.quantile(self.delays, 0.95))
        if self.free_seconds:
            found["false_alarm_episodes_per_hour"] = self.episodes * 3600 / self.free_seconds
            found["alarm_duty"] = self.alarm_seconds / self.free_seconds
        return found


def _in_blocks(frames: Frames) -> Iterator[Frames]:
    """Yield a capture block by block, one of no frames at least."""
    yield frames[:0]
    yield from (frames[rows] for rows in blocks(len(frames)))


def labelled_events(frames: Frames, gap_seconds: float) -> AttackEvents:
    """Return the attacks that labels tell: attack frames joined over pauses below the gap.

    Args:
        frames: One capture, or the stretch of it that is judged.
        gap_seconds: Two attack frames this far apart, or further, belong to two events.
    """
    times = np.sort(
        np.concatenate([part.timestamp[part.label == ATTACK] for part in _in_blocks(frames)])
    )
    if not len(times):
        return AttackEvents(np.zeros((0, 2)))
    cut = np.flatnonzero(np.diff(times) >= gap_seconds)
    first, last = np.append(0, cut + 1), np.append(cut, len(times) - 1)
    return AttackEvents(np.stack([times[first], times[last]], axis=1))


def score_events(alarm: Bools, windows: WindowTimes, events: AttackEvents) -> EventScores:
    """Score the alarms on one capture's windows against its attacks.

    Args:
        alarm: (W,) whether each window is under alarm.
        windows: (W,) when they were.
        events: The attacks; those that reach into no window are not counted.
    """
    seconds = windows.seconds.clip(min=0)
    free = ~windows.under(events)
    begins = alarm & ~(follows(windows.number) & np.append(False, alarm)[:-1])
    judged, _ = _first_reached(events.intervals, windows.start, windows.end)
    intervals = events.intervals[judged]
    found, at = _first_reached(intervals, windows.start[alarm], windows.end[alarm])
    begun = np.maximum(intervals[found, 0], windows.start.min(initial=np.inf))
    return EventScores(
        events=len(intervals),
        derived=len(intervals) if events.derived else 0,
        delays=windows.end[alarm][at] - begun,
        episodes=int((begins & free).sum()),
        free_seconds=float(seconds[free].sum()),
        alarm_seconds=float(seconds[free & alarm].sum()),
    )


def _first_reached(intervals: Floats, start: Floats, end: Floats) -> tuple[Bools, Ints]:
    """Return (n,) which events reach into a window, and for those the first such window.

    A logger's clock may step back a little, so a window's end is taken as the latest so far.
    """
    latest = np.maximum.accumulate(end)
    at = np.searchsorted(latest, intervals[:, 0], side="left")
    reached = at < len(end)
    reached[reached] = start[at[reached]] <= intervals[reached, 1]
    return reached, at[reached].astype(np.int64)
