"""`TrafficProfile`: what each CAN ID's benign traffic looks like, from training captures alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.rule_windows import benign_frames
from tutelage.tasks.can.scratch import ROWS, Spool, blocks

UNKNOWN = 0
"""The token that every id outside the vocabulary shares."""

_IQR_OF_A_NORMAL = 1.349


@dataclass(frozen=True, slots=True)
class TrafficProfile:
    """Per-id baselines of benign traffic, over V known ids in ascending order.

    Args:
        ids: (V,) uint32, the vocabulary: every id with a benign frame in training.
        median_gap: (V,) float64, seconds between consecutive frames of the id; 0 where no capture
            holds two frames of it, or where half of its gaps are 0.
        gap_spread: (V,) float64, interquartile range of the gaps over 1.349 and over the median
            (so a normal jitter's standard deviation, relative); 0 where ``median_gap`` is 0.
        max_count: (V,) int64, most frames of the id in any ``window`` consecutive benign frames.
        byte_change_rate: (V, 8) float64, probability that byte k differs from the id's previous
            frame, as (changes + 1/2) / (transitions + 1) (Krichevsky and Trofimov, 1981), so never
            0 or 1.
        window: Length in frames of the windows that ``max_count`` is about.
    """

    ids: NDArray[np.uint32]
    median_gap: NDArray[np.float64]
    gap_spread: NDArray[np.float64]
    max_count: NDArray[np.int64]
    byte_change_rate: NDArray[np.float64]
    window: int

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def fit(cls, captures: Sequence[Frames], window: int, rows: int = ROWS) -> TrafficProfile:
        """Learn the baselines from the benign frames of ``captures``.

        Frames labelled as attacks, and unlabelled ones, are left out before anything is measured.
        Gaps, changes and counts never reach across two captures.

        Args:
            captures: The frames.
            window: Length in frames of the windows in which they are counted.
            rows: Frames that are measured at once.

        Raises:
            DataError: No capture holds a benign frame.
        """
        benign = [benign_frames(frames) for frames in captures]
        benign = [frames for frames in benign if len(frames)]
        if not benign:
            raise DataError(
                f"no benign frame in {len(captures)} captures to learn normal traffic from",
                hint="Give at least one capture whose frames are labelled 0 (attack-free).",
            )
        ids = np.unique(np.concatenate([f.ids for f in benign]))
        size = len(ids)
        changes, transitions = np.zeros((size, 8)), np.zeros(size, np.int64)
        max_count = np.zeros(size, np.int64)
        keys = Spool(np.uint64)
        for frames in (part for whole in benign for part in _in_blocks(whole, rows)):
            rank, order = _by_rank(frames, ids)
            follows = np.flatnonzero(rank[1:] == rank[:-1]) + 1
            keys.append(_gap_keys(rank, order, follows, frames))
            changes += _count_changes(rank, order, follows, frames, size)
            transitions += np.bincount(rank.take(follows), minlength=size)
        for frames in benign:
            for part in blocks(len(frames), rows):
                rank, order = _by_rank(frames[part.start : part.stop + window - 1], ids)
                np.maximum(max_count, _most_in_window(rank, order, size, window), out=max_count)
        median, spread = _gap_statistics(keys.array(), transitions)
        rate = (changes + 0.5) / (transitions[:, None] + 1.0)
        return cls(ids, median, spread, max_count, rate, window)

    def id_index(self, arbitration_id: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Return (n,) tokens: `UNKNOWN` (0) for an id not in the vocabulary, else its place + 1."""
        place = np.searchsorted(self.ids, arbitration_id)
        known = self.ids[np.minimum(place, len(self.ids) - 1)] == arbitration_id
        return np.where(known, place + 1, UNKNOWN).astype(np.int32)

    def to_json(self) -> dict[str, object]:
        """Return the profile as plain JSON values, every number exact."""
        return {
            "ids": self.ids.tolist(),
            "median_gap": self.median_gap.tolist(),
            "gap_spread": self.gap_spread.tolist(),
            "max_count": self.max_count.tolist(),
            "byte_change_rate": self.byte_change_rate.tolist(),
            "window": self.window,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> TrafficProfile:
        """Rebuild a profile from `to_json`'s values.

        Raises:
            DataError: A field is missing, of another shape, or not a number.
        """
        try:
            ids = np.asarray(value["ids"], np.uint32)
            profile = cls(
                ids,
                np.asarray(value["median_gap"], np.float64),
                np.asarray(value["gap_spread"], np.float64),
                np.asarray(value["max_count"], np.int64),
                np.asarray(value["byte_change_rate"], np.float64).reshape(-1, 8),
                int(str(value["window"])),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _broken(str(error)) from error
        columns = (profile.median_gap, profile.gap_spread, profile.max_count)
        if any(column.shape != ids.shape for column in columns):
            raise _broken("its columns differ in length")
        if ids.ndim != 1 or not len(ids) or len(profile.byte_change_rate) != len(ids):
            raise _broken("its columns differ in length or are empty")
        if (np.diff(ids.astype(np.int64)) <= 0).any():
            raise _broken("its ids are not in ascending order")
        return profile


def _broken(why: str) -> DataError:
    hint = "Fit it again from the training captures."
    return DataError(f"a traffic profile is malformed: {why}", hint=hint)


def _in_blocks(frames: Frames, rows: int) -> Iterator[Frames]:
    """Yield a capture in blocks, each after the last frame that each identifier had before it."""
    before = frames[:0]
    for part in blocks(len(frames), rows):
        block = frames[part]
        if len(before):
            block = Frames.concatenate([before, block])
        yield block
        _, back = np.unique(block.arbitration_id[::-1], return_index=True)
        before = block.take(len(block) - 1 - back)


def _by_rank(
    frames: Frames, ids: NDArray[np.uint32]
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.intp]]:
    """Return (n,) places in ``ids``, ascending, and the row of each, ascending within a place."""
    rank = np.searchsorted(ids, frames.arbitration_id).astype(np.min_scalar_type(len(ids)))
    order = np.argsort(rank, kind="stable")
    return rank.take(order), order


def _gap_keys(
    rank: NDArray[np.unsignedinteger],
    order: NDArray[np.intp],
    follows: NDArray[np.intp],
    frames: Frames,
) -> NDArray[np.uint64]:
    """Pack each (id rank, gap) so that integer order is the order of the pair.

    The bits of non-negative float32 numbers sort as the numbers do; steps back in time become 0.
    """
    time = frames.timestamp.take(order)
    gaps = np.maximum(time.take(follows) - time.take(follows - 1), 0.0)
    keys = rank.take(follows).astype(np.uint64) << np.uint64(32)
    keys |= gaps.astype(np.float32).view(np.uint32)
    return keys


def _count_changes(
    rank: NDArray[np.unsignedinteger],
    order: NDArray[np.intp],
    follows: NDArray[np.intp],
    frames: Frames,
    size: int,
) -> NDArray[np.float64]:
    """Return (size, 8) how often each byte of each id differed from the id's previous frame."""
    changes = np.empty((size, 8))
    owner = rank.take(follows)
    for byte in range(8):
        values = frames.payload[:, byte].take(order)
        moved = values.take(follows) != values.take(follows - 1)
        changes[:, byte] = np.bincount(owner[moved], minlength=size)
    return changes


def _gap_statistics(
    keys: NDArray[np.uint64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    keys.sort()
    starts = np.cumsum(counts) - counts
    low, median, high = (_quantile(keys, starts, counts, q) for q in (0.25, 0.5, 0.75))
    spread = np.zeros_like(median)
    np.divide(high - low, _IQR_OF_A_NORMAL * median, out=spread, where=median > 0)
    return median, spread


def _gaps_of(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return (n,) the gaps that `_gap_keys` packed, in seconds."""
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32).astype(np.float64)


def _quantile(
    keys: NDArray[np.uint64], starts: NDArray[np.int64], counts: NDArray[np.int64], q: float
) -> NDArray[np.float64]:
    """Return the linearly interpolated quantile of each segment; 0 for an empty one."""
    result = np.zeros(len(counts))
    some = counts > 0
    place = (counts[some] - 1) * q
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, counts[some] - 1)
    first = starts[some]
    low, high = _gaps_of(keys[first + below]), _gaps_of(keys[first + above])
    result[some] = low + (high - low) * (place - below)
    return result


def _most_in_window(
    rank: NDArray[np.unsignedinteger], order: NDArray[np.intp], size: int, window: int
) -> NDArray[np.int64]:
    """Return (size,) the most frames of each id within any ``window`` consecutive rows.

    ``rank`` is ascending and ``order`` the row of each entry, ascending within a rank; a window
    that starts at an entry's row ends before the first entry ``window`` rows later.
    """
    stride = int(order.max()) + window + 1
    key = rank.astype(np.int64) * stride + order
    counts = np.searchsorted(key, key + window) - np.arange(len(key))
    most = np.zeros(size, np.int64)
    present, first = np.unique(rank, return_index=True)
    most[present] = np.maximum.reduceat(counts, first)
    return most
