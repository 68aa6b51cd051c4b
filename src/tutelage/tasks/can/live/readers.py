"""Sources that don't wait for us: buses and standard input, each read by a thread into a queue."""

from __future__ import annotations

import os
import select
import threading
import time
from abc import abstractmethod
from collections import deque
from typing import Generic, TypeVar

import can

from tutelage.core.errors import DataError, RunFailedError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest.binary_logs import message_piece
from tutelage.tasks.can.ingest.blocks import BLOCK_BYTES, split_lines
from tutelage.tasks.can.ingest.logs import Candump
from tutelage.tasks.can.ingest.text import parse_lines
from tutelage.tasks.can.live.sources import Source, no_frames

QUEUED = 1 << 18
"""Frames that may wait to be taken: half a minute of a full bus."""

PATIENCE = 0.1
"""Seconds that `Source.take` waits for frames, and after which a reader looks whether to stop."""

T = TypeVar("T")


class QueuedSource(Source, Generic[T]):
    """A source that a thread reads, so that nothing is lost while a verdict is found or printed.

    The thread only wakes the taker when enough frames for the next window have come.
    """

    is_live = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._changed = threading.Condition()
        self._queue: deque[tuple[T, int, float]] = deque()
        self._queued, self._wanted = 0, 1
        self._stopped = self._ended = False
        self._failure: Exception | None = None
        self._rest = no_frames()
        self._thread = threading.Thread(target=self._read_all, name=f"reads {name}", daemon=True)

    @abstractmethod
    def _read(self) -> bool:
        """Wait shortly for what comes and put it into the queue; say whether there is an end."""

    @abstractmethod
    def _decode(self, items: list[T]) -> Frames:
        """Turn what was queued into frames."""

    def take(self, least: int, most: int) -> Frames | None:
        """Return the next frames, at most ``most``; null when there will be no more."""
        if len(self._rest) < least:
            items = self._wait(least - len(self._rest), most - len(self._rest))
            if items:
                frames = self._decode(items)
                rest = Frames.concatenate([self._rest, frames]) if len(self._rest) else frames
                self._rest = rest
            elif self._ended and not len(self._rest):
                if self._failure is not None:
                    raise self._gone(self._failure) from self._failure
                return None
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken

    def close(self) -> None:
        """Stop reading."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(timeout=10 * PATIENCE)

    def _gone(self, failure: Exception) -> RunFailedError:
        hint = "Look at the connection, then watch again."
        return RunFailedError(f"the source went away: {failure}", where=self.name, hint=hint)

    def _put(self, item: T, frames: int) -> None:
        """Queue an item; while too many frames wait, wait too: nothing is lost."""
        arrived = time.perf_counter()
        with self._changed:
            while self._queued >= QUEUED and not self._stopped:
                self._changed.wait(PATIENCE)
            self._append(item, frames, arrived)

    def _put_or_drop(self, item: T) -> None:
        """Queue one frame; where too many wait, drop and count it."""
        arrived = time.perf_counter()
        with self._changed:
            if self._queued >= QUEUED:
                self.dropped += 1
            else:
                self._append(item, 1, arrived)

    def _append(self, item: T, frames: int, arrived: float) -> None:
        self._queue.append((item, frames, arrived))
        self._queued += frames
        if self._queued >= self._wanted:
            self._changed.notify_all()

    def _wait(self, least: int, most: int) -> list[T]:
        """Take items of ``least`` to about ``most`` frames, or after a while what there is."""
        items: list[T] = []
        with self._changed:
            self._wanted = least
            self._changed.wait_for(lambda: self._queued >= least or self._ended, PATIENCE)
            frames = 0
            while self._queue and frames < most:
                item, count, self.arrived = self._queue.popleft()
                items.append(item)
                frames += count
            self._queued -= frames
            self._changed.notify_all()
        return items

    def _read_all(self) -> None:
        failure: Exception | None = None
        try:
            while not self._stopped and not self._read():
                pass
        except (can.CanError, OSError, ValueError) as error:
            failure = error
        with self._changed:
            self._failure, self._ended = failure, True
            self._changed.notify_all()


class BusSource(QueuedSource[can.Message]):
    """A bus that python-can knows. CAN FD frames are malformed; remote and error frames skipped.

    Args:
        interface: python-can's name of the interface, such as ``socketcan``.
        channel: The channel, such as ``can0``.

    Raises:
        DataError: It can't be opened.
    """

    def __init__(self, interface: str, channel: str) -> None:
        super().__init__(f"{interface}:{channel}")
        self._messages = 0
        try:
            self._bus = can.Bus(channel=channel, interface=interface)
        except (can.CanError, OSError, ValueError, ImportError, TypeError) as error:
            raise DataError(
                f"the bus can't be opened: {error}",
                where=self.name,
                hint="See that it is up (for SocketCAN: ip link) and that its driver is installed; "
                "python-can takes further settings, such as a bit rate, from its can.conf.",
            ) from error
        self._thread.start()

    def close(self) -> None:
        """Stop reading and leave the bus."""
        super().close()
        self._bus.shutdown()

    def _read(self) -> bool:
        message = self._bus.recv(PATIENCE)
        if message is not None:
            self._put_or_drop(message)
        return False

    def _decode(self, items: list[can.Message]) -> Frames:
        first = self._messages + 1
        self._messages += len(items)
        return self.screen.keep(message_piece(items, first))


class StdinSource(QueuedSource[bytes]):
    """Lines as candump writes them into logs, or prints them with ``-L``, from a file descriptor.

    Whoever writes them is held up while too many wait, so that nothing is lost.

    Args:
        descriptor: The open file descriptor; it is not closed.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__("standard input")
        self._descriptor = descriptor
        self._grammar = Candump()
        self._tail = b""
        self._line = 1
        self._thread.start()

    def _read(self) -> bool:
        if not select.select([self._descriptor], [], [], PATIENCE)[0]:
            return False
        raw = os.read(self._descriptor, BLOCK_BYTES)
        text = self._tail + raw
        cut = text.rfind(b"\n") + 1 if raw else len(text)
        self._tail = text[cut:]
        if cut:
            self._put(text[:cut], max(1, text.count(b"\n", 0, cut)))
        return not raw

    def _decode(self, items: list[bytes]) -> Frames:
        lines, count = split_lines(b"".join(items), self._line)
        self._line += count
        return self.screen.keep(parse_lines(self._grammar, lines)) if len(lines) else no_frames()


def bus_interfaces() -> list[str]:
    """The interfaces that python-can knows."""
    return sorted(can.VALID_INTERFACES)
