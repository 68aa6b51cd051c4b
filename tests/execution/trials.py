"""Real jobs of the tiny task for tests of the places that run them."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tutelage.core.files import write_json
from tutelage.execution.backend import Job
from tutelage.execution.result import read_result

HERE = Path(__file__).parent
PLACES = (HERE / "plugins", HERE.parent / "training")
PLAN = "TINY_PLAN"


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tiny task one that every process finds."""
    there = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*map(str, PLACES), *([there] * bool(there))]))
    for place in PLACES:
        monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


class Trials:
    """Jobs in a folder, and the plan that says what they do besides training.

    Args:
        folder: Where their files and runs lie.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.plan, self.folder = folder / "home", folder / "plan.json", folder

    def job(
        self,
        *,
        stop: Callable[[], bool] = lambda: False,
        timeout: float | None = None,
        on_line: Callable[[str], None] | None = None,
        **settings: object,
    ) -> Job:
        """A job with some settings of its own."""
        name = secrets.token_hex(4)
        config = self.folder / f"{name}.json"
        always = {"task": "tiny", "run": {"policy": "force_new"}}
        write_json(config, always | {"training": {"accelerator": "cpu"}} | settings)
        result = self.folder / f"{name}-result.json"
        return Job("tiny", config, result, self.home, timeout=timeout, on_line=on_line, stop=stop)

    def tell(self, what: str) -> Path:
        """Have jobs do something in their first step; return the file that they write to."""
        where = self.folder / f"{what}-{secrets.token_hex(4)}"
        self.plan.write_text(json.dumps([what, str(where)]))
        return where


def tree(where: Path, job: Job) -> list[int]:
    """Wait for a hung job to tell the ids of its tree: its parent, itself, its two children."""
    deadline = time.monotonic() + 120
    while not where.exists():
        assert time.monotonic() < deadline and read_result(job.result).kind is None
        time.sleep(0.01)
    return [int(pid) for pid in where.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has asked about yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(*pids: int, seconds: float = 30) -> bool:
    """Whether all processes end within a time."""
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))
