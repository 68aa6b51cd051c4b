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
    per_window = np.count_nonzero(boundary, axis=1)
    first = np.flatnonzero(boundary)
    end = np.append(first[1:], boundary.size)
    position = key & low
    pair = pair.ravel().take(first)
    source, target = pair >> np.int32(bits), pair & low
    window_of = np.repeat(np.arange(len(key), dtype=np.int32), per_window)

    attr = np.empty((len(first), len(EDGE_FEATURES)), _F)
    count = (end - first).astype(_F)
    attr[:, 0] = np.log2(count)
    attr[:, 1] = count * _F(1 / steps)
    _gap_columns(attr, block, position, first, count, window_of)
    flat = position.ravel()
    head, tail = flat.take(first), flat.take(end - 1)
    attr[:, 5] = head * _F(1 / block.window)
    attr[:, 6] = tail * _F(1 / block.window)
    attr[:, 7] = (tail - head) * _F(1 / block.window)
    attr[:, 8] = _has_reverse(window_of, source, target, nodes)
    _degree_columns(attr, window_of, source, target, nodes)
    return BlockEdges(np.stack([source, target]).astype(np.int16), attr, per_window)


def _gap_columns(
    attr: NDArray[np.float32],
    block: WindowBlock,
    position: NDArray[np.int32],
    first: NDArray[np.intp],
    count: NDArray[np.float32],
    window_of: NDArray[np.int32],
) -> None:
    """Write the time from source to target frame, in units of the window's mean frame gap."""
    time = block.time.reshape(-1, block.window)
    steps = block.window - 1
    gap = np.maximum(np.diff(time, axis=1), 0.0)
    mean_gap = gap.mean(axis=1, keepdims=True)
    np.divide(gap, mean_gap, out=gap, where=mean_gap > 0)
    place = position + (np.arange(len(time), dtype=np.intp) * steps)[:, None]
    gap = gap.ravel().take(place.ravel())
    mean = np.add.reduceat(gap, first) / count
    square = np.add.reduceat(gap * gap, first) / count
    std = np.sqrt(np.maximum(square - mean * mean, 0))
    attr[:, 2] = np.log1p(mean)
    attr[:, 3] = np.log1p(std)
    attr[:, 4] = 1 - std / np.maximum(mean + std, 1e-9)


def _has_reverse(
    window_of: NDArray[np.int32],
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    nodes: BlockNodes,
) -> NDArray[np.bool_]:
    """Return (E,) whether the opposite edge is there too, through one table of all pairs."""
    size = int(nodes.counts.max())
    base = window_of.astype(np.intp) * (size * size)
    table = np.zeros(len(nodes.counts) * size * size, np.bool_)
    table[base + source * np.int32(size) + target] = True
    return table.take(base + target * np.int32(size) + source)


def _degree_columns(
    attr: NDArray[np.float32],
    window_of: NDArray[np.int32],
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    nodes: BlockNodes,
) -> None:
    """Write product and ratio of the two nodes' degrees (edges in plus edges out), as log2."""
    base = (np.cumsum(nodes.counts) - nodes.counts).astype(np.int32).take(window_of)
    tail, head = source + base, target + base
    size = len(nodes.x)
    degree = np.bincount(tail, minlength=size) + np.bincount(head, minlength=size)
    level = np.log2(degree.astype(_F))
    out, into = level.take(tail), level.take(head)
    attr[:, 9] = out + into
    attr[:, 10] = out - into
