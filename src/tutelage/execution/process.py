"""Run one training process: its output streamed, its time limited, its whole tree ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final, Literal

import psutil

from tutelage.core.errors import RequestError
from tutelage.execution.environment import PARENT

Reason = Literal["finished", "refused", "failed", "killed", "timeout", "stopped"]
_REFUSED: Final = 2
GRACE_SECONDS: Final = 10.0
"""Seconds that a process is given to end when it is asked to."""
POLL_SECONDS: Final = 0.1
"""Seconds between two looks at whether a process should be ended."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training process ended.

    Args:
        reason: `finished` (status 0), `refused` (2, the request was wrong), `failed` (any other),
            `killed` (by a signal from elsewhere), `timeout` (ended at its limit), or `stopped`
            (ended because the caller asked).
        status: The exit status; minus the signal's number where a signal ended it.
        seconds: How long it ran.
    """

    reason: Reason
    status: int
    seconds: float

    @property
    def words(self) -> str:
        """The same in words."""
        if self.status < 0:
            name = signal.Signals(-self.status).name
            how = {"timeout": "at its time limit", "stopped": "on request"}.get(self.reason, "")
            return f"ended by {name} {how}".rstrip()
        return f"ended with status {self.status}"


def execute_training_subprocess(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a command to its end, in a process group of its own that does not outlive this process.

    Args:
        command: The program and its arguments.
        environment: All that it sees of the environment (`setup_training_environment`).
        timeout: Seconds after which its whole process tree is ended; null for none.
        on_line: Called, from another thread, with each line of its standard error as it comes;
            its standard output is not read: a result is a file.
        stop: Asked about ten times a second whether it should be ended.

    Raises:
        RequestError: There is no such program.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            list(command),
            env=dict(environment) | {PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if on_line is None else subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        said = f"can't be started: {error.strerror or error}"
        raise RequestError(said, where=command[0]) from error
    reader = None
    if on_line is not None and process.stderr is not None:
        reader = read_lines(process.stderr, on_line)
    ended: Reason | None = None
    try:
        ended = _wait(process, started, timeout, stop)
    finally:
        end_tree(process.pid, process.poll)
        process.wait()
        if reader is not None:
            reader.join(GRACE_SECONDS)
    status = process.returncode
    return Ended(ended or reason_of(status), status, time.monotonic() - started)


def _wait(
    process: subprocess.Popen[str], started: float, timeout: float | None, stop: Callable[[], bool]
) -> Reason | None:
    """Wait for the end; return why it has to be brought about, if so."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return None
        if timeout is not None and time.monotonic() - started > timeout:
            return "timeout"
        if stop():
            return "stopped"


def reason_of(status: int) -> Reason:
    """Why a process ended of itself, by its exit status."""
    if status < 0:
        return "killed"
    return {0: "finished", _REFUSED: "refused"}.get(status, "failed")  # type: ignore[return-value]


def read_lines(stream: IO[str], on_line: Callable[[str], None]) -> threading.Thread:
    """Hand on each line of a stream as it comes, from a thread that ends with the stream."""
    reader = threading.Thread(target=_read, args=(stream, on_line), daemon=True)
    reader.start()
    return reader


def _read(stream: IO[str], on_line: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            on_line(line.rstrip("\n"))


def end_tree(pid: int, reap: Callable[[], object]) -> None:
    """End a process and all that descends from it: asked first, then killed.

    Args:
        pid: The process, which leads a group of its own.
        reap: Called while it is waited for: takes the exit status, where this process is the one
            to take it.
    """
    family = _family(pid)
    for signalled in (signal.SIGTERM, signal.SIGKILL):
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signalled)
        deadline = time.monotonic() + GRACE_SECONDS
        while family and time.monotonic() < deadline:
            reap()  # psutil must not, or the status would be lost
            family = [one for one in {*family, *_family(pid)} if _alive(one)]
            time.sleep(POLL_SECONDS / 10)


def _family(pid: int) -> list[psutil.Process]:
    """The process, its descendants, and what is left of its group when it has gone itself."""
    found: dict[int, psutil.Process] = {}
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        found = {one.pid: one for one in (process, *process.children(recursive=True))}
    for one in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getpgid(one.pid) == pid:
                found.setdefault(one.pid, one)
    return [one for one in found.values() if _alive(one)]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
