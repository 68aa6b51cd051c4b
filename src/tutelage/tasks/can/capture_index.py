"""A capture prepared for windows: ids as ranks, each id's previous frame, baselines by rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.profile import UNKNOWN, TrafficProfile

SHORTEST_GAP = 1e-6
"""Gaps (s) are taken to be at least this long; clocks that step back give shorter ones."""

SETTLED = 100
"""Frames with which a capture is taken to have begun, where shares of its frames so far count."""

T = TypeVar("T", bound=np.generic)
_DIRECT_TABLE = 1 << 20


@dataclass(frozen=True, slots=True)
class CaptureIndex:
    """A capture of n frames with U distinct ids, ready to be cut into windows.

    Args:
        ids: (U,) uint32, ascending: every raw id that occurs, known or not.
        rank: (n,) place of each frame's id in ``ids``.
        previous: (n,) row of the id's previous frame in the capture, -1 for its first one.
        share: (n,) float32, logarithm of the id's share of the capture so far; see `_share`.
        payload: (n,) uint64, the eight bytes as one integer, byte k in bits 8k to 8k+7.
        token: (U,) int32, the vocabulary's number of each id; 0 for unknown.
        known: (U,) float32, 1 for an id of the vocabulary, else 0.
        frequency: (U,) float32, 1 / median benign gap in Hz, 0 where there is none.
        gap_spread: (U,) float32.
        per_max_count: (U,) float32, 1 / max_count, 0 for unknown ids.
        changes_expected: (U,) float32, bytes that change in a usual step; 0 for unknown ids.
        surprise: (V + 1, 256) float32, -ln P(exactly these bytes change) by token and bit mask,
            bytes taken as independent; 0 for unknown ids.
    """

    frames: Frames
    ids: NDArray[np.uint32]
    rank: NDArray[np.integer]
    previous: NDArray[np.intp]
    share: NDArray[np.float32]
    payload: NDArray[np.uint64]
    token: NDArray[np.int32]
    known: NDArray[np.float32]
    frequency: NDArray[np.float32]
    gap_spread: NDArray[np.float32]
    per_max_count: NDArray[np.float32]
    changes_expected: NDArray[np.float32]
    surprise: NDArray[np.float32]

    @classmethod
    def of(cls, frames: Frames, profile: TrafficProfile) -> CaptureIndex:
        """Index a capture against what is known of benign traffic."""
        ids, rank = _rank(frames.arbitration_id)
        token = profile.id_index(ids)
        return cls(
            frames=frames,
            ids=ids,
            rank=rank,
            previous=_previous(rank),
            share=_share(rank),
            payload=np.ascontiguousarray(frames.payload).view("<u8").ravel(),
            token=token,
            known=(token != UNKNOWN).astype(np.float32),
            frequency=_by_token(_inverse(profile.median_gap), token),
            gap_spread=_by_token(np.minimum(profile.gap_spread, 8.0), token),
            per_max_count=_by_token(_inverse(profile.max_count.astype(np.float64)), token),
            changes_expected=_by_token(profile.byte_change_rate.sum(axis=1), token),
            surprise=_surprise(profile.byte_change_rate),
        )


@dataclass(frozen=True, slots=True)
class WindowBlock:
    """The frames of B consecutive windows of W frames, flat in window order (m = B * W).

    Args:
        window: W.
        rank: (m,) place of the id among the capture's ids.
        time: (m,) float64, seconds.
        payload: (m,) uint64.
        gap: (m,) float32, seconds since the id's previous frame, at least `SHORTEST_GAP`;
            infinite for the first frame of an id in the capture.
        share: (m,) float32, logarithm of the id's share of the capture before this frame.
        is_first: (m,) bool, whether it is that first frame.
        hamming: (m,) uint8, bits that differ from the id's previous frame; 0 for its first.
        dlc_and_changes: (m,) uint32, dlc plus 65536 times the bytes that differ.
        surprise: (m,) float32, how unlikely these changes are for the id, in nats.
    """

    window: int
    rank: NDArray[np.integer]
    time: NDArray[np.float64]
    payload: NDArray[np.uint64]
    gap: NDArray[np.float32]
    share: NDArray[np.float32]
    is_first: NDArray[np.bool_]
    hamming: NDArray[np.uint8]
    dlc_and_changes: NDArray[np.uint32]
    surprise: NDArray[np.float32]

    @classmethod
    def of(cls, capture: CaptureIndex, rows: Windows) -> WindowBlock:
        """Cut windows out of a capture and compare each frame with its id's previous one."""
        previous, rank = rows.cut(capture.previous), rows.cut(capture.rank)
        time, payload = rows.cut(capture.frames.timestamp), rows.cut(capture.payload)
        is_first = previous < 0
        gap = (time - capture.frames.timestamp.take(previous)).astype(np.float32)
        np.maximum(gap, np.float32(SHORTEST_GAP), out=gap)
        gap[is_first] = np.inf
        differ = payload ^ capture.payload.take(previous)
        differ[is_first] = 0
        changed = np.packbits(differ.view(np.uint8), bitorder="little")
        place = capture.token.take(rank) * np.int32(256) + changed
        surprise = capture.surprise.ravel().take(place)
        surprise[is_first] = 0
        sums = np.bitwise_count(changed).astype(np.uint32) << np.uint32(16)
        sums |= rows.cut(capture.frames.dlc)
        hamming = np.bitwise_count(differ)
        share = rows.cut(capture.share)
        return cls(rows.window, rank, time, payload, gap, share, is_first, hamming, sums, surprise)


@dataclass(frozen=True, slots=True)
class Windows:
    """Which frames B windows take: window i is rows first + i * stride + [0, window)."""

    first: int
    count: int
    window: int
    stride: int

    def cut(self, column: NDArray[T]) -> NDArray[T]:
        """Return the (count * window,) values of a column, without a copy if windows adjoin."""
        if self.stride == self.window:
            return column[self.first : self.first + self.count * self.window]
        views = np.lib.stride_tricks.sliding_window_view(column[self.first :], self.window)
        return views[: (self.count - 1) * self.stride + 1 : self.stride].reshape(-1)


def _rank(
    arbitration_id: NDArray[np.uint32],
) -> tuple[NDArray[np.uint32], NDArray[np.integer]]:
    """Return the distinct ids, ascending, and each frame's place among them."""
    if int(arbitration_id.max()) < _DIRECT_TABLE:
        present = np.zeros(int(arbitration_id.max()) + 1, np.bool_)
        present[arbitration_id] = True
        ids = np.flatnonzero(present).astype(np.uint32)
        table = np.zeros(len(present), np.min_scalar_type(len(ids)))
        table[ids] = np.arange(len(ids))
        return ids, table.take(arbitration_id)
    ids = np.unique(arbitration_id)
    return ids, np.searchsorted(ids, arbitration_id).astype(np.min_scalar_type(len(ids)))


def _previous(rank: NDArray[np.integer]) -> NDArray[np.intp]:
    order = np.argsort(rank, kind="stable")
    ordered = rank.take(order)
    before = np.empty_like(order)
    before[0] = -1
    before[1:] = np.where(ordered[1:] == ordered[:-1], order[:-1], -1)
    previous = np.empty_like(order)
    previous[order] = before
    return previous


def _share(rank: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return (n,) log2(256 (earlier frames of the id + 1) / (earlier frames + `SETTLED`))."""
    order = np.argsort(rank, kind="stable")
    ordered, place = rank.take(order), np.arange(len(order))
    starts = np.append(True, ordered[1:] != ordered[:-1])
    earlier = np.empty(len(order), np.int64)
    earlier[order] = place - np.maximum.accumulate(np.where(starts, place, 0))
    share: NDArray[np.float32] = np.log2(256 * (earlier + 1) / (place + SETTLED)).astype(np.float32)
    return np.clip(share, -8, 8)


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _by_token(values: NDArray[np.float64], token: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return each id's value, with 0 for the unknown token."""
    return np.append(0.0, values).astype(np.float32).take(token)


def _surprise(rate: NDArray[np.float64]) -> NDArray[np.float32]:
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    table = -(np.log(rate) @ bits.T + np.log1p(-rate) @ (1 - bits).T)
    return np.vstack([np.zeros((1, 256)), table]).astype(np.float32)
