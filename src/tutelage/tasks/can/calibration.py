"""Calibrated detection: the learned detector and the monitors, on a vehicle's own terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.tasks.can.baseline import Baseline, CalibrationError, KnownDrives
from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.config import CANEvaluation
from tutelage.tasks.can.datamodule import TestCapture
from tutelage.tasks.can.evidence import Evidence
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import Graphs, build_graphs
from tutelage.tasks.can.limits import Floats, Limits, Ration, Scores
from tutelage.tasks.can.modules import VGAEModule
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.rule_windows import RuleVerdict, capture_prefix, window_max
from tutelage.tasks.can.verdicts import MODEL
from tutelage.training.contracts import TaskModule

LEARNED, MONITORS = "learned_alone", "monitors_alone"
_NEVER = 1e-7


@dataclass(frozen=True, slots=True)
class Normal:
    """What is taken for normal in one capture.

    Args:
        baseline: The vehicle's normal traffic.
        tokens: (V + 1,) int32, for each id of the baseline's vocabulary its number in that of the
            model; 0 for an unknown one.
        by_beginning: Whether it was learned from the capture's beginning, which is not judged then.
    """

    baseline: Baseline
    tokens: NDArray[np.int32]
    by_beginning: bool

    @classmethod
    def of(
        cls,
        prefix: Frames,
        capture: Capture,
        learned: Preprocessing,
        settings: CANEvaluation,
        window: int,
        drives: KnownDrives | None,
    ) -> Normal:
        """Calibrate on a capture's beginning, or by it find the vehicle among those known.

        Args:
            prefix: The beginning; labels are not read.
            capture: What there is of the capture, which no drive may share.
            learned: What the model knows from training.
            settings: How to calibrate.
            window: Frames of a window.
            drives: Those that `evaluation.drives` names; null takes the training captures.

        Raises:
            CalibrationError: The beginning is shorter than a window, or nearly all of it looks
                injected.
        """
        if len(prefix) < window:
            few = f"the first {settings.calibration_seconds:g} s hold {len(prefix)} frames"
            problem = f"{few}, fewer than a window of {window}"
            longer = "Set a longer evaluation.calibration_seconds."
            raise CalibrationError(problem, where=_place(capture), hint=longer)
        known = learned.vehicle_of(prefix)
        normal: Baseline | None = None
        if settings.calibration == "drives":
            normal = known if drives is None else drives.of(capture, prefix)
        baseline = normal or _by_beginning(prefix, window, capture)
        tokens = np.zeros(len(baseline.profile) + 1, np.int32)
        if known is not None:  # the ids of an unknown vehicle mean something else
            tokens[1:] = learned.profile.id_index(baseline.profile.ids)
        return cls(baseline, tokens, normal is None)

    def known_to_model(self, graphs: Graphs) -> Graphs:
        """Return graphs that are relative to the baseline, with ids as the model numbers them."""
        return replace(graphs, id_index=self.tokens[graphs.id_index])


@dataclass(frozen=True, slots=True)
class CalibratedTest:
    """A capture, and what is taken for normal in it.

    Args:
        test: The windows to judge, those of the beginning only if it did not calibrate; their
            graphs are relative to the baseline.
        prefix: The windows of the beginning.
        baseline: The vehicle's normal traffic.
        evidence: What the monitors say of each frame of the capture.
    """

    test: TestCapture
    prefix: TestCapture
    baseline: Baseline
    evidence: Evidence

    @classmethod
    def of(
        cls,
        test: TestCapture,
        learned: Preprocessing,
        settings: CANEvaluation,
        drives: Sequence[Capture] = (),
    ) -> CalibratedTest:
        """Calibrate on the capture's beginning, or by it find the vehicle among those known.

        The capture's labels are not read.

        Args:
            test: The windows to judge.
            learned: What the model knows from training.
            settings: How to calibrate.
            drives: Those that `evaluation.drives` names.

        Raises:
            CalibrationError: Nothing is left to judge after the beginning, or it is shorter than a
                window, or nearly all of it looks injected.
        """
        frames, store = test.capture.frames, test.store
        prefix = capture_prefix(frames, settings.calibration_seconds)
        named = KnownDrives(drives, store.window) if settings.drives is not None else None
        normal = Normal.of(prefix, test.capture, learned, settings, store.window, named)
        graphs = build_graphs(frames, normal.baseline.profile, store.window, store.stride)
        own = GraphStore.from_graphs([normal.known_to_model(graphs)])
        judged = test.windows
        if normal.by_beginning:
            judged = judged[store.first_row[judged] >= len(prefix)]
        if not len(judged):
            raise nothing_left(settings, _place(test.capture))
        before = torch.arange((len(prefix) - store.window) // store.stride + 1)
        return cls(
            replace(test, store=own, windows=judged),
            replace(test, store=own, windows=before),
            normal.baseline,
            normal.baseline.monitors.evidence(frames),
        )

    def judge(
        self, learned: Floats, beginning: Floats, threshold: float, per_hour: float
    ) -> dict[str, RuleVerdict]:
        """Judge the windows by all detectors together, and by each alone.

        Args:
            learned: (T,) scores of the learned detector, where benign ones are about normal.
            beginning: Its scores of the beginning.
            threshold: The score above which it alarms without calibration.
            per_hour: False alarms an hour that all of them may have together.
        """
        store, before = self.prefix.store, self.prefix.windows
        spans = store.start_time[before].numpy(), store.end_time[before].numpy()
        limits = Limits.of(beginning, *spans, threshold, per_hour, self.baseline.monitors)
        monitored = self._windows(self.evidence.score)
        ends = self.test.store.end_time[self.test.windows].numpy()
        both = Ration(limits).together(learned, monitored, ends)
        found = {
            MODEL: RuleVerdict(both, both > 1.0),
            LEARNED: RuleVerdict(learned.astype(np.float32), learned > limits.learned),
            MONITORS: RuleVerdict(monitored, monitored > limits.level),
        }
        store, chosen = self.test.store, self.test.windows.numpy()
        for name, rule in self.baseline.rules.items():
            verdict = rule.windows(self.test.capture.frames, store.window, store.stride)
            found[name] = RuleVerdict(verdict.score[chosen], verdict.alarm[chosen])
        return found

    def reasons(self, detected: NDArray[np.bool_]) -> list[str]:
        """Say why each of some windows (T,) is odd to the monitors; empty where it isn't."""
        store, said = self.test.store, self.evidence
        first = store.first_row[self.test.windows].numpy()
        rows = [
            int(at + said.score[at : at + store.window].argmax()) if alarm else -1
            for at, alarm in zip(first, detected, strict=True)
        ]
        return [said.reason(row) if row >= 0 else "" for row in rows]

    def _windows(self, score: Scores) -> Scores:
        store = self.test.store
        chosen: Scores = window_max(score, store.window, store.stride)[self.test.windows.numpy()]
        return chosen


def _by_beginning(prefix: Frames, window: int, capture: Capture) -> Baseline:
    """Learn from a capture's beginning; a refusal says which capture's."""
    try:
        return Baseline.calibrated(prefix, window)
    except CalibrationError as error:
        raise CalibrationError(error.problem, where=_place(capture), hint=error.hint) from None


def nothing_left(settings: CANEvaluation, place: str) -> CalibrationError:
    """Return the error of a capture that ends where what was learned from ends."""
    problem = f"no window is left after the first {settings.calibration_seconds:g} s"
    shorter = "Set a shorter evaluation.calibration_seconds, or give a longer capture."
    return CalibrationError(problem, where=place, hint=shorter)


def _place(capture: Capture) -> str:
    """Where a capture is, for a message."""
    return str(capture.path or capture.label)


def log_odds(probability: Scores) -> Floats:
    """Return log(p / (1 - p)), finite for 0 and 1 too."""
    p = np.clip(probability.astype(np.float64), _NEVER, 1.0 - _NEVER)
    return np.log(p) - np.log1p(-p)


def log_error(error: Scores) -> Floats:
    """Return the logarithm of an error, finite for 0 too."""
    return np.log(np.maximum(error.astype(np.float64), _NEVER))


def scale_of(module: TaskModule) -> Callable[[Scores], Floats]:
    """Return what brings a detector's scores onto a scale on which benign ones are about normal."""
    return log_error if isinstance(module, VGAEModule) else log_odds
