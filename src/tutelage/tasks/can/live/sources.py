"""Where frames come from: `open_source` finds a log, standard input or a bus behind a name."""

from __future__ import annotations

import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tutelage.core.errors import UnknownNameError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import open_capture
from tutelage.tasks.can.ingest.assemble import Complaint, Screen

STDIN = "-"
_BUS = re.compile(r"([A-Za-z0-9_]+):(.+)")


class Source(ABC):
    """A stream of frames, in order.

    ``screen`` counts what was wrong with them. ``dropped`` counts frames that were lost because
    they came faster than they were taken. ``arrived`` is when, by `time.perf_counter`, the last of
    the frames that `take` returned came in.
    """

    is_live: bool
    """Whether frames come at their own time, so that none must wait for others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.screen = Screen()
        self.dropped = 0
        self.arrived = 0.0

    @abstractmethod
    def take(self, least: int, most: int) -> Frames | None:
        """Return the next frames, at most ``most``; null when there will be no more.

        A live source waits until there are ``least``, but not for long: then it returns those that
        there are, or none. A log returns what it has read already.

        Raises:
            DataError: A log turned out to be damaged.
            RunFailedError: A bus went away.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or bus."""

    @property
    def complaints(self) -> Mapping[str, Complaint]:
        """What was wrong, by kind: frames left out, and steps back in time that were kept."""
        return {"malformed": self.screen.bad, "backward": self.screen.far_backward}


class LogSource(Source):
    """A capture file of any format that ingest knows, read block by block.

    Malformed lines are left out and counted; labels are not read.

    Args:
        path: The file.
        columns: For CSV and Parquet, a mapping from our column names to the file's.

    Raises:
        DataError: The file is absent, unreadable, empty, or of no known format.
    """

    is_live = False

    def __init__(self, path: Path, columns: Mapping[str, str] | None = None) -> None:
        super().__init__(str(path))
        self._pieces = open_capture(path, columns).pieces
        self._rest = no_frames()

    def take(self, least: int, most: int) -> Frames | None:
        """Return the next frames, at most ``most``; null at the end of the file."""
        while not len(self._rest):
            piece = next(self._pieces, None)
            if piece is None:
                return None
            self._rest = self.screen.keep(piece)
        taken, self._rest = self._rest[:most], self._rest[most:]
        self.arrived = time.perf_counter()
        return taken

    def close(self) -> None:
        """Close the file."""
        self._pieces.close()


def no_frames() -> Frames:
    """Return a capture without frames."""
    return Frames(
        np.zeros(0),
        np.zeros(0, np.uint32),
        np.zeros(0, np.uint8),
        np.zeros((0, 8), np.uint8),
        np.zeros(0, np.int8),
    )


def is_log(name: str) -> bool:
    """Whether `open_source` takes a name for a file, which is read as fast as can be."""
    return name != STDIN and (Path(name).exists() or _BUS.fullmatch(name) is None)


def open_source(name: str, columns: Mapping[str, str] | None = None) -> Source:
    """Open what ``name`` names.

    Args:
        name: A capture file; ``-`` for candump's lines on standard input; or ``INTERFACE:CHANNEL``
            for a bus that python-can knows, such as ``socketcan:can0``. What exists as a file is
            taken for one.
        columns: For CSV and Parquet, a mapping from our column names to the file's.

    Raises:
        DataError: The file can't be read, or the bus can't be opened.
        UnknownNameError: python-can has no such interface.
    """
    from tutelage.tasks.can.live.readers import BusSource, StdinSource, bus_interfaces

    if name == STDIN:
        return StdinSource(sys.stdin.fileno())
    path, bus = Path(name), _BUS.fullmatch(name)
    if is_log(name) or bus is None:
        return LogSource(path, columns)
    interface, channel = bus.groups()
    known = bus_interfaces()
    if interface not in known:
        raise UnknownNameError("bus interface", interface, known, where=name)
    return BusSource(interface, channel)
