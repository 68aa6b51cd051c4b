"""`WindowStream`: graphs of windows from frames that come in pieces, equal to `build_graphs`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from tutelage.core.errors import DataError
from tutelage.tasks.can.capture_index import Columns, WindowBlock, Windows
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.graphs import (
    BLOCK_FRAMES,
    LONGEST_CAPTURE,
    Graphs,
    check_window,
    join_graphs,
    no_graphs,
    window_graphs,
)
from tutelage.tasks.can.id_tables import IdTables
from tutelage.tasks.can.live.history import IdHistory
from tutelage.tasks.can.profile import TrafficProfile

if TYPE_CHECKING:
    from tutelage.tasks.can.live.lone import LoneWindow

_COLUMNS = tuple(f.name for f in fields(Columns))


class WindowStream:
    """Cuts a capture into windows while it goes on.

    Whatever the pieces in which the frames come, the graphs are those that
    `tutelage.tasks.can.graphs.build_graphs` makes of the whole capture, to the last bit. What is
    kept is the last frame of each id, and the frames of windows that are not yet full.

    Args:
        profile: IdTables from benign training traffic, fitted with the same ``window``.
        window: Frames in a graph, 2 to `tutelage.tasks.can.graphs.MAX_WINDOW`.
        stride: Frames between starts, at least 1.
        lone: Describes a window that fills by itself, where windows adjoin; null leaves it to what
            describes many.

    ``frames`` counts the frames so far, ``windows`` the windows, which start ``stride`` frames
    apart.

    Raises:
        ConfigError: ``window`` or ``stride`` is out of range, or the profile has another window.
    """

    def __init__(
        self,
        profile: TrafficProfile,
        window: int = 100,
        stride: int = 100,
        lone: type[LoneWindow] | None = None,
    ) -> None:
        check_window(profile, window, stride)
        self._tables = IdTables.of(profile)
        self.history = IdHistory(self._tables)
        self._adjoin = stride == window
        self._lone = None if lone is None else lone(self._tables, self.history, window)
        self._window, self.stride = window, stride
        self._pending: Columns | None = None
        self._kept: list[Frames] = []
        self._empty = no_graphs(window, stride)
        self._earliest, self._latest = np.inf, -np.inf
        self.frames = self.windows = 0

    @property
    def missing(self) -> int:
        """Frames that the next window still lacks."""
        return self.windows * self.stride + self._window - self.frames

    def push(self, frames: Frames) -> Graphs:
        """Take the next frames; return the windows that they complete, which may be none.

        Raises:
            DataError: The times are not seconds.
        """
        if not len(frames):
            return self._empty
        self._check_clock(frames)
        self.frames += len(frames)
        ready = max(0, 1 + (self.frames - self._window) // self.stride) - self.windows
        graphs = self._adjoining(frames, ready) if self._adjoin else self._compare(frames, ready)
        self.windows += ready
        return graphs

    def _adjoining(self, frames: Frames, ready: int) -> Graphs:
        """Windows of which no frame is in two: frames are kept until theirs is full."""
        self._kept.append(frames)
        if not ready:
            return self._empty
        known = self._kept[0] if len(self._kept) == 1 else Frames.concatenate(self._kept)
        end = ready * self._window
        self._kept = [_copy(known[end:])] if len(known) > end else []
        if self._lone is not None and ready == 1:
            return self._lone.graph(known[:end] if len(known) > end else known)
        return self._graphs(self.history.compare(known[:end]), 0, ready)

    def _compare(self, frames: Frames, ready: int) -> Graphs:
        """Windows that overlap or are apart: frames are kept with what was found of each."""
        columns = self.history.compare(frames)
        pending = columns if self._pending is None else _append(self._pending, columns)
        base = self.frames - len(pending.time)
        first = self.windows * self.stride - base
        graphs = self._graphs(pending, first, ready) if ready else self._empty
        kept = max(0, (self.windows + ready) * self.stride - base)
        self._pending = _from(pending, kept) if kept < len(pending.time) else None
        return graphs

    def _graphs(self, pending: Columns, first: int, count: int) -> Graphs:
        """Describe ``count`` windows, the first of which begins at row ``first``."""
        size = max(1, BLOCK_FRAMES // self._window)
        parts = []
        for start in range(0, count, size):
            here = min(size, count - start)
            local = Windows(first + start * self.stride, here, self._window, self.stride)
            columns = _cut(pending, local)
            limit = self.history.highest + 1
            block = WindowBlock(self._window, columns, columns.arbitration_id, limit)
            row = (self.windows + start) * self.stride
            rows = Windows(row, here, self._window, self.stride)
            parts.append(window_graphs(block, self._tables, rows))
        return join_graphs(parts)

    def _check_clock(self, frames: Frames) -> None:
        self._earliest = min(self._earliest, float(np.minimum.reduce(frames.timestamp)))
        self._latest = max(self._latest, float(np.maximum.reduce(frames.timestamp)))
        if not self._latest - self._earliest <= LONGEST_CAPTURE:
            raise DataError(
                f"the timestamps span {self._latest - self._earliest:.3g} seconds",
                hint="Timestamps are seconds; divide other units.",
            )


def _cut(columns: Columns, rows: Windows) -> Columns:
    """The frames of some windows; for a lone window that is all there is, the same columns."""
    if rows.count == 1 and rows.first == 0 and rows.window == len(columns.time):
        return columns
    return Columns(*(rows.cut(getattr(columns, name)) for name in _COLUMNS))


def _copy(frames: Frames) -> Frames:
    """The same frames, so that nothing else is kept in memory."""
    return Frames.concatenate([frames])


def _append(before: Columns, after: Columns) -> Columns:
    pairs = ((getattr(before, name), getattr(after, name)) for name in _COLUMNS)
    return Columns(*(np.concatenate(pair) for pair in pairs))


def _from(columns: Columns, row: int) -> Columns:
    """The rows from one on, as copies, so that nothing else is kept in memory."""
    return Columns(*(getattr(columns, name)[row:].copy() for name in _COLUMNS))
