"""`SettledEvidence`: what the monitors say of the windows of a stream, once nothing changes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence import Evidence, Monitors, MonitorStream
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graphs import Graphs
from tutelage.tasks.can.live.sightings import Sighting
from tutelage.tasks.can.rule_windows import each_window

PACE = 0.5
"""Seconds of bus time between two looks at what came: frames are looked at together."""
_MANY = 1 << 14
"""Frames that are looked at in any case."""


class SettledEvidence:
    """Gathers evidence about frames until the windows that hold them are judged.

    Args:
        monitors: Of the vehicle.

    ``rows`` counts the frames about which nothing to come changes what is said.
    """

    def __init__(self, monitors: Monitors) -> None:
        self._stream = MonitorStream(monitors)
        self._gathered: list[Frames] = []
        self._said: list[Evidence] = []
        self._base = self.rows = 0
        self._looked, self._latest = -np.inf, -np.inf

    def push(self, frames: Frames) -> None:
        """Take the next frames."""
        if not len(frames):
            return
        self._gathered.append(frames)
        self._latest = max(self._latest, float(frames.timestamp.max()))
        if self._latest - self._looked >= PACE or sum(map(len, self._gathered)) >= _MANY:
            self._look()

    def finish(self) -> None:
        """Take what has come for all that comes."""
        self._look()
        self._keep(self._stream.finish())

    def of(self, graphs: Graphs, level: float) -> tuple[NDArray[np.float32], list[Sighting | None]]:
        """Return the largest score of each window (G,), and what is seen where it is over a level.

        Args:
            graphs: Consecutive windows of settled frames, none of them forgotten.
            level: The score above which monitors alarm.
        """
        said = self._whole()
        first, window = graphs.first_row - self._base, graphs.window
        frames = said.score[int(first[0]) : int(first[-1]) + window]
        each = each_window(frames, window, graphs.stride)
        place, score = first + each.argmax(axis=1), each.max(axis=1)
        seen = [
            Sighting.of(said, row, row + self._base) if odd else None
            for row, odd in zip(place.tolist(), (score > level).tolist(), strict=True)
        ]
        return score, seen

    def forget(self, row: int) -> None:
        """Let go of what is said of the frames before a row of the capture."""
        said, past = self._whole(), min(row, self.rows) - self._base
        if past > 0:
            self._said = [said[past:]]
            self._base += past

    def _look(self) -> None:
        if self._gathered:
            frames = Frames.concatenate(self._gathered)
            self._gathered, self._looked = [], self._latest
            self._keep(self._stream.push(frames))

    def _keep(self, said: Evidence) -> None:
        self._said.append(said)
        self.rows += len(said)

    def _whole(self) -> Evidence:
        if len(self._said) != 1:
            self._said = [Evidence.concatenate(self._said)]
        return self._said[0]
