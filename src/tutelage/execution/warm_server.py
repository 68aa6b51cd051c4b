"""The asking end of a warm process: starts it, hands it jobs, and knows when it has died."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from tutelage.core.errors import RequestError
from tutelage.execution.environment import PARENT
from tutelage.execution.forkserver import MESSAGE_BYTES, Order, Told

_TAIL_BYTES: Final = 2000
_CLOSE_SECONDS: Final = 10.0


class WarmServer:
    """A warm process, from its start to its end.

    A thread starts it and waits for it: the kernel ends the process with the *thread* that started
    it, and a caller's may end before.

    Args:
        environment: All that it and its children see of the environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._orders, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        self._process: subprocess.Popen[bytes] | None = None
        self._ready, self._gone = threading.Event(), threading.Event()
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._hold, name="warm server", daemon=True)
        self._thread.start()

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._gone.is_set()

    @property
    def pid(self) -> int | None:
        """Its process; none before it is ready."""
        return self._process.pid if self._process is not None and self._ready.is_set() else None

    def wait(self, seconds: float) -> bool:
        """Wait for it to have imported what training takes; return whether it has."""
        return self._ready.wait(seconds)

    @property
    def killed(self) -> bool:
        """Whether a signal has ended it."""
        return self.gone and self._process is not None and (self._process.returncode or 0) < 0

    def check(self) -> None:
        """Say if it will never be ready.

        Raises:
            RequestError: It ended by itself before.
        """
        if not self.gone or self.killed or self._ready.is_set():
            return
        self._said.seek(0)
        tail = self._said.read()[-_TAIL_BYTES:].decode(errors="replace").strip()
        raise RequestError(
            "the warm process ended before it could take a job",
            hint=f"Use execution=subprocess. It said: {tail or 'nothing'}",
        )

    def order(self, order: Order, errors: int, *output: int) -> socket.socket:
        """Hand over a job; return the socket on which it is told of (`Told`).

        Args:
            order: The job.
            errors: Descriptor of the file that its standard error goes to.
            output: That of the file for its standard output, which else nobody reads.

        Raises:
            OSError: The process has died.
        """
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._sending:
            files = [theirs.fileno(), errors, *output]
            try:
                socket.send_fds(self._orders, [order.model_dump_json().encode()], files)
            except OSError:
                answers.close()
                raise
        return answers

    def close(self) -> None:
        """End it and all of its children."""
        with suppress(OSError):
            self._orders.shutdown(socket.SHUT_RDWR)
        if self._ready.is_set():
            self._thread.join(_CLOSE_SECONDS)
        if self._process is not None and not self.gone:
            self._process.kill()
        self._thread.join()
        self._orders.close()
        self._said.close()

    def _hold(self) -> None:
        try:
            with self._theirs as theirs:
                self._process = subprocess.Popen(
                    (sys.executable, "-m", "tutelage.execution.forkserver", str(theirs.fileno())),
                    env=self._environment | {PARENT: str(os.getpid())},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._said,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            if self._orders.recv(MESSAGE_BYTES):
                self._ready.set()
            self._process.wait()
        finally:
            self._gone.set()


def receive(answers: socket.socket, seconds: float) -> Told | None:
    """Return what is told of a job within a time; nothing where nothing is.

    Raises:
        ConnectionError: Nothing will be: the warm process has died.
    """
    answers.settimeout(seconds)
    try:
        message = answers.recv(MESSAGE_BYTES)
    except TimeoutError:
        return None
    if not message:
        raise ConnectionResetError("the warm process has died")
    return Told.model_validate_json(message)
