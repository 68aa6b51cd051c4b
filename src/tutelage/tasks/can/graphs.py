"""Frames to graphs: each window of frames becomes one graph of CAN IDs, in flat arrays.

The *gap* of a frame is the time since its id's previous frame, in the window or before it. T is the
id's median benign gap. A ratio that is not there (unknown id, no T, first frame of an id in the
capture) is 0, which in a logarithm also means "as usual". Logarithms have base 2 and lie within ±8;
gaps count as at least 1 µs.

Node features, in `NODE_FEATURES`' order:

- ``byte_mean_0`` … ``byte_mean_7``: mean payload byte / 255.
- ``count_minmax``: frames of the id, scaled to 0 … 1 over the window's ids.
- ``last_position``, ``span``: last position, and last minus first, over ``window``.
- ``dlc``: mean payload length / 8. ``known``: 1 for an id of the vocabulary.
- ``count_ratio``: frames of the id / its benign maximum, at most 8.
- ``mean_gap_ratio``, ``min_gap_ratio``, ``max_gap_ratio``: log2(gap / T).
- ``min_two_gap_ratio``: log2 of the least (t[j+1] - t[j-1]) / 2T, frames j and j+1 both in the
  window: about 0 in periodic traffic, -1 at a frame injected between two genuine ones.
- ``silence_ratio``: log2(1 + time from the id's last frame to the window's end / T).
- ``rate_ratio``: log2(frames of the id / those that the window's duration leads to expect).
- ``gap_spread``: the id's relative benign jitter, at most 8.
- ``byte_change_excess``: bytes that changed minus those expected, per step and byte.
- ``byte_change_surprise``: ln(1 + the greatest -ln P(these bytes change)), bytes
  taken as independent.
- ``max_hamming``: most bits that differ from the id's previous frame, / 64.
- ``mean_gap``, ``min_gap``: log2(gap / 10 ms).
- ``share_so_far``: log2(256 times the id's share of the capture before its first frame
  here), where the capture is taken to have begun with 100 frames of other ids.

The last four don't depend on the profile, nor do the first twelve.

Edge features, in `EDGE_FEATURES`' order; a transition's gap is the time from its source to its
target frame, at least 0, over the window's mean of these:

- ``count``: log2 of the transitions. ``relative_frequency``: transitions / (window - 1).
- ``mean_gap``, ``std_gap``: ln(1 + mean) and ln(1 + population standard deviation) of the gaps.
- ``regularity``: 1 - std / (mean + std).
- ``first_position``, ``last_position``, ``spread`` (last - first): of source frames, / window.
- ``reverse``: 1 if the opposite edge is there too.
- ``degree_product``, ``degree_ratio``: log2 of source degree times, and over, target degree;
  a degree is the number of edges in plus out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import ConfigError, DataError
from tutelage.tasks.can.capture_index import (
    MIX,
    MIX_SHIFT,
    CaptureIndex,
    WindowBlock,
    Windows,
)
from tutelage.tasks.can.frames import ATTACK, UNLABELLED, Frames
from tutelage.tasks.can.graph_edges import EDGE_FEATURES, block_edges
from tutelage.tasks.can.graph_nodes import NODE_FEATURES, PROFILE_FEATURES, block_nodes
from tutelage.tasks.can.id_tables import IdTables
from tutelage.tasks.can.profile import TrafficProfile
from tutelage.tasks.can.scratch import Spool, blocks, zeros

__all__ = [
    "EDGE_FEATURES",
    "MAX_WINDOW",
    "NODE_FEATURES",
    "PROFILE_FEATURES",
    "Graphs",
    "build_graphs",
]

MAX_WINDOW = 1024
"""Longest window: a pair of nodes and a position share one 32-bit sort key."""

BLOCK_FRAMES = 25_600
"""Frames taken at once, so that every intermediate array stays in the processor's cache."""

LONGEST_CAPTURE = 1e10
"""Seconds that a capture may span; more are other units."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """G window graphs of one capture: N nodes and E edges in all, stored end to end.

    Args:
        x: (N, len(NODE_FEATURES)) float32.
        id_index: (N,) int32, number in the vocabulary, 0 for an unknown id.
        arbitration_id: (N,) uint32, the raw id.
        edge_index: (2, E) int16, node numbers counted from 0 within each window.
        edge_attr: (E, len(EDGE_FEATURES)) float32.
        y: (G,) int8, 1 if any frame is an attack, -1 if any is unlabelled, else 0.
        node_ptr: (G + 1,) int64, graph i has nodes node_ptr[i] up to node_ptr[i + 1].
        edge_ptr: (G + 1,) int64.
        start_time: (G,) float64, seconds, of the window's first frame.
        end_time: (G,) float64, seconds, of its last frame.
        first_row: (G,) int64, row of its first frame in the capture.
        attack_frames: (G,) int32, frames labelled as attacks.
        content: (G,) uint64, hash of the sequence of ids and payloads, time and labels aside.
        window: Frames in a window.
        stride: Frames from one window's start to the next one's.
    """

    x: NDArray[np.float32]
    id_index: NDArray[np.int32]
    arbitration_id: NDArray[np.uint32]
    edge_index: NDArray[np.int16]
    edge_attr: NDArray[np.float32]
    y: NDArray[np.int8]
    node_ptr: NDArray[np.int64]
    edge_ptr: NDArray[np.int64]
    start_time: NDArray[np.float64]
    end_time: NDArray[np.float64]
    first_row: NDArray[np.int64]
    attack_frames: NDArray[np.int32]
    content: NDArray[np.uint64]
    window: int
    stride: int

    def __len__(self) -> int:
        return len(self.y)


def build_graphs(
    frames: Frames, profile: TrafficProfile, window: int = 100, stride: int = 100
) -> Graphs:
    """Turn a capture into one graph for each window of ``window`` frames.

    Windows start every ``stride`` frames; there are 1 + (n - window) // stride of them, and frames
    after the last whole window are left out. A node is a distinct raw id (two unknown ids are two
    nodes), in ascending order; an edge joins the ids of consecutive frames, once per ordered pair.
    A window's graph depends on no frame after the window. What precedes it in the capture counts.
    The features are told at the top of this file.

    Args:
        frames: One capture, at least ``window`` frames.
        profile: IdTables from benign training traffic, fitted with the same ``window``.
        window: Frames in a graph, 2 to `MAX_WINDOW`.
        stride: Frames between starts, at least 1; below ``window`` the windows overlap.

    Raises:
        ConfigError: ``window`` or ``stride`` is out of range, or the profile has another window.
        DataError: The capture is shorter than one window, or its times are not seconds.
    """
    check_window(profile, window, stride)
    if len(frames) < window:
        raise DataError(
            f"a capture of {len(frames)} frames holds no window of {window} frames",
            hint="Give a longer capture or a shorter window.",
        )
    _check_clock(frames)
    capture = CaptureIndex.of(frames, profile)
    tables = capture.tables
    total = 1 + (len(frames) - window) // stride
    cut = (
        Windows(part.start * stride, part.stop - part.start, window, stride)
        for part in blocks(total, max(1, BLOCK_FRAMES // window))
    )
    return join_graphs(window_graphs(WindowBlock.of(capture, rows), tables, rows) for rows in cut)


def check_window(profile: TrafficProfile, window: int, stride: int) -> None:
    """Refuse windows that can't be cut, or that are not those of the profile.

    Raises:
        ConfigError: ``window`` or ``stride`` is out of range, or the profile has another window.
    """
    if not 2 <= window <= MAX_WINDOW or stride < 1:
        raise ConfigError(
            f"windows of {window} frames every {stride} can't be cut",
            hint=f"Choose a window of 2 to {MAX_WINDOW} frames and a stride of at least 1.",
        )
    if profile.window != window:
        raise ConfigError(
            f"windows of {window} frames, but the profile counted in windows of {profile.window}",
            hint="Fit the profile with the window that the graphs have.",
        )


def _check_clock(frames: Frames) -> None:
    span = float(frames.timestamp.max()) - float(frames.timestamp.min())
    if not span <= LONGEST_CAPTURE:
        raise DataError(
            f"the capture's timestamps span {span:.3g} seconds",
            hint="Timestamps are seconds; leave out rows without one, and divide other units.",
        )


def window_graphs(block: WindowBlock, tables: IdTables, rows: Windows) -> Graphs:
    """Describe the windows of one block.

    Args:
        block: Their frames.
        tables: What is known of the ids.
        rows: Which frames of the capture they are.
    """
    nodes = block_nodes(block, tables)
    edges = block_edges(block, nodes)
    time = block.columns.time.reshape(rows.count, rows.window)
    label = block.columns.label.reshape(rows.count, rows.window)
    attacks = (label == ATTACK).sum(axis=1, dtype=np.int32)
    y = (attacks > 0).astype(np.int8)
    y[label.min(axis=1) == UNLABELLED] = UNLABELLED
    return Graphs(
        x=nodes.x,
        id_index=nodes.id_index,
        arbitration_id=nodes.arbitration_id,
        edge_index=edges.index,
        edge_attr=edges.attr,
        y=y,
        node_ptr=_ends(nodes.counts),
        edge_ptr=_ends(edges.counts),
        start_time=time[:, 0].copy(),
        end_time=time[:, -1].copy(),
        first_row=rows.first + np.arange(rows.count, dtype=np.int64) * rows.stride,
        attack_frames=attacks,
        content=_content(block),
        window=rows.window,
        stride=rows.stride,
    )


def _ends(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    ends = np.zeros(len(counts) + 1, np.int64)
    np.add.accumulate(counts, out=ends[1:])
    return ends


def _content(block: WindowBlock) -> NDArray[np.uint64]:
    """Hash each window's sequence of (id, dlc, payload): weighted sums modulo 2^64.

    A frame's hash is multiplied by an odd number of its position.
    """
    hashes = block.columns.hash.reshape(-1, block.window)
    sums: NDArray[np.uint64] = (hashes * places(block.window)).sum(axis=1)
    return sums


@cache
def places(window: int) -> NDArray[np.uint64]:
    """Return (window,) odd numbers, by which the hashes of a window's frames are multiplied."""
    place = np.arange(window, dtype=np.uint64) * MIX[0] | np.uint64(1)
    place ^= (place >> MIX_SHIFT) << np.uint64(1)
    return place


def no_graphs(window: int, stride: int) -> Graphs:
    """Return no graphs, of the shape that some would have."""
    none = np.zeros(0, np.int64)
    return Graphs(
        x=np.zeros((0, len(NODE_FEATURES)), np.float32),
        id_index=none.astype(np.int32),
        arbitration_id=none.astype(np.uint32),
        edge_index=np.zeros((2, 0), np.int16),
        edge_attr=np.zeros((0, len(EDGE_FEATURES)), np.float32),
        y=none.astype(np.int8),
        node_ptr=np.zeros(1, np.int64),
        edge_ptr=np.zeros(1, np.int64),
        start_time=none.astype(np.float64),
        end_time=none.astype(np.float64),
        first_row=none,
        attack_frames=none.astype(np.int32),
        content=none.astype(np.uint64),
        window=window,
        stride=stride,
    )


def join_graphs(parts: Iterable[Graphs]) -> Graphs:
    """Lay graphs of one capture end to end; what is too large for memory goes into files."""
    each = iter(parts)
    first, second = next(each), next(each, None)
    if second is None:
        return first
    plain = {name: Spool(like.dtype, like.shape[1:]) for name, like in _plain(first).items()}
    nodes, edges, sources, targets = (Spool(k) for k in (np.int64, np.int64, np.int16, np.int16))
    for part in chain((first, second), each):
        for name, column in _plain(part).items():
            plain[name].append(column)
        nodes.append(np.diff(part.node_ptr))
        edges.append(np.diff(part.edge_ptr))
        sources.append(part.edge_index[0])
        targets.append(part.edge_index[1])
    ends = sources.array(), targets.array()
    edge_index = zeros((2, len(ends[0])), np.int16)
    edge_index[0], edge_index[1] = ends
    return Graphs(
        **{name: spool.array() for name, spool in plain.items()},
        edge_index=edge_index,
        node_ptr=_ends(nodes.array()),
        edge_ptr=_ends(edges.array()),
        window=first.window,
        stride=first.stride,
    )


def _plain(graphs: Graphs) -> dict[str, NDArray[Any]]:
    return {f.name: getattr(graphs, f.name) for f in _PLAIN}


def cut_graphs(graphs: Graphs, start: int, stop: int) -> Graphs:
    """Return views of the graphs from one to before another."""
    node, edge = graphs.node_ptr[start : stop + 1], graphs.edge_ptr[start : stop + 1]
    nodes, edges = slice(int(node[0]), int(node[-1])), slice(int(edge[0]), int(edge[-1]))
    rows = {"x": nodes, "id_index": nodes, "arbitration_id": nodes, "edge_attr": edges}
    each = slice(start, stop)
    columns = {f.name: getattr(graphs, f.name)[rows.get(f.name, each)] for f in _PLAIN}
    return Graphs(
        **columns,
        edge_index=graphs.edge_index[:, edges],
        node_ptr=node - node[0],
        edge_ptr=edge - edge[0],
        window=graphs.window,
        stride=graphs.stride,
    )


_SPECIAL = ("edge_index", "node_ptr", "edge_ptr", "window", "stride")
_PLAIN = tuple(f for f in fields(Graphs) if f.name not in _SPECIAL)
