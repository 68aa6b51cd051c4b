"""Periodic traffic made frame by frame, into which tests put what they like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.evidence import Monitors, TimingModel
from tutelage.tasks.can.frames import ATTACK, BENIGN, Frames

LEVEL = 6.5
"""Surprise that alarms at 2,000 frames a second and 10 false alarms an hour."""


def made(
    identifier: int,
    time: NDArray[np.float64] | list[float],
    word: NDArray[np.uint64] | list[int] | int = 0,
    label: int = BENIGN,
) -> Frames:
    """Frames of one identifier; payloads are given as little-endian numbers."""
    seconds = np.asarray(time, np.float64)
    words = np.broadcast_to(np.asarray(word, np.uint64), seconds.shape)
    return Frames(
        seconds,
        np.full(len(seconds), identifier, np.uint32),
        np.full(len(seconds), 8, np.uint8),
        np.ascontiguousarray(words, "<u8").view(np.uint8).reshape(-1, 8).copy(),
        np.full(len(seconds), label, np.int8),
    )


def cycle(
    identifier: int, period: float, seconds: float, jitter: float = 0.0, seed: int = 0
) -> Frames:
    """A cycle whose frames are off by normal jitter, in seconds; a low octet steps now and then."""
    random = np.random.default_rng(seed + identifier)
    count = int(seconds / period)
    time = (np.arange(count) + random.uniform()) * period + random.normal(0, jitter, count)
    state = np.cumsum(random.uniform(size=count) < 0.1).astype(np.uint64) & np.uint64(7)
    return made(identifier, np.sort(time), state | np.uint64(0x1122334455660000))


def merged(*parts: Frames) -> Frames:
    """Frames in order of time."""
    frames = Frames.concatenate(parts)
    order = np.argsort(frames.timestamp, kind="stable")
    columns = (getattr(frames, name)[order] for name in Frames.__slots__)
    return Frames(*columns)


def bus(seconds: float, jitter: float = 0.0002, seed: int = 0) -> Frames:
    """Twelve identifiers between 10 and 200 ms."""
    periods = (0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.05, 0.05, 0.1, 0.1, 0.2, 0.2)
    parts = [cycle(0x100 + k, period, seconds, jitter, seed) for k, period in enumerate(periods)]
    return merged(*parts)


def without(frames: Frames, identifier: int) -> Frames:
    """All frames but those of an identifier."""
    keep = frames.arbitration_id != identifier
    return Frames(*(getattr(frames, name)[keep] for name in Frames.__slots__))


def alarms(model: TimingModel | Monitors, frames: Frames) -> NDArray[np.int64]:
    """Rows whose surprise is over `LEVEL`."""
    return np.flatnonzero(model.evidence(frames).score > LEVEL)


def injected(frames: Frames) -> NDArray[np.int64]:
    """Rows that are labelled attacks."""
    return np.flatnonzero(frames.label == ATTACK)
