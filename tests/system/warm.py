"""The command in a child of a warm process: what takes seconds to import was imported before.

The children are forked from `tutelage.execution.forkserver`, which says what makes a child what a
process of its own would be. Most commands of these tests run so.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from tutelage.execution.forkserver import Order
from tutelage.execution.warm_server import WarmServer, receive
from tutelage.task import load_task, task_names

POLL_SECONDS = 0.005


class Warm:
    """A command in a child of the warm process, with what tests use of a `subprocess.Popen`.

    Args:
        arguments: The command line after ``tutelage``.
        environment: Variables to set besides the warm process's own.
        folder: The working directory.
    """

    def __init__(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path
    ) -> None:
        order = Order(
            arguments=arguments,
            environment=environment,
            directory=str(folder),
            modules=_modules(),
        )
        self._streams = [tempfile.TemporaryFile() for _ in ("out", "err")]  # noqa: SIM115
        out, err = (stream.fileno() for stream in self._streams)
        self._answers = _server().order(order, err, out)
        self.returncode: int | None = None
        told = receive(self._answers, 60.0)
        assert told is not None and told.pid is not None
        self.pid = told.pid

    def poll(self) -> int | None:
        """The exit status, once there is one."""
        if self.returncode is None and (told := receive(self._answers, POLL_SECONDS)) is not None:
            self.returncode = told.status
            self._answers.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and that is not told yet
                os.kill(self.pid, sig)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end and return what was printed.

        Raises:
            subprocess.TimeoutExpired: It goes on.
        """
        deadline = time.monotonic() + (timeout or 1e9)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("tutelage", timeout or 0)
        out, err = map(_read, self._streams)
        return out, err


@cache
def _server() -> WarmServer:
    """The warm process of these tests, which ends with them."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUTELAGE", "PYTHON"))}
    server = WarmServer(kept | {"OMP_NUM_THREADS": "1"})
    atexit.register(server.close)
    while not server.wait(1.0):
        server.check()
    return server


@cache
def _modules() -> tuple[str, ...]:
    """What the commands of all tasks import."""
    every = [load_task(name) for name in task_names()]
    return tuple(name for task in every for name in (type(task).__module__, *task.warm_modules))


def _read(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode()
