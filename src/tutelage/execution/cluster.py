"""`ClusterBackend`: jobs on the nodes of a cluster, each followed from here to its end."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import psutil

from tutelage.core.execution import ElsewhereExecution
from tutelage.core.files import atomic_file
from tutelage.execution.backend import Backend, Job, Outcome
from tutelage.execution.node import BEAT_SECONDS, JobFolder, Order, place_of_this_process
from tutelage.execution.process import Ended
from tutelage.execution.result import read_result

Phase = Literal["waiting", "running", "gone", "timeout"]
"""`waiting` for a node, `running` on one, `gone` from the cluster, or gone at its `timeout`."""
_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 45.0
"""Time that a node has to end a job, asked to; then the cluster is told to."""
_LEAVE_SECONDS: Final = 15.0
"""The same, where this process is itself being ended."""
_LATE_SECONDS: Final = 5.0
"""Time that a shared file system may take to show what a node wrote last."""


class Submission(ABC):
    """A job that was handed to a cluster."""

    @abstractmethod
    def phase(self) -> Phase:
        """Return where it is; asked about ten times a second."""

    @abstractmethod
    def cancel(self) -> None:
        """Tell the cluster to end it, wherever it is."""

    def release(self) -> None:  # noqa: B027
        """Wait for what it holds here after its end."""


class Cluster(ABC):
    """What jobs can be handed to."""

    @abstractmethod
    def submit(self, folder: JobFolder) -> Submission:
        """Hand a job over: `run_order` of its folder is to be called on a node.

        Raises:
            RequestError: The cluster refuses it.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what is held here."""


class ClusterBackend(Backend):
    """Jobs on the nodes of a cluster.

    Args:
        cluster: What jobs are handed to.
        settings: Which variables a job sees, and for how long it may run.
    """

    def __init__(self, cluster: Cluster, settings: ElsewhereExecution) -> None:
        self._cluster, self._settings = cluster, settings
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._jobs = 0

    def run(self, job: Job) -> Outcome:
        """Run a job to its end."""
        with self._counted(), self._folder(job) as folder:
            submission = self._cluster.submit(folder)
            try:
                stop: Callable[[], bool] = lambda: self._closing.is_set() or job.stop()  # noqa: E731
                ended = _Follower(folder, job, submission, stop).follow()
            except BaseException:
                folder.ask_to_stop()
                _let_go(folder, submission)
                raise
            finally:
                submission.release()
        return Outcome(ended, read_result(job.result))

    def close(self) -> None:
        """End the jobs that last, then let go of the cluster."""
        self._closing.set()
        with self._idle:
            self._idle.wait_for(lambda: self._jobs == 0)
        self._cluster.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._jobs += 1
        try:
            yield
        finally:
            with self._idle:
                self._jobs -= 1
                self._idle.notify_all()

    @contextmanager
    def _folder(self, job: Job) -> Iterator[JobFolder]:
        """Make the job's folder in the home, which nodes see; remove it at the end."""
        home = job.home.absolute()
        folder = JobFolder(home / ".cache" / "jobs" / secrets.token_hex(8))
        limit = self._settings.timeout if job.timeout is None else job.timeout
        order = Order(
            task=job.task,
            home=home,
            environment=self._settings.environment,
            timeout=limit,
            place=place_of_this_process(),
            pid=os.getpid(),
            born=psutil.Process().create_time(),
        )
        try:
            folder.prepare(job.config, order)
            yield folder
        finally:
            shutil.rmtree(folder.path, ignore_errors=True)


def _let_go(folder: JobFolder, submission: Submission) -> None:
    """Give a job, asked to stop, the time to; then let the cluster end it."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while (phase := submission.phase()) == "running" and folder.ended() is None:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    if phase in ("waiting", "running") and folder.ended() is None:
        submission.cancel()


class _Follower:
    """One job, followed from its submission to its end."""

    def __init__(
        self, folder: JobFolder, job: Job, submission: Submission, stop: Callable[[], bool]
    ) -> None:
        self._folder, self._job, self._submission, self._stop = folder, job, submission, stop
        self._started = self._beaten = time.monotonic()
        self._asked: float | None = None
        self._read = 0
        self._told: bytes | None = None

    def follow(self) -> Ended:
        """Return how the job ended."""
        while True:
            phase = self._submission.phase()
            self._look()
            if (ended := self._ended(phase)) is not None:
                self._look()
                return ended
            self._ask(phase)
            time.sleep(_POLL_SECONDS)

    def _ended(self, phase: Phase) -> Ended | None:
        """Return how it ended; one that was killed may be queued again until it is gone."""
        gone = phase in ("gone", "timeout")
        ended = self._folder.ended() if not gone else self._last_word()
        if ended is not None and ended.reason == "killed":
            if self._asked is not None:
                return replace(ended, reason="stopped")
            return ended if gone else None
        if ended is not None:
            return ended
        if not gone:
            return None
        seconds = time.monotonic() - self._started
        if self._asked is not None:
            return Ended("stopped", -signal.SIGTERM, seconds)
        return Ended("timeout" if phase == "timeout" else "killed", -signal.SIGKILL, seconds)

    def _last_word(self) -> Ended | None:
        """Return what the node wrote last, which a shared file system may show late."""
        deadline = time.monotonic() + (_LATE_SECONDS if self._folder.begun else 0.0)
        while (ended := self._folder.ended()) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return ended

    def _ask(self, phase: Phase) -> None:
        """End the job if that is wanted: by its node, and by the cluster where that is too slow."""
        now = time.monotonic()
        if self._asked is None:
            if self._stop():
                self._asked = now
                self._folder.ask_to_stop()
                if phase == "waiting":
                    self._submission.cancel()
        elif now - self._asked > _GRACE_SECONDS:
            self._asked = now
            self._submission.cancel()

    def _look(self) -> None:
        """Give a sign of life, pass on new lines, and what the job says of itself."""
        now = time.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            self._folder.beat()
        self._pass_on_lines()
        told = _content(self._folder.result)
        if told is not None and told != self._told:
            self._told = told
            with atomic_file(self._job.result) as file:
                file.write(told)

    def _pass_on_lines(self) -> None:
        if self._job.on_line is None or not self._folder.log.exists():
            return
        with self._folder.log.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        for line in whole.decode(errors="replace").splitlines():
            self._job.on_line(line)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
