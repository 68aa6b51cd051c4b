"""`MonitorStream`: the monitors' evidence while a capture goes on, equal to that of the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence.diagnostics import is_diagnostic
from tutelage.tasks.can.evidence.extra_frames import HORIZON, REACH
from tutelage.tasks.can.evidence.monitors import Monitors
from tutelage.tasks.can.evidence.surprise import Evidence
from tutelage.tasks.can.frames import Frames

SETTLED = 2 * HORIZON
"""Seconds of bus time after which nothing to come changes what is said of a frame."""
_KEPT = REACH + 2
_MOST_ASKED = 4096
"""Diagnostic frames that are kept at most: those of a flood are none of an exchange."""
MOST = 1 << 18
"""Frames that wait for evidence at most: several times what a bus carries meanwhile. A clock that
stands still fills it; then the oldest are judged with what has come."""


class MonitorStream:
    """Gives evidence about frames in the order in which they came, however they are cut.

    Whether a frame is one too many shows in those that follow, so evidence lags `SETTLED` seconds
    behind. What is kept is bounded: the frames of that time, `MOST` at most, and six earlier ones
    of each known identifier.

    Args:
        monitors: Of the vehicle.
    """

    def __init__(self, monitors: Monitors) -> None:
        self.monitors = monitors
        self._payload = monitors.payload.start()
        self._absence = monitors.absence.start()
        self._redundancy = monitors.redundancy.start()
        self._pending: list[Frames] = []
        self._said: list[Evidence] = []
        self._context: Frames | None = None
        self._latest = -np.inf

    def push(self, frames: Frames) -> Evidence:
        """Take the next frames (n,), and return the evidence about those that are settled now.

        More frames at a time cost less; with few, those of the last `SETTLED` seconds are looked
        at again each time.
        """
        if not len(frames):
            return Evidence.none(frames)
        payload, self._payload = self.monitors.payload.score(frames, self._payload)
        absence, self._absence = self.monitors.absence.score(frames, self._absence)
        redundancy, self._redundancy = self.monitors.redundancy.score(frames, self._redundancy)
        self._pending.append(frames)
        self._said.append(Evidence.strongest([payload, absence, redundancy]))
        self._latest = max(self._latest, float(frames.timestamp.max()))
        pending = Frames.concatenate(self._pending)
        young = pending.timestamp > self._latest - SETTLED
        settled = int(young.argmax()) if young.any() else len(pending)
        return self._settle(pending, max(settled, len(pending) - MOST))

    @property
    def kept(self) -> int:
        """Frames that are kept."""
        context = 0 if self._context is None else len(self._context)
        return context + sum(map(len, self._pending))

    def finish(self) -> Evidence:
        """Return the evidence about all frames that are left, with what has come."""
        pending = Frames.concatenate(self._pending)
        return self._settle(pending, len(pending))

    def _settle(self, pending: Frames, count: int) -> Evidence:
        """Judge the first ``count`` pending frames and let go of them."""
        said = Evidence.concatenate(self._said)
        if not count:
            return said[:0]
        parts = [pending] if self._context is None else [self._context, pending]
        known = Frames.concatenate(parts)
        before = len(known) - len(pending)
        timing = self.monitors.timing.evidence(known)[before : before + count]
        self._context = _context(known[: before + count], self.monitors.timing.ids)
        self._pending, self._said = [pending[count:]], [said[count:]]
        return Evidence.strongest([timing, said[:count]])


def _context(frames: Frames, ids: NDArray[np.uint32]) -> Frames:
    """Return what later frames are judged with, in its order.

    The last few frames of each identifier of ``ids``, and the latest diagnostic ones.
    """
    rows = np.flatnonzero(np.isin(frames.arbitration_id, ids))
    order = rows[np.lexsort((-rows, frames.arbitration_id[rows]))]
    ids = frames.arbitration_id[order]
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    place = np.arange(len(ids)) - np.repeat(starts, np.diff(np.append(starts, len(ids))))
    asked = np.flatnonzero(is_diagnostic(frames.arbitration_id))
    recent = frames.timestamp[asked] > frames.timestamp.max() - SETTLED
    rows = np.union1d(order[place < _KEPT], asked[recent][-_MOST_ASKED:])
    return frames.take(rows)
