"""`Evidence`: how improbable each frame is in benign traffic, on one scale, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames

MILLI = 1000
"""Surprise is summed in whole thousandths, so that no order of summation changes a score."""
LARGEST = 99 * MILLI
"""A surprise above this says nothing more."""


class Feature(IntEnum):
    """What a frame's score speaks of."""

    NONE = 0
    COUNTER = 1
    CHECKSUM = 2
    SILENCE = 3
    REDUNDANCY = 4
    EXTRA_FRAME = 5
    UNSEEN_ID = 6
    UNSEEN_PAYLOAD = 7


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector says of each frame.

    Args:
        score: (n,) float32, -log10 of the probability that benign traffic is so odd; 0 where
            nothing is.
        feature: (n,) uint8, the `Feature` behind it.
        arbitration_id: (n,) uint32, the identifier it speaks of: the frame's or a silent one.
        measured: (n,) float32: the counter's value, the broken checksums among an identifier's last
            frames, the seconds of silence, the signal's value, or the gap to the nearest frame.
        expected: (n,) float32: the counter's next value, 0, the longest silence that is benign,
            the value that other identifiers give, or the usual gap.
    """

    score: NDArray[np.float32]
    feature: NDArray[np.uint8]
    arbitration_id: NDArray[np.uint32]
    measured: NDArray[np.float32]
    expected: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: slice) -> Evidence:
        """What is said of consecutive frames."""
        return Evidence(
            self.score[rows],
            self.feature[rows],
            self.arbitration_id[rows],
            self.measured[rows],
            self.expected[rows],
        )

    @classmethod
    def none(cls, frames: Frames) -> Evidence:
        """Return evidence of nothing, to be filled in."""
        n = len(frames)
        return cls(
            np.zeros(n, np.float32),
            np.zeros(n, np.uint8),
            frames.arbitration_id.astype(np.uint32),
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
        )

    @classmethod
    def concatenate(cls, parts: list[Evidence]) -> Evidence:
        """Lay evidence end to end."""
        return cls(
            np.concatenate([p.score for p in parts]),
            np.concatenate([p.feature for p in parts]),
            np.concatenate([p.arbitration_id for p in parts]),
            np.concatenate([p.measured for p in parts]),
            np.concatenate([p.expected for p in parts]),
        )

    @classmethod
    def strongest(cls, parts: list[Evidence]) -> Evidence:
        """Return the largest score of each frame with its reason; of equal ones the first."""
        best = np.stack([p.score for p in parts]).argmax(axis=0)
        frame = np.arange(len(best))
        return cls(
            np.stack([p.score for p in parts])[best, frame],
            np.stack([p.feature for p in parts])[best, frame],
            np.stack([p.arbitration_id for p in parts])[best, frame],
            np.stack([p.measured for p in parts])[best, frame],
            np.stack([p.expected for p in parts])[best, frame],
        )

    def reason(self, row: int) -> str:
        """Say in words why frame ``row`` has its score; empty where nothing is odd."""
        identifier = f"0x{int(self.arbitration_id[row]):03X}"
        measured, expected = float(self.measured[row]), float(self.expected[row])
        match Feature(int(self.feature[row])):
            case Feature.COUNTER:
                return f"{identifier}: counter at {measured:.0f}, expected {expected:.0f}"
            case Feature.CHECKSUM:
                return f"{identifier}: checksum wrong in {measured:.0f} of its last frames"
            case Feature.SILENCE:
                longest = f"at most {expected:.3f} s is usual"
                return f"{identifier}: silent for {measured:.3f} s, {longest}"
            case Feature.REDUNDANCY:
                return f"{identifier}: signal at {measured:.0f}, others say {expected:.0f}"
            case Feature.EXTRA_FRAME:
                usual = f"one every {expected:.4f} s is usual"
                return f"{identifier}: a frame too many, {measured:.4f} s from the next; {usual}"
            case Feature.UNSEEN_ID:
                return f"{identifier}: never seen before"
            case Feature.UNSEEN_PAYLOAD:
                return f"{identifier}: seldom seen, and never with such a payload"
            case _:
                return ""


def alarm_level(frames_per_second: float, false_alarms_per_hour: float) -> float:
    """Return the surprise above which benign traffic is expected to stay within a budget.

    A score s is met by chance once in 10^s frames.

    Args:
        frames_per_second: The bus's load.
        false_alarms_per_hour: The budget.

    Raises:
        DataError: One of them isn't positive.
    """
    if not (frames_per_second > 0 and false_alarms_per_hour > 0):
        raise DataError(
            f"an alarm level needs a positive load and budget, got {frames_per_second:g} frames/s"
            f" and {false_alarms_per_hour:g} alarms/h",
            hint="Give a capture with frames, and a budget above 0.",
        )
    return math.log10(frames_per_second * 3600.0 / false_alarms_per_hour)


def thousandths(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return -log10 of a probability in whole thousandths, at most `LARGEST`."""
    with np.errstate(divide="ignore"):
        surprise = -np.log10(probability) * MILLI
    whole: NDArray[np.int64] = np.rint(np.clip(surprise, 0, LARGEST)).astype(np.int64)
    return whole
