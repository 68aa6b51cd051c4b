"""The training-free rules beside every learned detector: unseen-id/count, two-gap, payload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from tutelage.tasks.can.scratch import blocks
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

_CHUNK = 1 << 21
"""Frames, or counts, that are worked on at once."""


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
        ids = np.unique(np.concatenate([c.ids for c in whole]))
        most = np.zeros(len(ids) + 1, np.int64)
        for capture in whole:
            for _, counts in _counts(capture, ids, window, window):
                most = np.maximum(most, counts.max(axis=0))
        return cls(window, tuple(ids.tolist()), tuple((most[:-1] + slack).tolist()))

    def windows(self, frames: Frames, window: int, stride: int) -> RuleVerdict:
        """Judge each window of ``frames``.

        Raises:
            DataError: The rule was calibrated on windows of another length.
        """
        if window != self.window:
            hint = f"Calibrate it on windows of {window} frames."
            raise DataError(f"the rule knows windows of {self.window} frames only", hint=hint)
        limits = np.array([*self.allowed, 0]) + 1.0
        total = len(each_window(frames.label, window, stride))
        score, alarm = np.zeros(total, np.float32), np.zeros(total, np.bool_)
        for part, counts in _counts(frames, np.array(self.ids, np.uint32), window, stride):
            largest = (counts / limits).max(axis=1)
            score[part], alarm[part] = largest, largest >= 1.0
        return RuleVerdict(score, alarm)

    def to_json(self) -> UnseenIdCountState:
        """Return the rule as plain JSON."""
        return {"window": self.window, "ids": list(self.ids), "allowed": list(self.allowed)}

    @classmethod
    def from_json(cls, state: UnseenIdCountState) -> Self:
        """Return the rule that `to_json` described."""
        return cls(state["window"], tuple(state["ids"]), tuple(state["allowed"]))


def _counts(
    frames: Frames, ids: NDArray[np.uint32], window: int, stride: int
) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield (w, K + 1) counts of each known identifier in some windows, the unknown ones last."""
    kinds = len(ids) + 1
    each = each_window(frames.arbitration_id, window, stride)
    for part in blocks(len(each), max(1, _CHUNK // max(window, kinds))):
        codes = id_codes(each[part].ravel(), ids).reshape(-1, window)
        cell = codes + np.arange(len(codes))[:, None] * kinds
        flat = np.bincount(cell.ravel(), minlength=len(codes) * kinds)
        yield part, flat.reshape(-1, kinds)
