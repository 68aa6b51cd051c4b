"""Commands that benchmarks give, cold or as children of a warm process, to kill them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from tutelage.core.store import Run, RunStore
from tutelage.execution.forkserver import Order
from tutelage.execution.warm_server import WarmServer, receive
from tutelage.task import load_task

ROOT = Path(__file__).parents[1]
ALWAYS = (
    *("training.checkpoints.every_n_steps=1", "training.log_every_n_steps=2"),
    "run.policy=resume_if_incomplete",
)
LONGEST = 1800.0
"""Seconds after which a command hangs."""
ORPHAN_SECONDS = 20.0


class FailedError(Exception):
    """A command ended as it should not, or left what it should not."""


class Process(Protocol):
    """A command that was given."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        ...

    def wait(self, timeout: float) -> int:
        """Its exit status, once it has ended."""
        ...


class WarmChild:
    """A command that a warm process's child is."""

    def __init__(self, server: WarmServer, order: Order, output: int) -> None:
        while not server.wait(0.1):
            server.check()
        self._answers = server.order(order, output)
        told = receive(self._answers, LONGEST)
        assert told is not None and told.pid is not None
        self.pid, self._status = told.pid, None

    def poll(self) -> int | None:
        if self._status is None and (told := receive(self._answers, 1e-4)) is not None:
            self._status = told.status
            self._answers.close()
        return self._status

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} hangs")
            time.sleep(0.01)
        return status


@dataclass
class Place:
    """A home for runs, and how commands are given in it."""

    home: Path
    arguments: tuple[str, ...]
    warm: WarmServer | None = None

    def start(self) -> Process:
        """Give the command."""
        arguments = ("train", *self.arguments, *ALWAYS, "--json")
        own = {"TUTELAGE_HOME": str(self.home)}
        with (self.home / "said.txt").open("ab") as said:
            if self.warm is not None:
                task = load_task(self.arguments[0])
                modules = (type(task).__module__, *task.warm_modules)
                order = Order(
                    arguments=arguments, environment=own, directory=str(self.home), modules=modules
                )
                return WarmChild(self.warm, order, said.fileno())
            return subprocess.Popen(
                [sys.executable, "-m", "tutelage", *arguments],
                env=environment() | own,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    def finish(self, process: Process) -> Run:
        """Wait for the end, which must be good; return the run.

        Raises:
            FailedError: It was not, or a process outlives the command.
        """
        if status := process.wait(LONGEST):
            said = (self.home / "said.txt").read_text()[-1500:]
            raise FailedError(f"ended with status {status}: {said}")
        self.check_alone()
        return RunStore(self.home).runs()[-1]

    def check_alone(self) -> None:
        """Wait until no process works here.

        Raises:
            FailedError: One outlives the command.
        """
        deadline = time.monotonic() + ORPHAN_SECONDS
        while left := self._alive():
            if time.monotonic() > deadline:
                raise FailedError(f"processes {left} outlive the command")
            time.sleep(0.05)

    def _alive(self) -> list[int]:
        """Every process that is told of this home."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("TUTELAGE_HOME") == str(self.home)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found


def environment() -> dict[str, str]:
    """What commands see: one thread, this checkout, no settings of whoever started this."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUTELAGE", "PYTHON"))}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
