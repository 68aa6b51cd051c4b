"""The absence monitor: alarms when an identifier that comes regularly falls silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.absence_state import (
    NANO,
    AbsenceJSON,
    AbsenceState,
    Visits,
    bus_clock,
)
from tutelage.tasks.can.evidence.detector import StreamDetector
from tutelage.tasks.can.evidence.surprise import LARGEST, MILLI, Evidence, Feature, thousandths
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import PREFIX_SECONDS, id_codes

_MISSED = 1.5
"""Periods beyond which a frame has been missed."""
_RARE = 0.01
"""Share of an identifier's gaps that may be set aside as silences of an attack."""
_SILENCE = 10.0
"""Periods from which a gap may be set aside so."""
_FEWEST = 8
"""Gaps of an identifier below which nothing is said of its silence."""
_HOLD = int(PREFIX_SECONDS * NANO)
"""A silence that outlasts what calibration looks at is the new normal, and no alarm any more."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class AbsenceMonitor(StreamDetector[AbsenceState]):
    """Score frames by the identifiers that should have come before them and didn't.

    An identifier is expected once it was seen in the stream. Its silence is surprising when it
    outlasts both the longest in calibration and those between its own last frames, so a rate that
    changes surprises once. -log10 of its probability is log10 of the gaps in calibration, which
    none was longer of, and for each further unit -log10 of how often a frame was missed there.
    The unit is a period, or for irregular identifiers the longest gap beyond one.
    Every frame meanwhile carries the largest surprise of all silent identifiers, for ten seconds
    at most. Time is that of the bus: pauses of all identifiers together don't count. Scores depend
    on past frames only: a stream cut into pieces gets the same.

    Args:
        ids: The known identifiers, ascending.
        unit: Of each, in nanoseconds; 0 where it isn't judged.
        longest: Longest benign gap of each, in nanoseconds.
        first: Surprise of a longer gap, in thousandths.
        further: Surprise of each further unit, in thousandths.
        pause: Longest gap between any two frames on the bus, in nanoseconds.
    """

    ids: tuple[int, ...]
    unit: tuple[int, ...]
    longest: tuple[int, ...]
    first: tuple[int, ...]
    further: tuple[int, ...]
    pause: int

    @classmethod
    def learn(cls, traffic: Sequence[Frames], unread: bool) -> Self:
        """Learn how long silences are; of an unread stretch, rare long ones are set aside."""
        ids = np.unique(np.concatenate([np.unique(c.arbitration_id) for c in traffic]))
        pause = max(_longest_pause(c) for c in traffic)
        gaps = [_gaps(c, ids, pause) for c in traffic]
        code, gap = (np.concatenate([g[part] for g in gaps]) for part in range(2))
        order = np.lexsort((gap, code))
        bounds = np.searchsorted(code[order], np.arange(len(ids) + 1))
        learnt = [
            _expectation(gap[order[low:high]], _RARE if unread else 0.0)
            for low, high in zip(bounds[:-1], bounds[1:], strict=True)
        ]
        unit, longest, first, further = zip(*learnt, strict=True)
        return cls(tuple(ids.tolist()), unit, longest, first, further, pause)

    def start(self) -> AbsenceState:
        """Return the state before a stream's first frame."""
        return AbsenceState.empty(len(self.ids))

    def score_block(self, frames: Frames, state: AbsenceState) -> tuple[Evidence, AbsenceState]:
        """Score frames by the identifiers that are silent."""
        clock, latest = bus_clock(frames.timestamp, state, self.pause)
        ids, units, longest, first, furthers = self._columns
        visits = Visits.of(id_codes(frames.arbitration_id, ids), clock, state)
        bound = np.maximum(longest[visits.code], visits.longest_recent())
        unit = units[visits.code]
        visit, row = _late_rows(clock, visits, bound, unit)
        after = visits.after(state, latest, int(clock[-1]))
        evidence = Evidence.none(frames)
        if not len(row):
            return evidence, after
        silence, code = clock[row] - visits.clock[visit], visits.code[visit]
        over = silence - bound[visit]
        amount = np.minimum(first[code] + over // unit[visit] * furthers[code], LARGEST)
        amount[over > _HOLD] = 0
        chosen = _largest(row, amount, code)
        at = row[chosen]
        evidence.score[at] = amount[chosen] / MILLI
        evidence.feature[at] = Feature.SILENCE
        evidence.arbitration_id[at] = ids[code[chosen]]
        evidence.measured[at] = silence[chosen] / NANO
        evidence.expected[at] = bound[visit[chosen]] / NANO
        return evidence, after

    @cached_property
    def _columns(self) -> tuple[NDArray[np.uint32], Ints, Ints, Ints, Ints]:
        """Identifiers, units, longest gaps and surprises, as arrays (K,)."""
        return (
            np.array(self.ids, np.uint32),
            np.array(self.unit, np.int64),
            np.array(self.longest, np.int64),
            np.array(self.first, np.int64),
            np.array(self.further, np.int64),
        )

    def to_json(self) -> AbsenceJSON:
        """Return the monitor as plain JSON."""
        return {
            "ids": list(self.ids),
            "unit": list(self.unit),
            "longest": list(self.longest),
            "first": list(self.first),
            "further": list(self.further),
            "pause": self.pause,
        }

    @classmethod
    def from_json(cls, state: AbsenceJSON) -> Self:
        """Return the monitor that `to_json` described."""
        return cls(
            tuple(state["ids"]),
            tuple(state["unit"]),
            tuple(state["longest"]),
            tuple(state["first"]),
            tuple(state["further"]),
            state["pause"],
        )


def _late_rows(clock: Ints, visits: Visits, bound: Ints, unit: Ints) -> tuple[Ints, Ints]:
    """Return pairs of a visit and a row, for each row at which the visit's identifier is overdue.

    Args:
        clock: (n,) nanoseconds of each row.
        visits: (m,) visits.
        bound: (m,) silence after each from which the identifier is overdue.
        unit: (m,) its unit; 0 where it isn't judged.
    """
    end = visits.next_row(len(clock))
    begin = np.searchsorted(clock, visits.clock + bound, side="right")
    late = np.flatnonzero((unit > 0) & (begin < end))
    length = (end - begin)[late]
    offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(late, length), np.repeat(begin[late], length) + offset


def _largest(row: Ints, amount: Ints, code: Ints) -> Ints:
    """Return, for each row that has a positive amount, where its largest stands."""
    order = np.lexsort((-code, amount, row))
    last = np.append(row[order][1:] != row[order][:-1], True)[: len(order)]
    chosen: Ints = order[last]
    return chosen[np.flatnonzero(amount[chosen])]


def _longest_pause(frames: Frames) -> int:
    """Return the longest nanoseconds between frames of any identifiers."""
    reached = np.maximum.accumulate(frames.timestamp)
    return int(np.rint(np.diff(reached, prepend=reached[0]).max() * NANO))


def _gaps(frames: Frames, ids: NDArray[np.uint32], pause: int) -> tuple[Ints, Ints]:
    """Return (m,) identifiers and nanoseconds of all gaps between frames of one identifier.

    The silence from its last frame to the capture's end is one too, if it is longer than others.
    """
    kinds = len(ids)
    empty = AbsenceState.empty(kinds)
    clock, _ = bus_clock(frames.timestamp, empty, pause)
    visits = Visits.of(id_codes(frames.arbitration_id, ids), clock, empty)
    last = np.append(visits.code[1:] != visits.code[:-1], True)[: len(visits.code)]
    gap = np.append(visits.clock[1:], 0) - visits.clock
    ending = clock[-1] - visits.clock[last]
    longest = np.zeros(kinds, np.int64)
    np.maximum.at(longest, visits.code[~last], gap[~last])
    more = ending > longest[visits.code[last]]
    code = np.concatenate([visits.code[~last], visits.code[last][more]])
    return code, np.concatenate([gap[~last], ending[more]])


def _expectation(gap: Ints, rare: float) -> tuple[int, int, int, int]:
    """Return unit, longest gap, and surprise of a longer one and of each further unit.

    Args:
        gap: (m,) an identifier's gaps in ascending order.
        rare: Share of them that may be set aside as silences of an attack.
    """
    count = len(gap)
    if count < _FEWEST or not (period := int(np.median(gap))):
        return 0, 0, 0, 0
    silences = int((gap > _SILENCE * period).sum())
    kept = gap[: count - silences] if silences <= rare * count else gap
    missed = int((gap > _MISSED * period).sum())
    rates = np.array([1 / (count + 1), (missed + 1) / (count + 2)])
    first, further = thousandths(rates).tolist()
    longest = int(kept[-1])
    return max(period, longest - period), longest, first, further
