"""Calibrated detection: the learned detector and the monitors, on a vehicle's own terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.tasks.can.baseline import Baseline, CalibrationError, from_drives
from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.config import CANEvaluation
from tutelage.tasks.can.datamodule import TestCapture
from tutelage.tasks.can.evidence import Evidence
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import build_graphs
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.rule_windows import RuleVerdict, capture_prefix, window_max
from tutelage.tasks.can.verdicts import MODEL

LEARNED, MONITORS = "learned_alone", "monitors_alone"
_TAIL = 0.1
"""Share of the beginning's highest scores that tell how its tail falls off."""
_NEVER = 1e-7

Scores = NDArray[np.float32]
Floats = NDArray[np.float64]


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
        if len(prefix) < store.window:
            few = f"the first {settings.calibration_seconds:g} s hold {len(prefix)} frames"
            problem = f"{few}, fewer than a window of {store.window}"
            longer = "Set a longer evaluation.calibration_seconds."
            raise CalibrationError(problem, where=_place(test), hint=longer)
        known = learned.vehicle_of(prefix)
        normal: Baseline | None = None  # from other drives, if so; then the beginning is judged too
        if settings.calibration == "drives":
            other = (drives, test.capture, prefix, store.window)
            normal = from_drives(*other) if settings.drives else known
        baseline = normal or _by_beginning(test, prefix)
        tokens = np.zeros(len(baseline.profile) + 1, np.int32)
        if known is not None:  # the ids of an unknown vehicle mean something else
            tokens[1:] = learned.profile.id_index(baseline.profile.ids)
        graphs = build_graphs(frames, baseline.profile, store.window, store.stride)
        own = GraphStore.from_graphs([replace(graphs, id_index=tokens[graphs.id_index])])
        judged = test.windows
        if normal is None:
            judged = judged[store.first_row[judged] >= len(prefix)]
        if not len(judged):
            problem = f"no window is left after the first {settings.calibration_seconds:g} s"
            shorter = "Set a shorter evaluation.calibration_seconds, or give a longer capture."
            raise CalibrationError(problem, where=_place(test), hint=shorter)
        before = torch.arange((len(prefix) - store.window) // store.stride + 1)
        return cls(
            replace(test, store=own, windows=judged),
            replace(test, store=own, windows=before),
            baseline,
            baseline.monitors.evidence(frames),
        )

    def judge(
        self, learned: Floats, beginning: Floats, threshold: float, per_hour: float
    ) -> dict[str, RuleVerdict]:
        """Judge the windows by all detectors together, and by each alone.

        Together, the score is the largest of the detectors' scores, each in units of what it takes
        for an alarm.

        Args:
            learned: (T,) scores of the learned detector, where benign ones are about normal.
            beginning: Its scores of the beginning.
            threshold: The score above which it alarms without calibration.
            per_hour: False alarms an hour that the monitors may have, and the learned detector.
        """
        middle = float(np.median(beginning))
        limit = max(threshold, _tail_limit(beginning, per_hour / self._windows_per_hour()))
        excess = (learned - middle) / max(limit - middle, 1e-6)
        monitored = self._windows(self.evidence.score)
        level = self.baseline.monitors.level(per_hour)
        both = np.maximum(excess, monitored / level).astype(np.float32)
        found = {
            MODEL: RuleVerdict(both, both > 1.0),
            LEARNED: RuleVerdict(learned.astype(np.float32), learned > limit),
            MONITORS: RuleVerdict(monitored, monitored > level),
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

    def _windows_per_hour(self) -> float:
        store, windows = self.prefix.store, self.prefix.windows
        seconds = float(store.end_time[windows].max() - store.start_time[windows].min())
        return 3600.0 * len(windows) / max(seconds, 1e-3)

    def _windows(self, score: Scores) -> Scores:
        store = self.test.store
        chosen: Scores = window_max(score, store.window, store.stride)[self.test.windows.numpy()]
        return chosen


def _by_beginning(test: TestCapture, prefix: Frames) -> Baseline:
    """Learn from a capture's beginning; a refusal says which capture's."""
    try:
        return Baseline.calibrated(prefix, test.store.window)
    except CalibrationError as error:
        raise CalibrationError(error.problem, where=_place(test), hint=error.hint) from None


def _place(test: TestCapture) -> str:
    """Where a capture is, for a message."""
    return str(test.capture.path or test.capture.label)


def _tail_limit(scores: Floats, share: float) -> float:
    """Return what a share of scores too small to be seen is expected to exceed.

    Above a high quantile scores are taken to fall off exponentially (Pickands 1975), at the pace of
    those seen. An attack among them raises the limit.
    """
    high = float(np.quantile(scores, 1.0 - _TAIL))
    pace = float((scores[scores >= high] - high).mean())
    return high + pace * max(0.0, float(np.log(_TAIL / share)))


def log_odds(probability: Scores) -> Floats:
    """Return log(p / (1 - p)), finite for 0 and 1 too."""
    p = np.clip(probability.astype(np.float64), _NEVER, 1.0 - _NEVER)
    return np.log(p) - np.log1p(-p)


def log_error(error: Scores) -> Floats:
    """Return the logarithm of an error, finite for 0 too."""
    return np.log(np.maximum(error.astype(np.float64), _NEVER))
