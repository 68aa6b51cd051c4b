"""`Judge`: from frames to what is found of windows; `PlainJudge` asks the model alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graphs import Graphs, cut_graphs, join_graphs
from tutelage.tasks.can.live.scoring import Scorer
from tutelage.tasks.can.live.sightings import Sighting
from tutelage.tasks.can.live.stream import WindowStream

_LAST = 8
"""Frames of a window that are waited for apart, so that the others are compared by then."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found of G windows, one after the other.

    Args:
        graphs: The windows.
        score: (G,) float32, larger is more suspicious.
        over: (G,) bool, whether that speaks for an attack.
        learned: (G,) bool, whether the learned detector by itself says so.
        sightings: What monitors saw in each window, null where they saw nothing odd; empty where
            there are no monitors.
    """

    graphs: Graphs
    score: NDArray[np.float32]
    over: NDArray[np.bool_]
    learned: NDArray[np.bool_]
    sightings: Sequence[Sighting | None] = ()


class Waiting:
    """Windows that wait to be scored together.

    Args:
        least: Windows that are scored together at least.
        most: And at most.
    """

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self._parts: list[Graphs] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, graphs: Graphs) -> None:
        """Let windows wait."""
        if len(graphs):
            self._parts.append(graphs)
            self._count += len(graphs)

    def batches(self, hurry: bool) -> Iterator[Graphs]:
        """Yield batches of windows while there are enough; in a hurry all of them."""
        while self._count >= (1 if hurry else self.least):
            graphs = join_graphs(self._parts)
            self._parts, self._count = [], 0
            if len(graphs) > self.most:
                self.add(cut_graphs(graphs, self.most, len(graphs)))
                graphs = cut_graphs(graphs, 0, self.most)
            yield graphs


class Judge(ABC):
    """Takes frames as they come, and says of windows what it found as soon as it can.

    Args:
        waiting: How many windows are scored together.
    """

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting

    @abstractmethod
    def push(self, frames: Frames, hurry: bool) -> Iterator[Judged]:
        """Take the next frames; yield what is found of windows in order.

        Args:
            frames: They may be none.
            hurry: Whether no more are at hand, so that windows should not wait for others.

        Raises:
            DataError: The times are not seconds, or calibration is impossible.
        """

    @abstractmethod
    def finish(self, ended: bool) -> Iterator[Judged]:
        """Yield what is found of the windows that are left.

        Args:
            ended: Whether the source ended by itself.

        Raises:
            DataError: The source ended before anything could be judged.
        """

    @abstractmethod
    def wanted(self) -> tuple[int, int]:
        """Frames that are waited for, and that are taken at most."""

    @property
    @abstractmethod
    def frames(self) -> int:
        """Frames so far."""

    @abstractmethod
    def counts(self) -> dict[str, object]:
        """Counts for the summary, as JSON values."""

    def wanted_by(self, stream: WindowStream) -> tuple[int, int]:
        """Frames that complete as many windows as are scored together.

        The last ones of a lone window are asked for apart.
        """
        waiting = self.waiting
        least, most = (
            stream.missing + (windows - len(waiting) - 1) * stream.stride
            for windows in (waiting.least, waiting.most)
        )
        if waiting.least == 1 and least > _LAST:
            least -= _LAST
            most = least if waiting.most == 1 else most
        return least, most


class PlainJudge(Judge):
    """Judges each window by the model alone.

    Args:
        stream: Cuts windows.
        scorer: Scores them.
        waiting: How many are scored together.
    """

    def __init__(self, stream: WindowStream, scorer: Scorer, waiting: Waiting) -> None:
        super().__init__(waiting)
        self._stream, self._scorer = stream, scorer

    def push(self, frames: Frames, hurry: bool) -> Iterator[Judged]:
        """Take the next frames; yield what is found of windows in order."""
        self.waiting.add(self._stream.push(frames))
        return self._judge(hurry)

    def finish(self, ended: bool) -> Iterator[Judged]:
        """Yield what is found of the windows that are left."""
        return self._judge(hurry=True)

    def wanted(self) -> tuple[int, int]:
        """Frames that are waited for, and that are taken at most."""
        return self.wanted_by(self._stream)

    @property
    def frames(self) -> int:
        """Frames so far."""
        return self._stream.frames

    def counts(self) -> dict[str, object]:
        """Counts for the summary, as JSON values."""
        forgotten = self._stream.history.forgotten
        return {"forgotten_ids": forgotten, "calibrated_on": None, "calibration_frames": 0}

    def _judge(self, hurry: bool) -> Iterator[Judged]:
        for graphs in self.waiting.batches(hurry):
            score = self._scorer.scores(graphs)
            over = score > self._scorer.threshold
            yield Judged(graphs, score, over, over)
