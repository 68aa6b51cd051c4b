"""A capture prepared for windows: ids as ranks, and each frame beside its id's previous one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.frames import DIRECT_TABLE, Frames, distinct_ids
from tutelage.tasks.can.id_tables import IdTables
from tutelage.tasks.can.profile import TrafficProfile
from tutelage.tasks.can.scratch import ROWS, blocks, zeros

SHORTEST_GAP = 1e-6
"""Gaps (s) are taken to be at least this long; clocks that step back give shorter ones."""

SETTLED = 100
"""Frames with which a capture is taken to have begun, where shares of its frames so far count."""

MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
MIX_SHIFT = np.uint64(31)

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class CaptureIndex:
    """A capture of n frames with U distinct ids, ready to be cut into windows.

    Args:
        tables: What is known of the ids.
        ids: (U,) uint32, ascending: every raw id that occurs, known or not.
        rank: (n,) place of each frame's id in ``ids``.
        previous: (n,) row of the id's previous frame in the capture, -1 for its first one.
        share: (n,) float32, logarithm of the id's share of the capture so far; see `log_share`.
        payload: (n,) uint64, the eight bytes as one integer, byte k in bits 8k to 8k+7.
        token: (U,) int32, the vocabulary's number of each id; 0 for unknown.
    """

    frames: Frames
    tables: IdTables
    ids: NDArray[np.uint32]
    rank: NDArray[np.unsignedinteger]
    previous: NDArray[np.intp]
    share: NDArray[np.float32]
    payload: NDArray[np.uint64]
    token: NDArray[np.int32]

    @classmethod
    def of(cls, frames: Frames, profile: TrafficProfile, rows: int = ROWS) -> CaptureIndex:
        """Index a capture against what is known of benign traffic.

        Args:
            frames: The capture.
            profile: What is known.
            rows: Frames that are looked at at once.
        """
        ids = frames.ids
        rank = zeros(len(frames), np.min_scalar_type(len(ids)))
        previous, share = zeros(len(frames), np.intp), zeros(len(frames), np.float32)
        last, seen = np.full(len(ids), -1, np.intp), np.zeros(len(ids), np.int64)
        for part in blocks(len(frames), rows):
            own = rank_among(ids, frames.arbitration_id[part])
            before, earlier = predecessors(own)
            before = np.where(before < 0, last.take(own), before + part.start)
            earlier += seen.take(own)
            rank[part], previous[part] = own, before
            share[part] = log_share(earlier, np.arange(part.start, part.stop))
            last[own] = np.arange(part.start, part.stop)
            seen += np.bincount(own, minlength=len(ids))
        return cls(
            frames=frames,
            tables=IdTables.of(profile),
            ids=ids,
            rank=rank,
            previous=previous,
            share=share,
            payload=payload_integers(frames),
            token=profile.id_index(ids),
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known of m frames one by one, in the light of those before them.

    Args:
        arbitration_id: (m,) uint32.
        token: (m,) int32, the vocabulary's number of the id; 0 for unknown.
        time: (m,) float64, seconds.
        payload: (m,) uint64.
        gap: (m,) float32, seconds since the id's previous frame, at least `SHORTEST_GAP`;
            infinite for the first frame of an id in the capture.
        share: (m,) float32, logarithm of the id's share of the capture before this frame.
        is_first: (m,) bool, whether it is that first frame.
        hamming: (m,) uint8, bits that differ from the id's previous frame; 0 for its first.
        dlc_and_changes: (m,) uint32, dlc plus 65536 times the bytes that differ.
        surprise: (m,) float32, how unlikely these changes are for the id, in nats.
        label: (m,) int8.
        hash: (m,) uint64, of id, dlc and payload.
    """

    arbitration_id: NDArray[np.uint32]
    token: NDArray[np.int32]
    time: NDArray[np.float64]
    payload: NDArray[np.uint64]
    gap: NDArray[np.float32]
    share: NDArray[np.float32]
    is_first: NDArray[np.bool_]
    hamming: NDArray[np.uint8]
    dlc_and_changes: NDArray[np.uint32]
    surprise: NDArray[np.float32]
    label: NDArray[np.int8]
    hash: NDArray[np.uint64]

    @classmethod
    def compare(
        cls,
        now: Observed,
        before_time: NDArray[np.float64],
        before_payload: NDArray[np.uint64],
        is_first: NDArray[np.bool_],
        surprise: NDArray[np.float32],
    ) -> Columns:
        """Compare frames with their ids' previous ones.

        Args:
            now: The frames.
            before_time: (m,) when each id's previous frame was; anything for a first one.
            before_payload: (m,) uint64, what it carried.
            is_first: (m,) bool, whether there was none.
            surprise: `IdTables.surprise`.
        """
        gap = (now.time - before_time).astype(np.float32)
        np.maximum(gap, np.float32(SHORTEST_GAP), out=gap)
        gap[is_first] = np.inf
        differ = now.payload ^ before_payload
        differ[is_first] = 0
        changed = np.packbits(differ.view(np.uint8), bitorder="little")
        surprises = surprise.take(now.token * np.int32(256) + changed)
        surprises[is_first] = 0
        sums = np.bitwise_count(changed).astype(np.uint32) << np.uint32(16)
        sums |= now.dlc
        return cls(
            now.arbitration_id,
            now.token,
            now.time,
            now.payload,
            gap,
            now.share,
            is_first,
            np.bitwise_count(differ),
            sums,
            surprises,
            now.label,
            _hash(now),
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """What m frames say by themselves; `Columns` explains each column, dlc is (m,) uint8."""

    arbitration_id: NDArray[np.uint32]
    token: NDArray[np.int32]
    time: NDArray[np.float64]
    payload: NDArray[np.uint64]
    share: NDArray[np.float32]
    dlc: NDArray[np.uint8]
    label: NDArray[np.int8]


def _hash(frames: Observed) -> NDArray[np.uint64]:
    """Return (m,) hashes of id, dlc and payload, mixed as in SplitMix64 (Steele et al., 2014)."""
    head = frames.arbitration_id.astype(np.uint64)
    head <<= np.uint64(4)
    head |= frames.dlc & np.uint8(15)
    head *= MIX[0]
    head ^= head >> MIX_SHIFT
    head += frames.payload
    for factor in MIX[1:]:
        head *= factor
        head ^= head >> MIX_SHIFT
    return head


@dataclass(frozen=True, slots=True)
class WindowBlock:
    """The frames of B consecutive windows of W frames, flat in window order (m = B * W).

    Args:
        window: W.
        columns: Their frames, m of them.
        key: (m,) unsigned integers that sort frames as their raw ids do.
        key_limit: A number that no key reaches.
    """

    window: int
    columns: Columns
    key: NDArray[np.unsignedinteger]
    key_limit: int

    @classmethod
    def of(cls, capture: CaptureIndex, rows: Windows) -> WindowBlock:
        """Cut windows out of a capture and compare each frame with its id's previous one."""
        previous, rank = rows.cut(capture.previous), rows.cut(capture.rank)
        frames = capture.frames
        now = Observed(
            rows.cut(frames.arbitration_id),
            capture.token.take(rank),
            rows.cut(frames.timestamp),
            rows.cut(capture.payload),
            rows.cut(capture.share),
            rows.cut(frames.dlc),
            rows.cut(frames.label),
        )
        before = frames.timestamp.take(previous), capture.payload.take(previous)
        columns = Columns.compare(now, *before, previous < 0, capture.tables.surprise)
        return cls(rows.window, columns, rank, len(capture.ids))


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


def rank_ids(
    arbitration_id: NDArray[np.uint32],
) -> tuple[NDArray[np.uint32], NDArray[np.unsignedinteger]]:
    """Return the distinct ids, ascending, and each frame's place among them."""
    ids = distinct_ids(arbitration_id)
    return ids, rank_among(ids, arbitration_id)


def rank_among(
    ids: NDArray[np.uint32], arbitration_id: NDArray[np.uint32]
) -> NDArray[np.unsignedinteger]:
    """Return each frame's place (n,) among ascending ids, of which its own is one."""
    kind = np.min_scalar_type(len(ids))
    if int(ids[-1]) < DIRECT_TABLE:
        table = np.zeros(int(ids[-1]) + 1, kind)
        table[ids] = np.arange(len(ids))
        return table.take(arbitration_id)
    return np.searchsorted(ids, arbitration_id).astype(kind)


def predecessors(
    rank: NDArray[np.unsignedinteger],
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return, for frames with these ids, the row of the id's previous one, and how many it had.

    Args:
        rank: (n,) a number for each frame's id.

    Returns:
        (n,) rows, -1 for the first frame of an id, and (n,) earlier frames of the id.
    """
    order = np.argsort(rank, kind="stable")
    ordered, place = rank.take(order), np.arange(len(order))
    starts = np.empty(len(order), np.bool_)
    starts[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    before = np.empty_like(order)
    before[1:] = order[:-1]
    before[starts] = -1
    previous, earlier = np.empty_like(order), np.empty(len(order), np.int64)
    previous[order] = before
    earlier[order] = place - np.maximum.accumulate(np.where(starts, place, 0))
    return previous, earlier


def log_share(earlier: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (n,) log2(256 (earlier frames of the id + 1) / (earlier frames + `SETTLED`)).

    Args:
        earlier: (n,) frames of the id before each frame.
        place: (n,) frames before it in all.
    """
    share: NDArray[np.float32] = np.log2(256 * (earlier + 1) / (place + SETTLED)).astype(np.float32)
    return np.clip(share, -8, 8)


def payload_integers(frames: Frames) -> NDArray[np.uint64]:
    """Return (n,) payloads as one integer each, byte k in bits 8k to 8k+7."""
    return np.ascontiguousarray(frames.payload).view("<u8").ravel()
