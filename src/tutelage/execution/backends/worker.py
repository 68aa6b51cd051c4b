"""`execution=worker`: each job in a child of a warm process that has imported all it takes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tutelage.core.errors import RequestError
from tutelage.core.execution import WorkerExecution
from tutelage.execution.backend import Backend, Job, Outcome
from tutelage.execution.command import training_arguments
from tutelage.execution.environment import setup_training_environment
from tutelage.execution.forkserver import Order
from tutelage.execution.process import (
    POLL_SECONDS,
    Ended,
    Reason,
    end_tree,
    read_lines,
    reason_of,
)
from tutelage.execution.result import read_result
from tutelage.execution.warm_server import WarmServer, receive
from tutelage.task import load_task

_DRAIN_SECONDS: Final = 2.0
"""Seconds in which the last lines are read, where something still holds the pipe."""


class WorkerBackend(Backend):
    """A warm process of this machine, and a child of it for each job.

    What jobs see of the environment is what there was when this was opened. Should the warm
    process die, the next job starts another.

    Args:
        settings: Which variables a job sees, and for how long it may run.

    Raises:
        RequestError: This system can't fork safely.
    """

    def __init__(self, settings: WorkerExecution) -> None:
        if sys.platform != "linux":
            raise RequestError("execution=worker needs Linux", hint="Use execution=subprocess.")
        self._settings = settings
        self._environment = setup_training_environment(settings.environment)
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._server = WarmServer(self._environment)

    @property
    def server(self) -> WarmServer:
        """The warm process; a new one where the last has died."""
        with self._lock:
            if self._server.gone and not self._closed.is_set():
                self._server.close()
                self._server = WarmServer(self._environment)
            return self._server

    def run(self, job: Job) -> Outcome:
        """Run a job to its end."""
        limit = self._settings.timeout if job.timeout is None else job.timeout
        return Outcome(_Child(job, limit, self._closed).run(self.server), read_result(job.result))

    def close(self) -> None:
        """End the warm process and all jobs."""
        self._closed.set()
        with self._lock:
            self._server.close()


class _Child:
    """One job in a child of the warm process.

    Args:
        job: The job.
        limit: Seconds it may take; null for no limit.
        closed: Set when every job is to end.
    """

    def __init__(self, job: Job, limit: float | None, closed: threading.Event) -> None:
        self._job, self._limit, self._closed = job, limit, closed
        self._started = time.monotonic()
        self._pid: int | None = None
        self._status: int | None = None

    def run(self, server: WarmServer) -> Ended:
        """Run it to its end."""
        while not server.wait(POLL_SECONDS):
            over = "killed" if server.killed else self._over()
            if over is not None:
                return self._ended(over)
            server.check()
        reading, writing = os.pipe()
        lines = read_lines(os.fdopen(reading, errors="replace"), self._job.on_line or _nowhere)
        try:
            answers = server.order(self._order(), writing)
        except OSError:
            return self._ended("killed")
        finally:
            os.close(writing)
        with answers:
            try:
                reason = self._wait(answers)
            finally:
                self._end(answers)
                lines.join(_DRAIN_SECONDS)
        return self._ended(reason)

    def _order(self) -> Order:
        job = self._job
        task = load_task(job.task)
        return Order(
            arguments=training_arguments(job.config, task=job.task, result=job.result),
            environment={"TUTELAGE_HOME": str(job.home.absolute())},
            directory=str(Path.cwd()),
            modules=(type(task).__module__, *task.warm_modules),
        )

    def _over(self) -> Reason | None:
        """Why the job has to be ended, if so."""
        if self._limit is not None and time.monotonic() - self._started > self._limit:
            return "timeout"
        return "stopped" if self._closed.is_set() or self._job.stop() else None

    def _wait(self, answers: socket.socket) -> Reason | None:
        """Wait for the end; return why it has to be brought about, if so."""
        while self._status is None:
            try:
                self._hear(answers)
            except ConnectionError:
                return "stopped" if self._closed.is_set() else "killed"
            if self._status is None and (over := self._over()) is not None:
                return over
        return None

    def _hear(self, answers: socket.socket) -> None:
        if (told := receive(answers, POLL_SECONDS)) is not None:
            self._pid = self._pid if told.pid is None else told.pid
            self._status = self._status if told.status is None else told.status

    def _end(self, answers: socket.socket) -> None:
        """Leave nothing of the job behind."""

        def hear() -> None:
            if self._status is None:
                with suppress(ConnectionError):
                    self._hear(answers)

        if self._pid is None:
            hear()  # it may have begun just now
        if self._pid is not None:
            end_tree(self._pid, hear)
            hear()

    def _ended(self, reason: Reason | None) -> Ended:
        status = -signal.SIGKILL if self._status is None else self._status
        return Ended(reason or reason_of(status), status, time.monotonic() - self._started)


def _nowhere(line: str) -> None:
    """Drop a line that nobody asked for."""


def open_backend(settings: WorkerExecution) -> WorkerBackend:
    """Return the place."""
    return WorkerBackend(settings)
