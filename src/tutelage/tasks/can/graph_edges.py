"""Edges of window graphs: which ID follows which within a window, how often and how fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.capture_index import WindowBlock
from tutelage.tasks.can.graph_nodes import BlockNodes

EDGE_FEATURES = (
    "count",
    "relative_frequency",
    "mean_gap",
    "std_gap",
    "regularity",
    "first_position",
    "last_position",
    "spread",
    "reverse",
    "degree_product",
    "degree_ratio",
)
"""Columns of an edge's features; `build_graphs` says what each one is."""

_F = np.float32


@dataclass(frozen=True, slots=True)
class BlockEdges:
    """The edges of a block of B windows, E in all, ordered by window, source and target.

    Args:
        index: (2, E) int16, node numbers within the window.
        attr: (E, 11) float32.
        counts: (B,) int64, edges of each window.
    """

    index: NDArray[np.int16]
    attr: NDArray[np.float32]
    counts: NDArray[np.int64]


def block_edges(block: WindowBlock, nodes: BlockNodes) -> BlockEdges:
    """Join each frame's node to the next frame's, once per pair and window."""
    steps = block.window - 1
    bits = steps.bit_length()
    low = np.int32((1 << bits) - 1)
    local = nodes.local
    key = local[:, :-1] << np.int32(2 * bits)
    key |= local[:, 1:] << np.int32(bits)
    key |= np.arange(steps, dtype=np.int32)
    key.sort(axis=1)
    pair = key >> np.int32(bits)
    boundary = np.empty(pair.shape, np.bool_)
    boundary[:, 0] = True
    np.not_equal(pair[:, 1:], pair[:, :-1], out=boundary[:, 1:])
    per_window = boundary.sum(axis=1)
    first = boundary.ravel().nonzero()[0]
    last = np.empty_like(first)
    np.subtract(first[1:], 1, out=last[:-1])
    last[-1] = boundary.size - 1
    key &= low
    position = key.ravel()
    pair = pair.ravel().take(first)
    source, target = pair >> np.int32(bits), pair & low
    window_of = np.arange(len(key), dtype=np.int32).repeat(per_window)

    columns = np.empty((len(EDGE_FEATURES), len(first)), _F)
    count = (last - first + 1).astype(_F)
    np.log2(count, out=columns[0])
    np.multiply(count, _F(1 / steps), out=columns[1])
    _gap_columns(columns, block, key, first, count)
    head, tail = position.take(first), position.take(last)
    columns[5] = head * _F(1 / block.window)
    columns[6] = tail * _F(1 / block.window)
    columns[7] = (tail - head) * _F(1 / block.window)
    columns[8] = _has_reverse(window_of, source, target, nodes)
    _degree_columns(columns, window_of, source, target, nodes)
    index = np.empty((2, len(first)), np.int16)
    index[0], index[1] = source, target
    return BlockEdges(index, np.ascontiguousarray(columns.T), per_window)


def _gap_columns(
    columns: NDArray[np.float32],
    block: WindowBlock,
    position: NDArray[np.int32],
    first: NDArray[np.intp],
    count: NDArray[np.float32],
) -> None:
    """Write the time from source to target frame, in units of the window's mean frame gap."""
    time = block.columns.time.reshape(-1, block.window)
    steps = block.window - 1
    gap = time[:, 1:] - time[:, :-1]
    np.maximum(gap, 0.0, out=gap)
    mean_gap = np.add.reduce(gap, axis=1, keepdims=True)
    mean_gap /= steps
    np.divide(gap, mean_gap, out=gap, where=mean_gap > 0)
    place = position.astype(np.intp)
    if len(time) > 1:
        place += (np.arange(len(time), dtype=np.intp) * steps)[:, None]
    gap = gap.ravel().take(place.ravel())
    mean = np.add.reduceat(gap, first)
    mean /= count
    gap *= gap
    std = np.add.reduceat(gap, first)
    std /= count
    std -= mean * mean
    np.maximum(std, 0, out=std)
    np.sqrt(std, out=std)
    columns[2] = np.log1p(mean)
    columns[3] = np.log1p(std)
    mean += std
    np.maximum(mean, 1e-9, out=mean)
    std /= mean
    np.subtract(1, std, out=columns[4], casting="same_kind")


def _has_reverse(
    window_of: NDArray[np.int32],
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    nodes: BlockNodes,
) -> NDArray[np.bool_]:
    """Return (E,) whether the opposite edge is there too, through one table of all pairs."""
    size = int(np.maximum.reduce(nodes.counts))
    base = window_of.astype(np.intp)
    base *= size * size
    table = np.zeros(len(nodes.counts) * size * size, np.bool_)
    table[base + source * np.int32(size) + target] = True
    return table.take(base + target * np.int32(size) + source)


def _degree_columns(
    columns: NDArray[np.float32],
    window_of: NDArray[np.int32],
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    nodes: BlockNodes,
) -> None:
    """Write product and ratio of the two nodes' degrees (edges in plus edges out), as log2."""
    if len(nodes.counts) > 1:
        base = np.add.accumulate(nodes.counts)
        base -= nodes.counts
        shift = base.astype(np.int32).take(window_of)
        source, target = source + shift, target + shift
    size = len(nodes.x)
    degree = np.bincount(source, minlength=size) + np.bincount(target, minlength=size)
    level = np.log2(degree.astype(_F))
    out, into = level.take(source), level.take(target)
    np.add(out, into, out=columns[9])
    np.subtract(out, into, out=columns[10])
