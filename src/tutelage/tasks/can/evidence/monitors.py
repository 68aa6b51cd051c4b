"""`Monitors`: the label-free detectors of one vehicle, under one budget of false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tutelage.tasks.can.evidence.absence import AbsenceMonitor
from tutelage.tasks.can.evidence.detector import Detector
from tutelage.tasks.can.evidence.payload import PayloadModel
from tutelage.tasks.can.evidence.redundancy import RedundancyModel
from tutelage.tasks.can.evidence.sample import of_other_ids, sampled
from tutelage.tasks.can.evidence.surprise import Evidence, alarm_level
from tutelage.tasks.can.evidence.timing import TimingModel
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import RuleVerdict, window_max

MOST = 1 << 22
"""Frames of a vehicle from which its monitors learn."""


@dataclass(frozen=True)
class Monitors(Detector):
    """Judges frames by what a vehicle's benign traffic was: extra, missing and lying frames.

    Each detector scores a frame by how improbable it is in benign traffic; the strongest evidence
    counts. They share a budget of false alarms evenly, which sets the `level` of an alarm. Of more
    than `MOST` frames of a vehicle they learn from as many, which `sampled` chooses.

    Args:
        timing: Frames too many, and identifiers never seen.
        payload: Counters and checksums.
        absence: Identifiers that fall silent.
        redundancy: Signals that several identifiers carry.
        load: Frames a second.
    """

    timing: TimingModel
    payload: PayloadModel
    absence: AbsenceMonitor
    redundancy: RedundancyModel
    load: float

    DETECTORS = 4

    @classmethod
    def learn(cls, traffic: Sequence[Frames], unread: bool) -> Self:
        """Learn what each detector learns of one vehicle's traffic."""
        sample = sampled(traffic, MOST)
        return cls(
            TimingModel.learn([*sample, *of_other_ids(sample, traffic)], unread),
            PayloadModel.learn(sample, unread),
            AbsenceMonitor.learn(sample, unread),
            RedundancyModel.learn(sample, unread),
            _load(traffic),
        )

    def evidence(self, frames: Frames) -> Evidence:
        """Return the strongest evidence against each frame of a capture."""
        return Evidence.strongest(
            [
                self.timing.evidence(frames),
                self.payload.score(frames)[0],
                self.absence.score(frames)[0],
                self.redundancy.score(frames)[0],
            ]
        )

    def level(self, per_hour: float) -> float:
        """Return the score above which benign traffic stays within ``per_hour`` false alarms."""
        return alarm_level(self.load, per_hour / self.DETECTORS)

    def windows(self, frames: Frames, window: int, stride: int, per_hour: float) -> RuleVerdict:
        """Judge each window by its most surprising frame."""
        score = window_max(self.evidence(frames).score, window, stride)
        return RuleVerdict(score, score > self.level(per_hour))

    def to_json(self) -> dict[str, object]:
        """Return the monitors as plain JSON."""
        return {
            "timing": self.timing.to_json(),
            "payload": self.payload.to_json(),
            "absence": self.absence.to_json(),
            "redundancy": self.redundancy.to_json(),
            "load": self.load,
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        """Return the monitors that `to_json` described."""
        return cls(
            TimingModel.from_json(state["timing"]),
            PayloadModel.from_json(state["payload"]),
            AbsenceMonitor.from_json(state["absence"]),
            RedundancyModel.from_json(state["redundancy"]),
            float(state["load"]),
        )


def _load(captures: Sequence[Frames]) -> float:
    """Return the frames a second of some stretches, at least 1."""
    seconds = sum(float(np.ptp(c.timestamp)) for c in captures if len(c))
    return max(1.0, sum(map(len, captures)) / max(seconds, 1e-3))
