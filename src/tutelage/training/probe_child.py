"""A child process that probes: a fork with the work in memory, or a fresh interpreter."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import logging
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NoReturn

import torch
import torch._dynamo  # each optimiser step needs it: imported here once, not in each child

from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.training.allocator import use_one_arena
from tutelage.training.probe import Greeting, Probe, ProbeRequest, TrainingWork, serve

_TAIL_LINES = 12


class ProbeChild:
    """The parent's end of a child: asks, waits with a limit, and says what happened when it dies.

    Args:
        pid: The child's process id.
        requests: The file descriptor to write questions to.
        replies: The file descriptor to read answers from.
        log: A file descriptor that holds all the child printed.
        timeout_s: How long to wait for one answer.
    """

    def __init__(self, pid: int, requests: int, replies: int, log: int, timeout_s: float) -> None:
        self._pid: int | None = pid
        self._requests, self._replies, self._log = requests, replies, log
        self._timeout_s = timeout_s
        self._received = b""

    def __enter__(self) -> ProbeChild:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def greeting(self) -> Greeting:
        """Wait for the child to be ready.

        Raises:
            RunFailedError: It died or did not answer in time.
        """
        line = self._receive()
        if line is None:
            raise self._died("while it prepared the module and its data", self._reap())
        return Greeting(**json.loads(line))

    def measure(self, request: ProbeRequest) -> Probe:
        """Have one size measured; a child that the system killed counts as out of memory.

        Raises:
            RunFailedError: The step failed for another reason, or there was no answer in time.
        """
        line = None
        try:
            question = asdict(request)
            os.write(self._requests, (json.dumps(question) + "\n").encode())
            line = self._receive()
        except BrokenPipeError:
            pass
        if line is not None:
            answer = json.loads(line)
            return Probe(**answer | {"seconds": tuple(answer["seconds"])})
        code = self._reap()
        if code == -signal.SIGKILL:
            return Probe(request.size, request.size, (), 0, out_of_memory=True)
        raise self._died(f"in a training step at batch size {request.size}", code)

    @property
    def alive(self) -> bool:
        """Whether the child can still be asked."""
        return self._pid is not None

    def close(self) -> None:
        """End the child, if it has not ended, and give back all it held."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()
        for descriptor in (self._requests, self._replies, self._log):
            if descriptor >= 0:
                os.close(descriptor)
        self._requests = self._replies = self._log = -1

    def _receive(self) -> bytes | None:
        """Return one line, or None when the child closed its end."""
        deadline = time.monotonic() + self._timeout_s
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        while b"\n" not in self._received:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self._raise_timeout()
            chunk = os.read(self._replies, 1 << 16)
            if not chunk:
                return None
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _raise_timeout(self) -> NoReturn:
        tail = self._tail()
        self.close()
        raise RunFailedError(
            f"the batch-size probe gave no answer in {self._timeout_s:g} s and was stopped",
            hint=f"Set training.batch_size to a number, or allow more time.{tail}",
        )

    def _died(self, when: str, code: int) -> RunFailedError:
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        hint = "Mend the error below, or set training.batch_size to a number."
        return RunFailedError(
            f"the batch-size probe ended {how} {when}", hint=f"{hint}{self._tail()}"
        )

    def _tail(self) -> str:
        text = os.pread(self._log, 1 << 20, max(0, os.fstat(self._log).st_size - (1 << 14)))
        lines = text.decode(errors="replace").strip().splitlines()[-_TAIL_LINES:]
        return "".join(f"\n  | {line}" for line in lines)

    def _reap(self) -> int:
        assert self._pid is not None
        _, status = os.waitpid(self._pid, 0)
        self._pid = None
        return os.waitstatus_to_exitcode(status)


def fork_child(work: TrainingWork, timeout_s: float) -> ProbeChild:
    """Start a child that shares this process's memory, copy on write: any module, any data.

    OpenMP's pool does not survive a fork, and a forked main thread that uses it hangs. A new thread
    of the child gets a pool of its own, so the work runs in one, with as many threads as here.

    Raises:
        ConfigError: This system can't fork safely, or CUDA was used in this process.
    """
    _require_linux()
    if work.device.type == "cuda" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise ConfigError(
            "CUDA is in use in this process, and a forked probe can't share it",
            hint="Probe with optimize_with_command, or before anything uses the device.",
        )
    threads = torch.get_num_threads()

    def start(requests: int, replies: int, log: int, ours: Sequence[int]) -> int:
        _pause_openmp()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: "fork with threads"
            pid = os.fork()
        if pid:
            return pid
        for descriptor in ours:
            os.close(descriptor)
        _run_forked(work, threads, requests, replies, log)

    return _connect(start, timeout_s)


def command_child(command: Sequence[str], timeout_s: float) -> ProbeChild:
    """Start a fresh interpreter that serves probes by `serve_standard_streams`.

    Args:
        command: The program and its arguments, for instance
            ``[sys.executable, "-m", MODULE, "config.json"]``.
        timeout_s: How long to wait for one answer.
    """
    _require_linux()

    def start(requests: int, replies: int, log: int, ours: Sequence[int]) -> int:
        dup2 = os.POSIX_SPAWN_DUP2
        actions = [(dup2, requests, 0), (dup2, replies, 1), (dup2, log, 2)]
        return os.posix_spawn(command[0], list(command), os.environ, file_actions=actions)

    return _connect(start, timeout_s)


def _pause_openmp() -> None:
    """Give OpenMP's pool back before a fork; the next parallel region makes a new one.

    Else libgomp counts its lost threads in the child, holds the cores for overcommitted and lets
    threads sleep at each barrier, which slows the steps of a small model.
    """
    pause_soft = 1
    symbols = ctypes.CDLL(None)
    if hasattr(symbols, "omp_pause_resource_all"):
        symbols.omp_pause_resource_all(pause_soft)


def _require_linux() -> None:
    if sys.platform != "linux":
        raise ConfigError(
            f"batch sizes can't be probed on {sys.platform}",
            hint="Set training.batch_size to a number.",
        )


def _connect(start: Callable[[int, int, int, Sequence[int]], int], timeout_s: float) -> ProbeChild:
    log = os.memfd_create("tutelage-probe-log")
    their_requests, requests = os.pipe()
    replies, their_replies = os.pipe()
    try:
        pid = start(their_requests, their_replies, log, (requests, replies))
    except OSError as error:
        for descriptor in (requests, replies, log):
            os.close(descriptor)
        raise RunFailedError(f"the batch-size probe can't be started: {error}") from error
    finally:
        os.close(their_requests)
        os.close(their_replies)
    return ProbeChild(pid, requests, replies, log, timeout_s)


def _run_forked(
    work: TrainingWork, threads: int, requests: int, replies: int, log: int
) -> NoReturn:
    """Be the child: nothing of the parent's files, signals, logs or finalisers is touched."""
    finished: list[bool] = []

    def run() -> None:
        torch.set_num_threads(threads)
        with os.fdopen(requests) as questions, os.fdopen(replies, "w") as answers:
            serve(work, questions, answers)
        finished.append(True)

    try:
        gc.freeze()
        use_one_arena()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        logging.disable(logging.CRITICAL)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        threading.excepthook = threading.__excepthook__
        faulthandler.enable(file=2)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        sys.stderr.flush()
    finally:
        os._exit(0 if finished else 1)
