"""`CalibratedJudge`: model and monitors together on a stream, on its vehicle's own terms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tutelage.core.errors import DataError
from tutelage.tasks.can.baseline import KnownDrives
from tutelage.tasks.can.calibration import Normal, nothing_left
from tutelage.tasks.can.captures import UNKNOWN_ATTACK, Capture
from tutelage.tasks.can.config import CANData, CANEvaluation
from tutelage.tasks.can.datamodule import EVALUATION_BATCH
from tutelage.tasks.can.evidence.stream import SETTLED
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graphs import Graphs, cut_graphs, join_graphs
from tutelage.tasks.can.limits import Floats, Limits, Ration, Scores
from tutelage.tasks.can.live.judges import Judge, Judged, Waiting
from tutelage.tasks.can.live.scoring import Scorer
from tutelage.tasks.can.live.settled import SettledEvidence
from tutelage.tasks.can.live.stream import WindowStream
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.rule_windows import capture_prefix

if TYPE_CHECKING:
    from tutelage.tasks.can.live.lone import LoneWindow

_log = logging.getLogger(__name__)

_TAKEN = (512, 1 << 15)
"""Frames of the beginning that are waited for, and that are taken at most."""
_FRAMES_PER_SECOND = 200_000
"""Ten times what a bus of 1 Mbit/s can carry: more frames in a second mean another clock."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a stream is calibrated.

    Args:
        name: The stream's.
        data: Windows.
        settings: How to calibrate, and the budget of false alarms.
        learned: What the model knows from training.
        drives: Those that `evaluation.drives` names; null takes the training captures.
        scale: Brings the model's scores onto a scale on which benign ones are about normal.
        lone: See `WindowStream`.
    """

    name: str
    data: CANData
    settings: CANEvaluation
    learned: Preprocessing
    drives: KnownDrives | None
    scale: Callable[[Scores], Floats]
    lone: type[LoneWindow] | None = None

    def normal(self, beginning: Frames) -> Normal:
        """Return what is taken for normal after the stream's beginning.

        Raises:
            CalibrationError: The beginning is shorter than a window, or looks injected.
        """
        capture = Capture("", self.name, UNKNOWN_ATTACK, "", "", beginning)
        settings, window = self.settings, self.data.window
        return Normal.of(beginning, capture, self.learned, settings, window, self.drives)


class CalibratedJudge(Judge):
    """Judges a stream as `CalibratedTest` judges a whole capture, with the same scores.

    The frames of the beginning are kept until it is over. Afterwards windows are scored as they
    fill, and are held back until the monitors' evidence has settled past their last frame.

    Args:
        calibration: How.
        scorer: Scores windows.
        waiting: How many are scored together.
    """

    def __init__(self, calibration: Calibration, scorer: Scorer, waiting: Waiting) -> None:
        super().__init__(waiting)
        self._calibration, self._scorer = calibration, scorer
        self._beginning: list[Frames] = []
        self._after: _After | None = None
        self._counted: dict[str, object] = {"calibrated_on": None, "calibration_frames": 0}
        self._any = False

    def push(self, frames: Frames, hurry: bool) -> Iterator[Judged]:
        """Take the next frames; yield what is found of windows in order."""
        if self._after is None:
            self._beginning.append(frames)
            seconds = self._calibration.settings.calibration_seconds
            start = next((f.timestamp[0] for f in self._beginning if len(f)), np.inf)
            if not (frames.timestamp > start + seconds).any():
                self._check_rate(seconds)
                return
            held = Frames.concatenate(self._beginning)
            prefix = capture_prefix(held, seconds)
            frames = held[len(prefix) :]
            self._after = self._begin(prefix)
        yield from self._judged(self._after.push(frames, hurry))

    def finish(self, ended: bool) -> Iterator[Judged]:
        """Yield what is found of the windows that are left."""
        if self._after is None and ended:
            self._after = self._begin(Frames.concatenate(self._beginning))
        if self._after is not None:
            yield from self._judged(self._after.finish())
        if self._any:
            return
        nothing = nothing_left(self._calibration.settings, self._calibration.name)
        if ended:
            raise nothing
        _log.warning("%s: stopped before anything was judged", self._calibration.name)

    def wanted(self) -> tuple[int, int]:
        """Frames that are waited for, and that are taken at most."""
        return _TAKEN if self._after is None else self.wanted_by(self._after.stream)

    @property
    def frames(self) -> int:
        """Frames so far."""
        return sum(map(len, self._beginning)) if self._after is None else self._after.stream.frames

    def counts(self) -> dict[str, object]:
        """Counts for the summary, as JSON values."""
        forgotten = 0 if self._after is None else self._after.stream.history.forgotten
        return {"forgotten_ids": forgotten, **self._counted}

    def _begin(self, prefix: Frames) -> _After:
        """Learn what is normal, and say so."""
        calibration = self._calibration
        normal = calibration.normal(prefix)
        after = _After(calibration, self._scorer, self.waiting, normal, prefix)
        self._beginning = []
        seconds = calibration.settings.calibration_seconds
        where, count = ("beginning", len(prefix)) if normal.by_beginning else ("drives", 0)
        self._counted = {"calibrated_on": where, "calibration_frames": count}
        if normal.by_beginning:
            said = f"its first {seconds:g} s ({count} frames) are taken for normal and not judged"
        else:
            said = "its first frames are of a vehicle whose other drives are taken for normal"
        lag = f"a window is judged {SETTLED:g} s after its end"
        _log.warning("%s: %s; %s", calibration.name, said, lag)
        return after

    def _judged(self, found: Iterator[Judged]) -> Iterator[Judged]:
        for judged in found:
            self._any = True
            yield judged

    def _check_rate(self, seconds: float) -> None:
        if self.frames > (seconds + 1.0) * _FRAMES_PER_SECOND:
            raise DataError(
                f"{self.frames} frames have not lasted for {seconds:g} seconds",
                where=self._calibration.name,
                hint="Timestamps are seconds; no bus carries so many frames in that time.",
            )


class _After:
    """What follows the beginning.

    Args:
        calibration: How it was calibrated.
        scorer: Scores windows.
        waiting: How many are scored together.
        normal: What is taken for normal.
        prefix: The beginning.
    """

    def __init__(
        self,
        calibration: Calibration,
        scorer: Scorer,
        waiting: Waiting,
        normal: Normal,
        prefix: Frames,
    ) -> None:
        data, settings = calibration.data, calibration.settings
        self._scorer, self._scale, self._normal = scorer, calibration.scale, normal
        self._waiting = waiting
        self.stream = WindowStream(
            normal.baseline.profile, data.window, data.stride, calibration.lone
        )
        graphs = normal.known_to_model(self.stream.push(prefix))
        cuts = range(0, len(graphs), EVALUATION_BATCH)
        parts = [cut_graphs(graphs, at, min(at + EVALUATION_BATCH, len(graphs))) for at in cuts]
        self._limits = Limits.of(
            np.concatenate([self._learned(part) for part in parts]),
            graphs.start_time,
            graphs.end_time,
            float(self._scale(np.asarray(scorer.threshold))),
            settings.false_alarms_per_hour,
            normal.baseline.monitors,
        )
        self._ration = Ration(self._limits)
        self._evidence = SettledEvidence(normal.baseline.monitors)
        self._evidence.push(prefix)
        self._held: list[tuple[Graphs, Floats]] = []
        self._first = len(prefix) if normal.by_beginning else 0
        self._wait(graphs)

    def push(self, frames: Frames, hurry: bool) -> Iterator[Judged]:
        """Take the next frames; yield what is found of windows in order."""
        self._evidence.push(frames)
        self._wait(self._normal.known_to_model(self.stream.push(frames)))
        self._score(hurry)
        return self._release()

    def finish(self) -> Iterator[Judged]:
        """Yield what is found of the windows that are left."""
        self._score(hurry=True)
        self._evidence.finish()
        return self._release()

    def _learned(self, graphs: Graphs) -> Floats:
        return self._scale(self._scorer.scores(graphs))

    def _wait(self, graphs: Graphs) -> None:
        """Let windows wait, but for those that begin where nothing is judged."""
        early = int(np.searchsorted(graphs.first_row, self._first))
        self._waiting.add(cut_graphs(graphs, early, len(graphs)) if early else graphs)

    def _score(self, hurry: bool) -> None:
        self._held += ((batch, self._learned(batch)) for batch in self._waiting.batches(hurry))

    def _release(self) -> Iterator[Judged]:
        """Judge the windows of which everything is known."""
        ready: list[tuple[Graphs, Floats]] = []
        while self._held:
            graphs, learned = self._held[0]
            ends = graphs.first_row + graphs.window
            count = int(np.searchsorted(ends, self._evidence.rows, side="right"))
            if not count:
                break
            ready.append((cut_graphs(graphs, 0, count), learned[:count]))
            if count < len(graphs):
                self._held[0] = cut_graphs(graphs, count, len(graphs)), learned[count:]
                break
            del self._held[0]
        if ready:
            graphs = join_graphs([graphs for graphs, _ in ready])
            yield self._judge(graphs, np.concatenate([learned for _, learned in ready]))
            self._evidence.forget(int(graphs.first_row[-1]) + graphs.stride)

    def _judge(self, graphs: Graphs, learned: Floats) -> Judged:
        limits = self._limits
        monitored, sightings = self._evidence.of(graphs, limits.level)
        both = self._ration.together(learned, monitored, graphs.end_time)
        return Judged(graphs, both, both > 1.0, learned > limits.learned, sightings)
