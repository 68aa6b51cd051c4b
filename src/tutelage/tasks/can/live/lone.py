"""`LoneWindow`: the graph of one window by itself in as few steps as can be, equal to the others'.

What `tutelage.tasks.can.graphs.window_graphs` does with many windows at once costs, for a lone one,
little but the number of its steps. Here each frame is compared with its id's previous one after
sorting, ids are described once, and what tells windows apart is gone. Each sum has its order there,
each operation its type, so that every bit is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.can.capture_index import SETTLED, SHORTEST_GAP, hashes
from tutelage.tasks.can.frames import ATTACK, UNLABELLED, Frames
from tutelage.tasks.can.graph_edges import EDGE_FEATURES
from tutelage.tasks.can.graph_nodes import (
    GAP_RATIOS,
    GAPS,
    NODE_FEATURES,
    RATIO_LIMIT,
    USUAL_GAP,
    log_ratio,
)
from tutelage.tasks.can.graphs import Graphs, places
from tutelage.tasks.can.id_tables import IdTables
from tutelage.tasks.can.live.history import IdHistory

_F = np.float32
_COLUMN = {name: column for column, name in enumerate(NODE_FEATURES)}
_BYTES = _COLUMN["byte_mean_7"] + 1
_DLC, _EXCESS = _COLUMN["dlc"], _COLUMN["byte_change_excess"]
_HAMMING, _SURPRISE = _COLUMN["max_hamming"], _COLUMN["byte_change_surprise"]
_MINMAX, _RATIO = _COLUMN["count_minmax"], _COLUMN["count_ratio"]
_LAST, _SPAN = _COLUMN["last_position"], _COLUMN["span"]
_SHARE, _RATE = _COLUMN["share_so_far"], _COLUMN["rate_ratio"]
_SILENCE, _KNOWN, _SPREAD = _COLUMN["silence_ratio"], _COLUMN["known"], _COLUMN["gap_spread"]
_NARROW = 32

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(slots=True)
class _Runs:
    """A window's frames sorted by id and position: a node is a run of them.

    Args:
        order: (W,) place of each sorted frame in the window.
        first: (N,) sorted place of each node's first frame; ``last`` of its last one.
        head: (N,) place of its first frame in the window; ``tail`` of its last one.
        frames: (N,) int64, frames of each node; ``count`` the same as float32.
        number: (W,) int32, node of each sorted frame.
        ids: (N,) uint32.
    """

    order: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    head: NDArray[np.intp]
    tail: NDArray[np.intp]
    frames: Ints
    count: Floats
    number: NDArray[np.int32]
    ids: NDArray[np.uint32]


class LoneWindow:
    """Describes windows one after the other, each by itself.

    Args:
        tables: What is known of the ids.
        history: What was before; each window is added to it.
        window: Frames in a window, and from one window's start to the next one's.
    """

    def __init__(self, tables: IdTables, history: IdHistory, window: int) -> None:
        self._history, self._window = history, window
        self._surprise = tables.surprise
        self._tables = np.stack(
            [
                tables.known,
                tables.gap_spread,
                tables.per_max_count,
                tables.changes_expected,
                tables.frequency,
            ]
        )
        short = window <= 257  # then sums of bytes fit into 16 bits
        self._lane, self._halves = (np.uint16, 1) if short else (np.uint32, 2)
        self._mask = np.uint64(0x00FF00FF00FF00FF if short else 0x000000FF000000FF)
        self._bits = (window - 1).bit_length()
        self._place = {kind: np.arange(window, dtype=kind) for kind in (np.uint32, np.uint64)}
        self._boundary = np.ones(window, np.bool_)
        self._edge_bits = np.int32((window - 1).bit_length())
        self._steps = np.arange(window - 1, dtype=np.int32)
        self._edge_boundary = np.ones(window - 1, np.bool_)
        self._places = places(window)

    def graph(self, frames: Frames) -> Graphs:
        """Return the graph of the next W frames."""
        row = self._history.frames
        payload = frames.payload
        word = (payload if payload.flags.c_contiguous else payload.copy()).view(np.uint64).ravel()
        runs = self._sort(frames.arbitration_id)
        columns = np.empty((len(NODE_FEATURES), len(runs.first)), _F)
        token = self._describe(columns, runs, frames, word)
        index, attr = self._edges(runs, frames.timestamp)
        label = frames.label
        attacks = np.count_nonzero(label == ATTACK)
        unlabelled = label.min() == UNLABELLED
        content = hashes(frames.arbitration_id, frames.dlc, word)
        content *= self._places
        return Graphs(
            x=columns.T.copy(),
            id_index=token,
            arbitration_id=runs.ids,
            edge_index=index,
            edge_attr=attr,
            y=np.array([UNLABELLED if unlabelled else attacks > 0], np.int8),
            node_ptr=np.array([0, len(runs.first)]),
            edge_ptr=np.array([0, len(attr)]),
            start_time=frames.timestamp[:1].copy(),
            end_time=frames.timestamp[-1:].copy(),
            first_row=np.array([row]),
            attack_frames=np.array([attacks], np.int32),
            content=content.sum(keepdims=True),
            window=self._window,
            stride=self._window,
        )

    def _sort(self, ids: NDArray[np.uint32]) -> _Runs:
        """Sort the frames through one packed (id, position) integer each."""
        narrow = int(ids.max()).bit_length() + self._bits <= _NARROW
        kind = np.uint32 if narrow else np.uint64
        bits = kind(self._bits)
        key = np.left_shift(ids, bits, dtype=kind)
        key |= self._place[kind]
        key.sort()
        order = (key & kind((1 << self._bits) - 1)).astype(np.intp)
        key >>= bits
        boundary = self._boundary
        np.not_equal(key[1:], key[:-1], out=boundary[1:])
        first = boundary.nonzero()[0]
        last = np.empty_like(first)
        np.subtract(first[1:], 1, out=last[:-1])
        last[-1] = self._window - 1
        frames = last - first
        frames += 1
        number = np.add.accumulate(boundary, dtype=np.int32)
        number -= np.int32(1)
        return _Runs(
            order,
            first,
            last,
            order.take(first),
            order.take(last),
            frames,
            frames.astype(_F),
            number,
            key.take(first).astype(np.uint32, copy=False),
        )

    def _describe(
        self, columns: Floats, runs: _Runs, frames: Frames, word: NDArray[np.uint64]
    ) -> NDArray[np.int32]:
        """Write the nodes' features, remember the frames, and return the nodes' tokens."""
        history, first, order = self._history, runs.first, runs.order
        slot = history.slots(runs.ids)
        token, seen = history.token.take(slot), history.count.take(slot)
        time, payload = frames.timestamp.take(order), word.take(order)
        gap, differ = self._compare(time, payload, history, slot, runs)
        new = first[seen == 0]
        if len(new):
            gap[new] = np.inf
            differ[new] = 0
        row = history.frames
        last = time.take(runs.last)
        history.remember(slot, last, payload.take(runs.last), seen + runs.frames, self._window)
        share = np.log2(256 * (seen + 1) / (runs.head + row + SETTLED)).astype(_F)
        np.minimum(np.maximum(share, _F(-8)), _F(8), out=columns[_SHARE])
        tables = self._tables.take(token, axis=1)
        steps = runs.count - (seen == 0)
        self._payload(columns, payload, runs)
        self._changes(columns, differ, token, new, frames.dlc.take(order), runs, steps, tables)
        self._standing(columns, runs, tables)
        self._timing(columns, gap, new, frames.timestamp, last, runs, steps, tables[4])
        return token

    def _compare(
        self,
        time: NDArray[np.float64],
        payload: NDArray[np.uint64],
        history: IdHistory,
        slot: NDArray[np.intp],
        runs: _Runs,
    ) -> tuple[Floats, NDArray[np.uint64]]:
        """Return (W,) gaps since the id's previous frame, and bits that differ from it, sorted."""
        before, carried = np.empty_like(time), np.empty_like(payload)
        before[1:], carried[1:] = time[:-1], payload[:-1]
        before[runs.first] = history.time.take(slot)
        carried[runs.first] = history.payload.take(slot)
        gap = (time - before).astype(_F)
        np.maximum(gap, _F(SHORTEST_GAP), out=gap)
        carried ^= payload
        return gap, carried

    def _payload(self, columns: Floats, payload: NDArray[np.uint64], runs: _Runs) -> None:
        """Write the eight byte means."""
        scale = _F(1.0) / (runs.count * _F(255))
        for lane in range(2):
            part = payload >> np.uint64(8) if lane else payload
            for half in range(self._halves):
                wide = part >> np.uint64(16) if half else part
                sums = np.add.reduceat(wide & self._mask, runs.first).view(self._lane)
                sums = sums.reshape(len(scale), -1).T
                np.multiply(sums, scale, out=columns[lane + 2 * half : _BYTES : 2 * self._halves])

    def _changes(
        self,
        columns: Floats,
        differ: NDArray[np.uint64],
        token: NDArray[np.int32],
        new: NDArray[np.intp],
        dlc: NDArray[np.uint8],
        runs: _Runs,
        steps: Floats,
        tables: Floats,
    ) -> None:
        """Write how the payload moved since the id's previous frame."""
        first = runs.first
        changed = np.packbits(differ.view(np.uint8), bitorder="little")
        kind = token.take(runs.number)
        kind *= np.int32(256)
        kind += changed
        surprise = self._surprise.take(kind)
        if len(new):
            surprise[new] = 0
        np.log1p(np.maximum.reduceat(surprise, first), out=columns[_SURPRISE])
        hamming = np.maximum.reduceat(np.bitwise_count(differ), first)
        np.multiply(hamming, _F(1 / 64), out=columns[_HAMMING])
        sums = np.bitwise_count(changed).astype(np.uint32)
        sums <<= np.uint32(16)
        sums |= dlc
        sums = np.add.reduceat(sums, first)
        columns[_DLC] = (sums & np.uint32(0xFFFF)) / (runs.frames * 8)
        sums >>= np.uint32(16)
        excess = sums.astype(_F)
        excess -= steps * tables[3]
        excess /= np.maximum(steps, _F(1)) * _F(8)
        np.multiply(excess, tables[0], out=columns[_EXCESS])

    def _standing(self, columns: Floats, runs: _Runs, tables: Floats) -> None:
        """Write counts and positions within the window, and what the vocabulary knows."""
        count, tail = runs.count, runs.tail
        low = np.minimum.reduce(count)
        reach = np.maximum(np.maximum.reduce(count) - low, _F(1))
        np.divide(count - low, reach, out=columns[_MINMAX])
        step = _F(1 / self._window)
        columns[_LAST] = tail * step
        columns[_SPAN] = (tail - runs.head) * step
        columns[_KNOWN], columns[_SPREAD] = tables[0], tables[1]
        np.minimum(count * tables[2], _F(RATIO_LIMIT), out=columns[_RATIO])

    def _timing(
        self,
        columns: Floats,
        gap: Floats,
        new: NDArray[np.intp],
        time: NDArray[np.float64],
        last: NDArray[np.float64],
        runs: _Runs,
        steps: Floats,
        frequency: Floats,
    ) -> None:
        """Write the gaps in units of the id's median benign gap, as logarithms of base 2."""
        first = runs.first
        two = np.empty_like(gap)
        np.add(gap[1:], gap[:-1], out=two[1:])
        two[first] = np.inf
        ratio = np.empty((8, len(first)), _F)
        np.minimum.reduceat(gap, first, out=ratio[1])
        np.minimum.reduceat(two, first, out=ratio[3])
        if len(new):
            gap[new] = 0
        np.maximum.reduceat(gap, first, out=ratio[2])
        mean = np.add.reduceat(gap, first)
        mean /= np.maximum(steps, _F(1))
        end = time[-1]
        duration = np.maximum(end - time[0], SHORTEST_GAP).astype(_F)
        silence = end - last
        np.maximum(silence, 0, out=silence)
        ratio[0] = mean
        ratio[4] = mean
        ratio[5] = ratio[1]
        ratio[6] = duration
        ratio[7] = silence
        ratio[1:6][ratio[1:6] == np.inf] = 0
        ratio[:3] *= frequency
        ratio[3] *= frequency * _F(0.5)
        ratio[4:6] *= _F(1 / USUAL_GAP)
        ratio[6:] *= frequency
        ratio[6] /= runs.count
        ratio[7] += 1
        log_ratio(ratio)
        columns[GAP_RATIOS] = ratio[:4]
        columns[GAPS] = ratio[4:6]
        np.subtract(0, ratio[6], out=columns[_RATE])
        columns[_SILENCE] = ratio[7]

    def _edges(self, runs: _Runs, time: NDArray[np.float64]) -> tuple[NDArray[np.int16], Floats]:
        """Join each frame's node to the next frame's, once per pair."""
        bits, steps, size = self._edge_bits, self._window - 1, len(runs.first)
        low = np.int32((1 << bits) - 1)
        local = np.empty(self._window, np.int32)
        local[runs.order] = runs.number
        key = local << bits
        key[:-1] |= local[1:]
        key = key[:-1]
        key <<= bits
        key |= self._steps
        key.sort()
        pair = key >> bits
        boundary = self._edge_boundary
        np.not_equal(pair[1:], pair[:-1], out=boundary[1:])
        first = boundary.nonzero()[0]
        last = np.empty_like(first)
        np.subtract(first[1:], 1, out=last[:-1])
        last[-1] = steps - 1
        key &= low
        pair = pair.take(first)
        both = np.empty((2, len(first)), np.int32)
        source, target = (
            np.right_shift(pair, bits, out=both[0]),
            np.bitwise_and(pair, low, out=both[1]),
        )

        columns = np.empty((len(EDGE_FEATURES), len(first)), _F)
        count = (last - first + 1).astype(_F)
        np.log2(count, out=columns[0])
        np.multiply(count, _F(1 / steps), out=columns[1])
        self._edge_gaps(columns, time, key, first, count)
        ends = np.empty((2, len(first)), np.int32)
        head, tail = key.take(first, out=ends[0]), key.take(last, out=ends[1])
        step = _F(1 / self._window)
        columns[5] = head * step
        columns[6] = tail * step
        columns[7] = (tail - head) * step
        there = np.zeros(size * size, np.bool_)
        there[source * np.int32(size) + target] = True
        columns[8] = there.take(target * np.int32(size) + source)
        degree = np.bincount(both.ravel(), minlength=size)
        out, into = np.log2(degree.astype(_F)).take(both)
        np.add(out, into, out=columns[9])
        np.subtract(out, into, out=columns[10])
        return both.astype(np.int16), columns.T.copy()

    def _edge_gaps(
        self,
        columns: Floats,
        time: NDArray[np.float64],
        position: NDArray[np.int32],
        first: NDArray[np.intp],
        count: Floats,
    ) -> None:
        """Write the time from source to target frame, in units of the window's mean frame gap."""
        gap = time[1:] - time[:-1]
        np.maximum(gap, 0.0, out=gap)
        usual = np.add.reduce(gap) / (self._window - 1)
        if usual > 0:
            gap /= usual
        gap = gap.take(position)
        both = np.empty((2, len(first)))
        mean = np.add.reduceat(gap, first, out=both[0])
        mean /= count
        gap *= gap
        std = np.add.reduceat(gap, first, out=both[1])
        std /= count
        std -= mean * mean
        np.maximum(std, 0, out=std)
        np.sqrt(std, out=std)
        columns[2:4] = np.log1p(both)
        mean += std
        np.maximum(mean, 1e-9, out=mean)
        std /= mean
        np.subtract(1, std, out=columns[4], casting="same_kind")
