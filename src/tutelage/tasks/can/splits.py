"""Honest splits: stretches of time with an embargo; nothing that tests is trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.config import CANData
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.overlap import LIMIT, SEQUENCE, Shared, shared_captures
from tutelage.tasks.can.scratch import blocks, zeros

_log = logging.getLogger(__name__)

STRETCHES = 3
"""Most stretches of a capture that validate; fewer where the embargo would cost more than they."""
GOLDEN = (5**0.5 - 1) / 2
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CaptureSplit:
    """Which windows of a capture train, validate and test.

    Args:
        capture: The capture.
        train: (W,) windows that train.
        validation: (W,) windows of held-out stretches.
        test: (W,) windows that test.
        split: Name of the test split that its test windows belong to.
    """

    capture: Capture
    train: Mask
    validation: Mask
    test: Mask
    split: str

    def training_frames(self, window: int, stride: int) -> list[Frames]:
        """The stretches of consecutive training windows, as views of the frames."""
        edges = np.flatnonzero(np.diff(np.pad(self.train.astype(np.int8), 1)))
        return [
            self.capture.frames[start * stride : (stop - 1) * stride + window]
            for start, stop in edges.reshape(-1, 2)
        ]

    def without(self, windows: Mask) -> CaptureSplit:
        """The same split, where some windows (W,) neither train nor validate."""
        kept = ~windows
        return replace(self, train=self.train & kept, validation=self.validation & kept)


def window_times(
    frames: Frames, window: int, stride: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times (W,) of the first and last frame of each whole window."""
    first = np.arange(0, len(frames) - window + 1, stride)
    return frames.timestamp[first], frames.timestamp[first + window - 1]


def repeated_windows(shared: Shared, data: CANData) -> Mask:
    """Return which windows (W,) of a training capture stand in a test capture too.

    They are the windows of which over `LIMIT` of the sequences that reach into them do, and those
    within `data.embargo_seconds` of one.
    """
    start, end = window_times(shared.capture.frames, data.window, data.stride)
    first = np.arange(len(start)) * data.stride
    lower = np.maximum(first - SEQUENCE + 1, 0)
    upper = np.minimum(first + data.window, len(shared.repeats))
    total = zeros(len(shared.repeats) + 1, np.int64)
    for rows in blocks(len(shared.repeats)):
        np.cumsum(shared.repeats[rows], out=total[1:][rows])
        total[1:][rows] += total[rows.start]
    repeats = total[upper] - total[lower] > LIMIT * (upper - lower)
    return near(repeats, start, end, data.embargo_seconds)


def near(
    windows: Mask, start: NDArray[np.float64], end: NDArray[np.float64], seconds: float
) -> Mask:
    """Return which windows (W,) are among the given ones, overlap one, or are within its embargo.

    Args:
        windows: (W,) the given ones.
        start: (W,) time of each window's first frame.
        end: (W,) time of its last frame.
        seconds: The embargo.
    """
    before = np.maximum.accumulate(np.where(windows, end, -np.inf))
    after = np.minimum.accumulate(np.where(windows, start, np.inf)[::-1])[::-1]
    close: Mask = windows | (np.minimum(start - before, after - end) <= seconds)
    return close


def without_shared(
    splits: Sequence[CaptureSplit], data: CANData
) -> tuple[list[CaptureSplit], list[str]]:
    """Leave out of training and validation what also stands in a test capture.

    Returns:
        The splits that have windows left, and a sentence for each capture that lost some.

    Raises:
        DataError: That leaves nothing to train or to validate with.
    """
    roles = ("training", "validation") if any(s.validation.any() for s in splits) else ("training",)
    learning = [s.capture for s in splits if s.train.any() or s.validation.any()]
    tests = [s.capture for s in splits if s.capture.tests]
    shared = {id(found.capture): found for found in shared_captures(learning, tests)}
    kept, said = [], []
    for split in splits:
        if found := shared.get(id(split.capture)):
            windows = repeated_windows(found, data)
            split = split.without(windows)
            part = "" if windows.all() else f": {windows.sum()} of its {len(windows)} windows"
            said.append(f"{split.capture.label}{part} left out: {found.says}")
        if split.train.any() or split.validation.any() or split.test.any():
            kept.append(split)
    left = {
        "training": any(s.train.any() for s in kept),
        "validation": any(s.validation.any() for s in kept),
    }
    for role in roles:
        if shared and not left[role]:
            raise DataError(
                f"nothing is left for {role}: test captures hold the traffic of its captures",
                where=data.root,
                hint="Look at them with `tutelage audit can`, and add captures of other drives.",
            )
    return kept, said


def split_captures(captures: Sequence[Capture], data: CANData) -> list[CaptureSplit]:
    """Give each capture's windows to training, validation and testing.

    Captures named ``test…`` test, those named ``val…`` validate, and the others train. Where none
    is named ``test…``, the last `data.test_fraction` of each training capture's time tests. Where
    none is named ``val…``, stretches that make up `data.validation_fraction` of the time that
    trains validate. Windows closer to such a stretch than `data.embargo_seconds`, or reaching into
    it, are left out. A capture whose content stands in a test split too is never trained on, nor
    is one that validates, nor is one trained on twice.

    Raises:
        DataError: No capture trains.
    """
    kept = kept_for_testing(captures, data)
    validating = any(capture.validates for capture in captures)
    seen = {capture.digest for capture in captures if capture.tests}
    used: dict[str, CaptureSplit] = {}
    for capture in captures:
        if capture.validates and capture.digest not in seen:
            capture.require_labels(data.columns.given())
            seen.add(capture.digest)
            used[capture.digest] = _all_validate(capture, data)
    splits = []
    number = 0  # of training captures: what is held out can't depend on what tests
    for capture in captures:
        if capture.tests:
            splits.append(_all_test(capture, data))
        elif capture.validates and used.get(capture.digest):
            splits.append(used.pop(capture.digest))
        elif capture.digest not in seen:
            seen.add(capture.digest)
            capture.require_labels(data.columns.given())
            splits.append(_by_time(capture, number, data, kept, not validating))
            number += 1
    _require_training(splits, captures, data)
    _log_roles(splits, kept)
    return splits


def pool_captures(captures: Sequence[Capture], data: CANData) -> list[CaptureSplit]:
    """Let all that trains and all that validates train, as a pool to deal folds from.

    What tests is what `split_captures` makes test. A capture whose content stands in a test split
    too is in no pool, nor is one in it twice.

    Raises:
        DataError: No capture trains.
    """
    kept = kept_for_testing(captures, data)
    seen = {capture.digest for capture in captures if capture.tests}
    splits = []
    for capture in captures:
        if capture.tests:
            splits.append(_all_test(capture, data))
        elif capture.digest not in seen:
            seen.add(capture.digest)
            capture.require_labels(data.columns.given())
            splits.append(_by_time(capture, 0, data, kept, False))
    _require_training(splits, captures, data)
    _log_roles(splits, kept)
    return splits


def _require_training(
    splits: Sequence[CaptureSplit], captures: Sequence[Capture], data: CANData
) -> None:
    if any(split.train.any() for split in splits):
        return
    candidates = [s.capture for s in splits if not (s.capture.tests or s.capture.validates)]
    if candidates:
        longest = max(len(capture.frames) for capture in candidates)
        raise DataError(
            f"none of the {len(captures)} captures trains: the longest that could has {longest} "
            f"frames, too few windows of {data.window} frames every {data.stride} to hold some out",
            where=data.root,
            hint="Give longer captures, or set a shorter data.window, data.stride or "
            "data.embargo_seconds.",
        )
    raise DataError(
        f"none of the {len(captures)} captures trains",
        where=data.root,
        hint="Name training captures train_…, or name none test_… so that time splits them.",
    )


def _log_roles(splits: Sequence[CaptureSplit], kept: float) -> None:
    """Say how many captures train, validate and test."""
    masks = [(s.train, s.validation, s.test) for s in splits]
    counts = [sum(bool(mask.any()) for mask in kind) for kind in zip(*masks, strict=True)]
    _log.info("captures that train: %d, that validate: %d, that test: %d", *counts)
    if kept:
        _log.info(
            "no capture is named test…: the last %g %% of each capture's time tests", 100 * kept
        )


def kept_for_testing(captures: Sequence[Capture], data: CANData) -> float:
    """Return the share of each training capture's time, at its end, that tests."""
    return 0.0 if any(capture.tests for capture in captures) else data.test_fraction


def _all_validate(capture: Capture, data: CANData) -> CaptureSplit:
    count = len(window_times(capture.frames, data.window, data.stride)[0])
    none = np.zeros(count, bool)
    return CaptureSplit(capture, none, np.ones(count, bool), none, capture.split)


def _all_test(capture: Capture, data: CANData) -> CaptureSplit:
    count = len(window_times(capture.frames, data.window, data.stride)[0])
    none = np.zeros(count, bool)
    return CaptureSplit(capture, none, none, np.ones(count, bool), capture.split)


def test_only(
    captures: Sequence[Capture], kept: Mapping[str, float], data: CANData, whole: bool = False
) -> list[CaptureSplit]:
    """Make captures test: those named ``test…`` if there are any, else all of them.

    Of a capture that was trained on, only the time that was kept for testing tests; where none
    was kept it tests whole, and its scores prove nothing.

    Args:
        captures: All captures.
        kept: For each capture that the model was trained on, by digest, the share of its time, at
            its end, that was kept for testing.
        data: Settings.
        whole: Whether each capture tests whole, whatever it is called: they are to be predicted.
    """
    named = [capture for capture in captures if capture.tests and not whole]
    splits = []
    for capture in named or captures:
        if kept.get(capture.digest) and not named and not whole:
            splits.append(_by_time(capture, 0, data, kept[capture.digest], True))
        else:
            split = _all_test(capture, data)
            splits.append(replace(split, split=capture.split or "test"))
    return splits


def _by_time(
    capture: Capture, number: int, data: CANData, test_fraction: float, holds_out: bool
) -> CaptureSplit:
    start, end = window_times(capture.frames, data.window, data.stride)
    if not len(start):
        none = np.zeros(0, bool)
        return CaptureSplit(capture, none, none, none, "test")
    first, last = float(start.min()), float(end.max())
    cut = last - test_fraction * (last - first)
    embargo = data.embargo_seconds
    test = start >= cut if test_fraction else np.zeros(len(start), bool)
    free = end < cut - embargo if test_fraction else np.ones(len(start), bool)
    validation = np.zeros(len(start), bool)
    train = free.copy()
    for lower, upper in _held_out(first, cut, number, data) if holds_out else ():
        validation |= (start >= lower) & (end <= upper) & free
        train &= (end < lower - embargo) | (start > upper + embargo)
    return CaptureSplit(capture, train & ~validation, validation, test, "test")


def _held_out(first: float, last: float, number: int, data: CANData) -> list[tuple[float, float]]:
    """Stretches of time that validate, spread over a capture, at another place in each capture."""
    held = data.validation_fraction * (last - first)
    affordable = held / (2 * data.embargo_seconds) if data.embargo_seconds else STRETCHES
    count = max(1, min(STRETCHES, int(affordable)))
    slot, length = (last - first) / count, held / count
    offset = (number + 1) * GOLDEN % 1 * (slot - length)
    return [(first + k * slot + offset, first + k * slot + offset + length) for k in range(count)]
