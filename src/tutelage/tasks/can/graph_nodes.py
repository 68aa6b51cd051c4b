"""Nodes of window graphs: one per distinct CAN ID in a window, with its statistics there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.capture_index import SHORTEST_GAP, CaptureIndex, WindowBlock

NODE_FEATURES = (
    *(f"byte_mean_{k}" for k in range(8)),
    "count_minmax",
    "last_position",
    "span",
    "dlc",
    "known",
    "count_ratio",
    "mean_gap_ratio",
    "min_gap_ratio",
    "max_gap_ratio",
    "min_two_gap_ratio",
    "silence_ratio",
    "rate_ratio",
    "gap_spread",
    "byte_change_excess",
    "byte_change_surprise",
    "max_hamming",
    "mean_gap",
    "min_gap",
    "share_so_far",
)
"""Columns of a node's features; `build_graphs` says what each one is."""

PROFILE_FEATURES = NODE_FEATURES[NODE_FEATURES.index("known") : NODE_FEATURES.index("max_hamming")]
"""Those that say how a node stands to its id's baseline; all are 0 for an unknown id."""

USUAL_GAP = 0.01
"""Seconds: the shortest cycle that is common on CAN buses."""

RATIO_LIMIT = 8.0
"""Logarithmic ratios (base 2) are clipped to this magnitude."""

_COLUMN = {name: column for column, name in enumerate(NODE_FEATURES)}
_F = np.float32


@dataclass(frozen=True, slots=True)
class BlockNodes:
    """The nodes of a block of B windows, N in all, ordered by window and then by raw id.

    Args:
        x: (N, F) float32.
        id_index: (N,) int32.
        counts: (B,) int64, nodes of each window.
        local: (B, W) int32, for each frame the number of its node within its window.
    """

    x: NDArray[np.float32]
    id_index: NDArray[np.int32]
    counts: NDArray[np.int64]
    local: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Segments:
    """Frames of a block sorted by (window, id, position); a node is a run of them.

    Args:
        order: (B * W,) place in the block of each sorted frame.
        boundary: (B * W,) bool, whether the frame is its node's first.
        first: (N,) sorted place of each node's first frame; ``last`` of its last one.
        count: (N,) frames of each node.
        per_window: (B,) nodes of each window.
    """

    order: NDArray[np.intp]
    boundary: NDArray[np.bool_]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    count: NDArray[np.intp]
    per_window: NDArray[np.int64]


def block_nodes(block: WindowBlock, capture: CaptureIndex) -> BlockNodes:
    """Group each window's frames by id and describe each group."""
    segments = _segment(block, capture)
    rank = block.rank.take(segments.order.take(segments.first))
    x = np.empty((len(rank), len(NODE_FEATURES)), _F)
    _payload_columns(x, block, segments)
    _change_columns(x, block, segments, capture, rank)
    _place_columns(x, block, segments, capture, rank)
    _timing_columns(x, block, segments, capture, rank)
    base = np.cumsum(segments.per_window) - segments.per_window
    number = np.cumsum(segments.boundary, dtype=np.int32) - 1
    local_flat = np.empty(len(block.rank), np.int32)
    local_flat[segments.order] = number
    local = local_flat.reshape(-1, block.window)
    local -= base[:, None].astype(np.int32)
    return BlockNodes(x, capture.token.take(rank), segments.per_window, local)


def _segment(block: WindowBlock, capture: CaptureIndex) -> _Segments:
    """Sort each window's frames by id through one packed (rank, position) key each."""
    window = block.window
    bits = (window - 1).bit_length()
    width = (len(capture.ids) << bits).bit_length()
    kind = np.dtype(np.uint16 if width <= 16 else np.uint32 if width <= 32 else np.uint64)
    key: NDArray[np.uint64] = block.rank.reshape(-1, window).astype(kind)
    key <<= kind.type(bits)
    key |= np.arange(window, dtype=kind)
    key.sort(axis=1)
    base = np.arange(len(key), dtype=np.intp)[:, None] * window
    order = ((key & kind.type((1 << bits) - 1)).astype(np.intp) + base).ravel()
    key >>= kind.type(bits)
    boundary = np.empty(key.shape, np.bool_)
    boundary[:, 0] = True
    np.not_equal(key[:, 1:], key[:, :-1], out=boundary[:, 1:])
    per_window = np.count_nonzero(boundary, axis=1)
    flat = boundary.ravel()
    first = np.flatnonzero(flat)
    end = np.append(first[1:], flat.size)
    return _Segments(order, flat, first, end - 1, end - first, per_window)


def _payload_columns(x: NDArray[np.float32], block: WindowBlock, segments: _Segments) -> None:
    """Write the eight byte means, summed as packed lanes of one 64-bit integer."""
    payload = block.payload.take(segments.order)
    lanes, width = (2, np.uint16) if block.window <= 257 else (4, np.uint32)
    mask = np.uint64(0x00FF00FF00FF00FF if lanes == 2 else 0x000000FF000000FF)
    scale = _F(1.0) / (segments.count * 255).astype(_F)
    for lane in range(lanes):
        part = payload >> np.uint64(8 * lane) if lane else payload
        sums = np.add.reduceat(part & mask, segments.first).view(width)
        np.multiply(sums.reshape(len(scale), -1), scale[:, None], out=x[:, lane:8:lanes])


def _change_columns(
    x: NDArray[np.float32],
    block: WindowBlock,
    segments: _Segments,
    capture: CaptureIndex,
    rank: NDArray[np.integer],
) -> None:
    """Write how the payload moved since the id's previous frame, beside what is usual for it."""
    first, order = segments.first, segments.order
    hamming = np.maximum.reduceat(block.hamming.take(order), first)
    x[:, _COLUMN["max_hamming"]] = hamming * _F(1 / 64)
    surprise = np.maximum.reduceat(block.surprise.take(order), first)
    x[:, _COLUMN["byte_change_surprise"]] = np.log1p(surprise)
    sums = np.add.reduceat(block.dlc_and_changes.take(order), first)
    x[:, _COLUMN["dlc"]] = (sums & np.uint32(0xFFFF)) / (segments.count * 8)
    changed = (sums >> np.uint32(16)).astype(_F)
    steps = (segments.count - block.is_first.take(order.take(first))).astype(_F)
    excess = changed - steps * capture.changes_expected.take(rank)
    excess /= np.maximum(steps, 1) * 8
    excess *= capture.known.take(rank)
    x[:, _COLUMN["byte_change_excess"]] = excess


def _place_columns(
    x: NDArray[np.float32],
    block: WindowBlock,
    segments: _Segments,
    capture: CaptureIndex,
    rank: NDArray[np.integer],
) -> None:
    """Write counts and positions within the window, and what the vocabulary knows."""
    window = block.window
    count = segments.count.astype(_F)
    starts = np.cumsum(segments.per_window) - segments.per_window
    low = np.repeat(np.minimum.reduceat(count, starts), segments.per_window)
    high = np.repeat(np.maximum.reduceat(count, starts), segments.per_window)
    x[:, _COLUMN["count_minmax"]] = (count - low) / np.maximum(high - low, 1)
    last = segments.order.take(segments.last) % window
    head = segments.order.take(segments.first) % window
    x[:, _COLUMN["last_position"]] = last * _F(1 / window)
    x[:, _COLUMN["span"]] = (last - head) * _F(1 / window)
    x[:, _COLUMN["known"]] = capture.known.take(rank)
    x[:, _COLUMN["gap_spread"]] = capture.gap_spread.take(rank)
    x[:, _COLUMN["share_so_far"]] = block.share.take(segments.order.take(segments.first))
    count *= capture.per_max_count.take(rank)
    x[:, _COLUMN["count_ratio"]] = np.minimum(count, RATIO_LIMIT)


def _timing_columns(
    x: NDArray[np.float32],
    block: WindowBlock,
    segments: _Segments,
    capture: CaptureIndex,
    rank: NDArray[np.integer],
) -> None:
    """Write the gaps in units of the id's median benign gap, as logarithms of base 2."""
    first, order, window = segments.first, segments.order, block.window
    frequency = capture.frequency.take(rank)
    gap = block.gap.take(order)
    two = np.empty_like(gap)
    two[0] = np.inf
    np.add(gap[1:], gap[:-1], out=two[1:])
    two[segments.boundary] = np.inf
    shortest, shortest_two = _least(gap, first), _least(two, first)
    gap[np.isinf(gap)] = 0
    steps = (segments.count - block.is_first.take(order.take(first))).astype(_F)
    longest: NDArray[np.float32] = np.maximum.reduceat(gap, first)
    mean: NDArray[np.float32] = np.add.reduceat(gap, first)
    mean /= np.maximum(steps, 1)
    ends = block.time.reshape(-1, window)[:, -1]
    duration = np.maximum(ends - block.time[::window], SHORTEST_GAP).astype(_F)
    silence = np.repeat(ends, segments.per_window) - block.time.take(order.take(segments.last))
    expected = np.repeat(duration, segments.per_window) * frequency
    expected /= segments.count.astype(_F)
    for name, ratio in (
        ("mean_gap", mean * _F(1 / USUAL_GAP)),
        ("min_gap", shortest * _F(1 / USUAL_GAP)),
        ("mean_gap_ratio", mean * frequency),
        ("min_gap_ratio", shortest * frequency),
        ("max_gap_ratio", longest * frequency),
        ("min_two_gap_ratio", shortest_two * (frequency * _F(0.5))),
    ):
        x[:, _COLUMN[name]] = _log_ratio(ratio)
    x[:, _COLUMN["rate_ratio"]] = 0 - _log_ratio(expected)
    quiet = np.maximum(silence, 0).astype(_F) * frequency
    x[:, _COLUMN["silence_ratio"]] = np.minimum(np.log2(1 + quiet), _F(RATIO_LIMIT))


def _log_ratio(ratio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log2 within the limits; a ratio of 0, so one that is not there, gives 0."""
    logarithm = np.log2(np.where(ratio > 0, ratio, 1))
    return np.clip(logarithm, -RATIO_LIMIT, RATIO_LIMIT)


def _least(gap: NDArray[np.float32], first: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return each segment's least gap, 0 where every gap is infinite."""
    least = np.minimum.reduceat(gap, first)
    least[np.isinf(least)] = 0
    return least
