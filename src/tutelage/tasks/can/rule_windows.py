"""What the training-free rules share: verdicts, windows, and a capture's own benign beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import BENIGN, Frames

Scalar = TypeVar("Scalar", bound=np.generic)

PREFIX_SECONDS = 10.0
"""Label-free calibration reads this much of a capture's own beginning."""


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What a rule says of each window; window k is frames ``[k * stride, k * stride + window)``.

    Args:
        score: (W,) float32, higher is more suspicious.
        alarm: (W,) bool.
    """

    score: NDArray[np.float32]
    alarm: NDArray[np.bool_]


def each_window(values: NDArray[Scalar], window: int, stride: int) -> NDArray[Scalar]:
    """Return a view (W, window) of one value per frame (n,), without the tail that fills none."""
    if len(values) < window:
        return values[:0].reshape(0, window)
    return sliding_window_view(values, window)[::stride]


def window_max(values: NDArray[np.float32], window: int, stride: int) -> NDArray[np.float32]:
    """Return the largest value in each window: (n,) to (W,)."""
    largest: NDArray[np.float32] = each_window(values, window, stride).max(axis=1)
    return largest


def capture_prefix(frames: Frames, seconds: float = PREFIX_SECONDS) -> Frames:
    """Return the frames of the capture's first ``seconds``, labels unread.

    Raises:
        DataError: The capture has no frames.
    """
    if not len(frames):
        raise DataError(
            "an empty capture has no beginning to calibrate on", hint="Give a capture with frames."
        )
    late = frames.timestamp > frames.timestamp[0] + seconds
    return frames[: int(late.argmax()) if late.any() else len(frames)]


def benign_frames(frames: Frames) -> Frames:
    """Return the frames that are labelled benign."""
    return frames.labelled(BENIGN)


def with_frames(captures: Sequence[Frames]) -> list[Frames]:
    """Return the captures that have frames, to learn benign traffic from.

    Raises:
        DataError: None has.
    """
    held = [capture for capture in captures if len(capture)]
    if not held:
        raise DataError(
            "there are no benign frames to learn from",
            hint="Give a capture with frames that are labelled benign.",
        )
    return held


def id_codes(arbitration_id: NDArray[np.uint32], ids: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return (n,) positions in the ascending ``ids`` (K,); K for an identifier not among them."""
    at = np.searchsorted(ids, arbitration_id)
    known = np.append(ids, np.uint32(0))[at] == arbitration_id
    return np.where(known & (at < len(ids)), at, len(ids)).astype(np.int64)
