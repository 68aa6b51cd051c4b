"""From captures to what trains, validates and tests: as names say, as a pool, or by a fold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.tasks.can.captures import Capture, load_dataset
from tutelage.tasks.can.config import CANData
from tutelage.tasks.can.overlap import overlapping_captures
from tutelage.tasks.can.splits import (
    CaptureSplit,
    kept_for_testing,
    pool_captures,
    split_captures,
    without_shared,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Division:
    """Captures, and what their windows are for.

    Args:
        splits: The captures that are used.
        kept: Share of each training capture's time, at its end, that tests.
        findings: What was left out, in words.
    """

    splits: list[CaptureSplit]
    kept: float
    findings: tuple[str, ...]


def divide_named(data: CANData, cache: Path) -> Division:
    """Divide captures by their names and their time: some trains, some validates, some tests.

    Raises:
        DataError: The data are missing or malformed, or nothing is left to train or validate with.
    """
    captures, findings = _usable(data, cache)
    splits, left_out = without_shared(split_captures(captures, data), data)
    return Division(splits, kept_for_testing(captures, data), (*findings, *said(left_out)))


def divide_pool(data: CANData, cache: Path) -> Division:
    """Let all that trains or validates train; what tests is what tests without folds.

    Raises:
        DataError: The data are missing or malformed, or nothing is left to train with.
    """
    captures, findings = _usable(data, cache)
    splits, left_out = without_shared(pool_captures(captures, data), data)
    return Division(splits, kept_for_testing(captures, data), (*findings, *said(left_out)))


def _usable(data: CANData, cache: Path) -> tuple[list[Capture], tuple[str, ...]]:
    """The captures that hold a window, of those that hold the same traffic one; the reasons."""
    captures, short = long_enough(load_dataset(data, cache), data)
    kept, alike = _without_overlap(captures)
    return kept, (*short, *said(alike))


def long_enough(
    captures: Sequence[Capture], data: CANData
) -> tuple[list[Capture], tuple[str, ...]]:
    """Leave out captures with fewer frames than a window, and say so.

    Raises:
        DataError: None holds a window.
    """
    window = data.window
    kept = [capture for capture in captures if len(capture.frames) >= window]
    if not kept:
        longest = max(len(capture.frames) for capture in captures)
        raise DataError(
            f"no capture holds a window of {window} frames; the longest has {longest}",
            where=data.root,
            hint="Give longer captures, or train with a shorter data.window.",
        )
    left_out = [
        f"{c.label} left out: its {len(c.frames)} frames are fewer than a window"
        for c in captures
        if len(c.frames) < window
    ]
    return kept, said(left_out)


def _without_overlap(captures: Sequence[Capture]) -> tuple[list[Capture], list[str]]:
    """Of captures that train or validate and hold the same traffic, keep one."""
    found = overlapping_captures([capture for capture in captures if not capture.tests])
    findings = [
        f"{capture.label} left out: it shares {share:.0%} of its traffic with {other.label}"
        for capture, other, share in found
        if capture.digest != other.digest
    ]
    left_out = {id(capture) for capture, _, _ in found}
    return [capture for capture in captures if id(capture) not in left_out], findings


def said(findings: Sequence[str]) -> tuple[str, ...]:
    """Log what was found, and return it."""
    for finding in findings:
        _log.info(finding)
    return tuple(findings)
