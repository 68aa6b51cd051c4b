"""`StopRequest`: Ctrl-C and SIGTERM as a request to stop gently; a second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HEARD = b"\nstopping: the step is finished and saved; Ctrl-C again stops at once\n"
Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """Whether this process was asked to stop, by Ctrl-C or SIGTERM, while it listened.

    Only a process's main thread can listen; in another, nothing is heard.
    """

    def __init__(self) -> None:
        self.asked: bool = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the first signal as a request; the second raises `KeyboardInterrupt`."""
        with _handling(self._hear):
            yield

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        os.write(2, _HEARD)  # a logger might be in the middle of a line


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM interrupt, as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling(interrupt, (signal.SIGTERM,)):
        yield


@contextmanager
def _handling(handler: Handler, signals: tuple[signal.Signals, ...] = SIGNALS) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
