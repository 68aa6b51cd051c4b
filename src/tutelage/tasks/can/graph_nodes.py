"""Nodes of window graphs: one per distinct CAN ID in a window, with its statistics there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.capture_index import SHORTEST_GAP, WindowBlock
from tutelage.tasks.can.id_tables import IdTables

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
_GAP_RATIOS = slice(_COLUMN["mean_gap_ratio"], _COLUMN["min_two_gap_ratio"] + 1)
_GAPS = slice(_COLUMN["mean_gap"], _COLUMN["min_gap"] + 1)
_F = np.float32


@dataclass(frozen=True, slots=True)
class BlockNodes:
    """The nodes of a block of B windows, N in all, ordered by window and then by raw id.

    Args:
        x: (N, F) float32.
        id_index: (N,) int32.
        arbitration_id: (N,) uint32.
        counts: (B,) int64, nodes of each window.
        local: (B, W) int32, for each frame the number of its node within its window.
    """

    x: NDArray[np.float32]
    id_index: NDArray[np.int32]
    arbitration_id: NDArray[np.uint32]
    counts: NDArray[np.int64]
    local: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Segments:
    """Frames of a block sorted by (window, id, position); a node is a run of them.

    Args:
        order: (B * W,) place in the block of each sorted frame.
        boundary: (B * W,) bool, whether the frame is its node's first.
        first: (N,) sorted place of each node's first frame.
        head: (N,) place in the block of each node's first frame; ``tail`` of its last one.
        per_window: (B,) nodes of each window; ``base`` those of the windows before it.
        window_of: (N,) window of each node.
        token: (N,) token of each node's id.
        count: (N,) float32, frames of each node.
        steps: (N,) float32, those that have a previous frame of the id in the capture.
    """

    order: NDArray[np.intp]
    boundary: NDArray[np.bool_]
    first: NDArray[np.intp]
    head: NDArray[np.intp]
    tail: NDArray[np.intp]
    per_window: NDArray[np.int64]
    base: NDArray[np.int64]
    window_of: NDArray[np.intp]
    token: NDArray[np.int32]
    count: NDArray[np.float32]
    steps: NDArray[np.float32]


def block_nodes(block: WindowBlock, tables: IdTables) -> BlockNodes:
    """Group each window's frames by id and describe each group."""
    segments = _segment(block)
    columns = np.empty((len(NODE_FEATURES), len(segments.first)), _F)
    _payload_columns(columns, block, segments)
    _change_columns(columns, block, segments, tables)
    _place_columns(columns, block, segments, tables)
    _timing_columns(columns, block, segments, tables)
    number = np.add.accumulate(segments.boundary, dtype=np.int32)
    number -= 1
    local_flat = np.empty(len(number), np.int32)
    local_flat[segments.order] = number
    local = local_flat.reshape(-1, block.window)
    if len(local) > 1:
        local -= segments.base[:, None].astype(np.int32)
    ids = block.columns.arbitration_id.take(segments.head)
    x = np.ascontiguousarray(columns.T)
    return BlockNodes(x, segments.token, ids, segments.per_window, local)


def _segment(block: WindowBlock) -> _Segments:
    """Sort each window's frames by id through one packed (key, position) integer each."""
    window = block.window
    bits = (window - 1).bit_length()
    width = (block.key_limit << bits).bit_length()
    kind = np.dtype(np.uint16 if width <= 16 else np.uint32 if width <= 32 else np.uint64)
    key: NDArray[np.uint64] = block.key.reshape(-1, window).astype(kind)
    key <<= kind.type(bits)
    key |= np.arange(window, dtype=kind)
    key.sort(axis=1)
    order = (key & kind.type((1 << bits) - 1)).astype(np.intp)
    if len(key) > 1:
        order += np.arange(len(key), dtype=np.intp)[:, None] * window
    key >>= kind.type(bits)
    boundary = np.empty(key.shape, np.bool_)
    boundary[:, 0] = True
    np.not_equal(key[:, 1:], key[:, :-1], out=boundary[:, 1:])
    per_window = boundary.sum(axis=1)
    order, flat = order.ravel(), boundary.ravel()
    first = flat.nonzero()[0]
    last = np.empty_like(first)
    np.subtract(first[1:], 1, out=last[:-1])
    last[-1] = flat.size - 1
    count = (last - first + 1).astype(_F)
    head = order.take(first)
    base = np.add.accumulate(per_window)
    base -= per_window
    return _Segments(
        order=order,
        boundary=flat,
        first=first,
        head=head,
        tail=order.take(last),
        per_window=per_window,
        base=base,
        window_of=np.arange(len(key)).repeat(per_window),
        token=block.columns.token.take(head),
        count=count,
        steps=count - block.columns.is_first.take(head),
    )


def _payload_columns(columns: NDArray[np.float32], block: WindowBlock, segments: _Segments) -> None:
    """Write the eight byte means, summed as packed lanes of one 64-bit integer."""
    payload = block.columns.payload.take(segments.order)
    lanes, width = (2, np.uint16) if block.window <= 257 else (4, np.uint32)
    mask = np.uint64(0x00FF00FF00FF00FF if lanes == 2 else 0x000000FF000000FF)
    scale = _F(1.0) / (segments.count * _F(255))
    for lane in range(lanes):
        part = payload >> np.uint64(8 * lane) if lane else payload
        sums = np.add.reduceat(part & mask, segments.first).view(width)
        np.multiply(sums.reshape(len(scale), -1).T, scale, out=columns[lane:8:lanes])


def _change_columns(
    columns: NDArray[np.float32], block: WindowBlock, segments: _Segments, tables: IdTables
) -> None:
    """Write how the payload moved since the id's previous frame, beside what is usual for it."""
    first, order, frames = segments.first, segments.order, block.columns
    hamming = np.maximum.reduceat(frames.hamming.take(order), first)
    np.multiply(hamming, _F(1 / 64), out=columns[_COLUMN["max_hamming"]])
    surprise = np.maximum.reduceat(frames.surprise.take(order), first)
    np.log1p(surprise, out=columns[_COLUMN["byte_change_surprise"]])
    sums = np.add.reduceat(frames.dlc_and_changes.take(order), first)
    columns[_COLUMN["dlc"]] = (sums & np.uint32(0xFFFF)) / (segments.count.astype(np.intp) * 8)
    changed = (sums >> np.uint32(16)).astype(_F)
    changed -= segments.steps * tables.changes_expected.take(segments.token)
    changed /= np.maximum(segments.steps, _F(1)) * _F(8)
    known = tables.known.take(segments.token, out=columns[_COLUMN["known"]], mode="clip")
    np.multiply(changed, known, out=columns[_COLUMN["byte_change_excess"]])


def _place_columns(
    columns: NDArray[np.float32], block: WindowBlock, segments: _Segments, tables: IdTables
) -> None:
    """Write counts and positions within the window, and what the vocabulary knows."""
    window, count, of = block.window, segments.count, segments.window_of
    low = np.minimum.reduceat(count, segments.base)
    reach = np.maximum.reduceat(count, segments.base) - low
    np.maximum(reach, _F(1), out=reach)
    np.divide(count - low.take(of), reach.take(of), out=columns[_COLUMN["count_minmax"]])
    last, head = segments.tail % window, segments.head % window
    columns[_COLUMN["last_position"]] = last * _F(1 / window)
    columns[_COLUMN["span"]] = (last - head) * _F(1 / window)
    columns[_COLUMN["gap_spread"]] = tables.gap_spread.take(segments.token)
    columns[_COLUMN["share_so_far"]] = block.columns.share.take(segments.head)
    ratio = count * tables.per_max_count.take(segments.token)
    np.minimum(ratio, _F(RATIO_LIMIT), out=columns[_COLUMN["count_ratio"]])


def _timing_columns(
    columns: NDArray[np.float32], block: WindowBlock, segments: _Segments, tables: IdTables
) -> None:
    """Write the gaps in units of the id's median benign gap, as logarithms of base 2."""
    first, window, time = segments.first, block.window, block.columns.time
    frequency = tables.frequency.take(segments.token)
    gap = block.columns.gap.take(segments.order)
    two = np.empty_like(gap)
    two[0] = np.inf
    np.add(gap[1:], gap[:-1], out=two[1:])
    two[segments.boundary] = np.inf
    shortest, shortest_two = _least(gap, first), _least(two, first)
    gap[gap == np.inf] = 0
    longest = np.maximum.reduceat(gap, first)
    mean = np.add.reduceat(gap, first)
    mean /= np.maximum(segments.steps, _F(1))
    ends = time[window - 1 :: window]
    duration = np.maximum(ends - time[::window], SHORTEST_GAP).astype(_F)
    silence = ends.take(segments.window_of) - time.take(segments.tail)
    np.maximum(silence, 0, out=silence)
    ratio = np.empty((8, len(first)), _F)
    np.multiply(mean, frequency, out=ratio[0])
    np.multiply(shortest, frequency, out=ratio[1])
    np.multiply(longest, frequency, out=ratio[2])
    np.multiply(shortest_two, frequency * _F(0.5), out=ratio[3])
    np.multiply(mean, _F(1 / USUAL_GAP), out=ratio[4])
    np.multiply(shortest, _F(1 / USUAL_GAP), out=ratio[5])
    np.multiply(duration.take(segments.window_of), frequency, out=ratio[6])
    ratio[6] /= segments.count
    np.multiply(silence.astype(_F), frequency, out=ratio[7])
    ratio[7] += 1
    _log_ratio(ratio)
    columns[_GAP_RATIOS] = ratio[:4]
    columns[_GAPS] = ratio[4:6]
    np.subtract(0, ratio[6], out=columns[_COLUMN["rate_ratio"]])
    columns[_COLUMN["silence_ratio"]] = ratio[7]


def _log_ratio(ratio: NDArray[np.float32]) -> None:
    """Make it log2 within the limits, in place; a ratio of 0, so one not there, becomes 0."""
    ratio[ratio <= 0] = 1
    np.log2(ratio, out=ratio)
    np.maximum(ratio, _F(-RATIO_LIMIT), out=ratio)
    np.minimum(ratio, _F(RATIO_LIMIT), out=ratio)


def _least(gap: NDArray[np.float32], first: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return each segment's least gap, 0 where every gap is infinite."""
    least = np.minimum.reduceat(gap, first)
    least[least == np.inf] = 0
    return least
