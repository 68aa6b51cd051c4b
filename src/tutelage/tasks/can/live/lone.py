"""`LoneWindow`: the graph of one window by itself, by compiled steps, equal to `window_graphs`'."""

from __future__ import annotations

import numpy as np

from tutelage.tasks.can.frames import UNLABELLED, Frames
from tutelage.tasks.can.graph_edges import EDGE_FEATURES
from tutelage.tasks.can.graph_nodes import NODE_FEATURES
from tutelage.tasks.can.graphs import Graphs, places
from tutelage.tasks.can.id_tables import IdTables
from tutelage.tasks.can.live import columns, kernels
from tutelage.tasks.can.live.history import IdHistory
from tutelage.tasks.can.profile import TrafficProfile


class LoneWindow:
    """Describes windows one after the other, each by itself.

    What `window_graphs` does with many windows at once costs, for a lone one, little but the number
    of its steps, of which there are hundreds. Here there are a few. Needs numba; the first window
    waits for it to compile, which takes seconds.

    Args:
        tables: What is known of the ids.
        history: What was before; each window is added to it.
        window: Frames in a window, and from one window's start to the next one's.
    """

    def __init__(self, tables: IdTables, history: IdHistory, window: int) -> None:
        self._history, self._window, self._surprise = history, window, tables.surprise
        self._tables = np.stack(
            [
                tables.known,
                tables.gap_spread,
                tables.per_max_count,
                tables.changes_expected,
                tables.frequency,
            ]
        )
        self._bits = (window - 1).bit_length()
        self._places = places(window)
        self._key, self._step = np.empty(window, np.uint64), np.empty(window - 1)
        self._ids, self._token = np.empty(window, np.uint32), np.empty(window, np.int32)
        self._nodes = np.empty((11, window), np.int64)
        self._sums = np.empty((8, window), np.int64)
        self._edges = np.empty((5, window), np.int64)
        self._table = np.empty((4, window + 1), np.int64)
        self._gap, self._odd = np.empty(window, np.float32), np.empty(window, np.float32)
        self._gaps = np.empty((4, window), np.float32)
        self._steps = np.empty((2, window - 1))
        self._twos, self._shares = np.empty(10 * window, np.float32), np.empty(window)
        self._there = np.zeros(window * window, np.bool_)

    @classmethod
    def compile(cls, profile: TrafficProfile) -> Graphs:
        """Compile the steps now, so that no window has to wait; return a made-up window's graph."""
        window = profile.window
        tables = IdTables.of(profile)
        return cls(tables, IdHistory(tables), window).graph(
            Frames(
                np.linspace(0.0, 1.0, window),
                np.arange(window, dtype=np.uint32) % 3,
                np.full(window, 8, np.uint8),
                np.zeros((window, 8), np.uint8),
                np.full(window, UNLABELLED, np.int8),
            )
        )

    def graph(self, frames: Frames) -> Graphs:
        """Return the graph of the next W frames."""
        frames = _writable(frames)
        time, row = frames.timestamp, self._history.frames
        word = np.ascontiguousarray(frames.payload).view(np.uint64).ravel()
        content, attacks, unlabelled = kernels.take_in(
            time, frames.arbitration_id, frames.dlc, word, frames.label, self._places, self._bits,
            self._key, self._step,
        )  # fmt: skip
        nodes = self._describe(frames, word)
        edges, sums = self._join(nodes)
        twos, shares = self._twos[: 9 * nodes + edges], self._shares[:nodes]
        spans = np.empty((2, edges))
        n, e, odd = self._nodes, self._edges, self._odd[:nodes]
        total = np.add.reduceat(self._gap, n[kernels.FIRST, :nodes])
        columns.prepare_logarithms(
            nodes, edges, time, row, self._tables, self._token, n, e, self._gaps, total, sums,
            twos, shares, spans,
        )  # fmt: skip
        np.log2(twos, out=twos)
        np.log2(shares, out=shares)
        np.log1p(odd, out=odd)
        x = np.empty((nodes, len(NODE_FEATURES)), np.float32)
        attr = np.empty((edges, len(EDGE_FEATURES)), np.float32)
        index = np.empty((2, edges), np.int16)
        columns.write_nodes(
            nodes, self._tables, self._token, n, self._sums, self._window, twos, odd, shares, x
        )
        columns.write_edges(
            nodes, edges, self._window, e, twos, spans, np.log1p(spans), self._there, index, attr
        )
        return Graphs(
            x=x,
            id_index=self._token[:nodes].copy(),
            arbitration_id=self._ids[:nodes].copy(),
            edge_index=index,
            edge_attr=attr,
            y=np.array([UNLABELLED if unlabelled else attacks > 0], np.int8),
            node_ptr=np.array([0, nodes]),
            edge_ptr=np.array([0, edges]),
            start_time=time[:1].copy(),
            end_time=time[-1:].copy(),
            first_row=np.array([row]),
            attack_frames=np.array([attacks], np.int32),
            content=np.array([content], np.uint64),
            window=self._window,
            stride=self._window,
        )

    def _describe(self, frames: Frames, word: kernels.Words) -> int:
        """Find and describe the nodes; return how many there are."""
        history, n, key, bits = self._history, self._nodes, self._key, self._bits
        key.sort()
        nodes = kernels.find_nodes(key, bits, history.standard, self._ids, n)
        if nodes < 0:
            nodes = -1 - nodes
            n[kernels.SLOT, :nodes] = history.slots(self._ids[:nodes])
        past = history.time, history.payload, history.count, history.token
        kernels.describe_payloads(
            nodes, key, bits, word, frames.dlc, past, self._surprise, n, self._sums, self._token,
            self._odd,
        )  # fmt: skip
        kernels.describe_gaps(nodes, key, bits, frames.timestamp, past, n, self._gap, self._gaps)
        history.passed(self._window)
        return nodes

    def _join(self, nodes: int) -> tuple[int, kernels.Doubles]:
        """Find the edges; return how many there are, and (2, edges) sums of steps and squares."""
        usual = float(np.add.reduce(self._step) / (self._window - 1))
        e = self._edges
        edges = kernels.find_edges(
            nodes, self._step, usual, self._nodes, e, self._table, self._steps
        )
        return edges, np.add.reduceat(self._steps, e[kernels.BEGIN, :edges], axis=1)


def _writable(frames: Frames) -> Frames:
    """The frames, copied where they are read-only, which numba would compile all steps anew for."""
    columns = frames.timestamp, frames.arbitration_id, frames.dlc, frames.payload, frames.label
    for column in columns:
        if not column.flags.writeable:
            return Frames.concatenate([frames])
    return frames
