"""Start one process for each device, wait for all, and end all when one fails."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from tutelage.core import errors
from tutelage.core.errors import RunFailedError, TutelageError
from tutelage.core.logs import JsonLines
from tutelage.core.stopping import StopRequest
from tutelage.core.store import Run
from tutelage.training.parents import Parents

log = logging.getLogger(__name__)
COMMAND = (sys.executable, "-m", "tutelage.training.rank")
FAILURE = "TUTELAGE_RANK_FAILURE"
"""Number of the file descriptor on which a process says why it failed."""
SHOWN = "TUTELAGE_RANK_SHOWN"
"""The level from which the first process shows its log on standard error."""
LOGGED = "TUTELAGE_RANK_LOGGED"
"""The level from which the processes write into the run's log."""
_POLL_SECONDS = 0.05
_WAKE_SECONDS = 0.5
_GRACE_SECONDS = 10.0


def start_ranks(run: Run, devices: int, parents: Parents) -> None:
    """Train a run in as many processes as it has devices.

    The run's folder and those of its parents, which may lie elsewhere, hold all that they need. The
    first to fail ends the others, since those would wait for it.

    Raises:
        TutelageError: What the first process that failed said.
        RunFailedError: A process was killed.
    """
    reading, writing = os.pipe()
    shared = _environment(devices, writing)
    made_from = {role: [str(one.path.absolute()) for one in runs] for role, runs in parents.items()}
    command = [*COMMAND, str(run.path), json.dumps(made_from)]
    ranks: list[subprocess.Popen[bytes]] = []
    request = StopRequest()
    with _ending(ranks), request.listening(), os.fdopen(reading, encoding="utf-8") as failures:
        for rank in range(devices):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            ranks.append(subprocess.Popen(command, env=shared | own, pass_fds=(writing,)))
        os.close(writing)
        if _wait(ranks, request):
            codes = {n: code for n, rank in enumerate(ranks) if (code := rank.poll())}
            _end(ranks)
            if request.asked and set(codes.values()) == {-signal.SIGTERM}:
                raise KeyboardInterrupt  # before there was a step to finish
            raise _failure(codes, failures.readline())


def _environment(devices: int, writing: int) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = max(1, (os.cpu_count() or 1) // devices)
    return {
        "OMP_NUM_THREADS": str(threads),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(devices),
        FAILURE: str(writing),
        **_levels(),
    }


def _levels() -> dict[str, str]:
    """The levels from which is shown and logged here."""
    least = dict.fromkeys((SHOWN, LOGGED), logging.CRITICAL)
    for handler in logging.getLogger("tutelage").handlers:
        place = LOGGED if isinstance(handler, JsonLines) else SHOWN
        least[place] = min(least[place], handler.level)
    return {place: str(level) for place, level in least.items()}


def _wait(ranks: Sequence[subprocess.Popen[bytes]], request: StopRequest) -> bool:
    """Wait until all processes have finished, or one has failed; return whether one has.

    A request to stop is handed on to all of them.

    A process that is killed makes the others fail in its wake: they are given a moment, so that
    what was first can be told from what followed.
    """
    told = False
    while True:
        if request.asked and not told:
            told = True
            for rank in ranks:
                rank.terminate()
        codes = [rank.poll() for rank in ranks]
        if any(codes):
            time.sleep(_WAKE_SECONDS)
            return True
        if all(code == 0 for code in codes):
            return False
        time.sleep(_POLL_SECONDS)


def _failure(codes: Mapping[int, int], said: str) -> TutelageError:
    """Return why a training failed.

    Args:
        codes: Exit status of each process that has ended, by its number.
        said: The line of the first process that described its error, if any did.
    """
    for rank, code in codes.items():
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            return RunFailedError(f"process {rank} of the training {how}")
    if not said:
        ends = ", ".join(f"process {rank} with status {code}" for rank, code in codes.items())
        return RunFailedError(f"the training ended without a word: {ends}")
    told: Mapping[str, str | None] = json.loads(said)
    kind = getattr(errors, str(told["kind"]), RunFailedError)
    error: TutelageError = TutelageError.__new__(kind)
    TutelageError.__init__(error, str(told["problem"]), where=told["where"], hint=told["hint"])
    return error


@contextmanager
def _ending(ranks: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Leave no process behind, however this one goes on."""
    try:
        yield
    finally:
        _end(ranks)


def _end(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    alive = [rank for rank in ranks if rank.poll() is None]
    for rank in alive:
        rank.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for rank in alive:
        with suppress(subprocess.TimeoutExpired):
            rank.wait(max(0.0, deadline - time.monotonic()))
        rank.kill()
        rank.wait()
