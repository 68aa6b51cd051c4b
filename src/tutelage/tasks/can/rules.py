"""The training-free rules beside every learned detector: unseen-id/count, two-gap, payload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.payload_rule import PayloadRule
from tutelage.tasks.can.rule_windows import (
    PREFIX_SECONDS,
    RuleVerdict,
    benign_frames,
    capture_prefix,
    each_window,
    id_codes,
)
from tutelage.tasks.can.two_gap import TwoGapRule, TwoGapState

__all__ = [
    "PREFIX_SECONDS",
    "PayloadRule",
    "RuleVerdict",
    "TwoGapRule",
    "TwoGapState",
    "UnseenIdCountRule",
    "UnseenIdCountState",
    "capture_prefix",
]

_CHUNK = 1 << 22


class UnseenIdCountState(TypedDict):
    """`UnseenIdCountRule` as plain JSON."""

    window: int
    ids: list[int]
    allowed: list[int]


@dataclass(frozen=True, slots=True)
class UnseenIdCountRule:
    """Alarm on an identifier never seen, or seen more often in a window than benign traffic does.

    The score is the largest ``count / (allowed + 1)`` of the window's identifiers, where unseen
    ones are allowed 0: one or more is an alarm.

    Args:
        window: Frames a window.
        ids: The known identifiers, ascending.
        allowed: For each, the largest count that is still benign.
    """

    window: int
    ids: tuple[int, ...]
    allowed: tuple[int, ...]

    @classmethod
    def fit(cls, captures: Sequence[Frames], window: int) -> Self:
        """Learn from the frames that are labelled benign, in windows that do not overlap.

        Raises:
            DataError: No capture holds a whole window of benign frames.
        """
        return cls._learn([benign_frames(c) for c in captures], window, slack=0)

    @classmethod
    def calibrated(cls, frames: Frames, window: int) -> Self:
        """Learn from a stretch taken to be benign, labels unread; allow one more than its maximum.

        Raises:
            DataError: The stretch is shorter than a window.
        """
        return cls._learn([frames], window, slack=1)

    @classmethod
    def _learn(cls, captures: Sequence[Frames], window: int, slack: int) -> Self:
        whole = [c for c in captures if len(c) >= window]
        if not whole:
            hint = f"Give at least {window} benign frames in one capture."
            raise DataError(f"no capture holds a window of {window} benign frames", hint=hint)
        ids = np.unique(np.concatenate([np.unique(c.arbitration_id) for c in whole]))
        most = np.zeros(len(ids) + 1, np.int64)
        for capture in whole:
            most = np.maximum(most, _counts(capture, ids, window, window).max(axis=0))
        return cls(window, tuple(ids.tolist()), tuple((most[:-1] + slack).tolist()))

    def windows(self, frames: Frames, window: int, stride: int) -> RuleVerdict:
        """Judge each window of ``frames``.

        Raises:
            DataError: The rule was calibrated on windows of another length.
        """
        if window != self.window:
            hint = f"Calibrate it on windows of {window} frames."
            raise DataError(f"the rule knows windows of {self.window} frames only", hint=hint)
        counts = _counts(frames, np.array(self.ids, np.uint32), window, stride)
        score = (counts / (np.array([*self.allowed, 0]) + 1.0)).max(axis=1)
        return RuleVerdict(score.astype(np.float32), score >= 1.0)

    def to_json(self) -> UnseenIdCountState:
        """Return the rule as plain JSON."""
        return {"window": self.window, "ids": list(self.ids), "allowed": list(self.allowed)}

    @classmethod
    def from_json(cls, state: UnseenIdCountState) -> Self:
        """Return the rule that `to_json` described."""
        return cls(state["window"], tuple(state["ids"]), tuple(state["allowed"]))


def _counts(frames: Frames, ids: NDArray[np.uint32], window: int, stride: int) -> NDArray[np.int64]:
    """Return (W, K + 1) counts of each known identifier in each window, the unknown ones last."""
    codes = each_window(id_codes(frames.arbitration_id, ids), window, stride)
    kinds = len(ids) + 1
    counts = np.zeros((len(codes), kinds), np.int64)
    step = max(1, _CHUNK // window)
    for first in range(0, len(codes), step):
        part = codes[first : first + step]
        cell = part + np.arange(len(part))[:, None] * kinds
        flat = np.bincount(cell.ravel(), minlength=len(part) * kinds)
        counts[first : first + step] = flat.reshape(-1, kinds)
    return counts
