"""The installed command, run as a person would, and what it left behind."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from warm import Warm

Process = Warm | subprocess.Popen[str]
COMMAND = Path(sys.executable).with_name("tutelage")
AT_START = ("PYTHONPATH", "TMPDIR")
"""Variables that are read when Python starts."""
SMALL = (
    "data.simulated_seconds=5",
    "model.layers=1",
    "model.hidden=4",
    "model.heads=2",
    "training.batch_size=16",
)
"""Settings that train the embedded data in a few seconds."""


EVERY = 3
LONG = (*SMALL, "training.max_epochs=2", f"training.checkpoints.every_n_steps={EVERY}")
"""The same, over two epochs of some forty steps, with checkpoints within them."""
RESUME = "run.policy=resume_if_incomplete"


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """Standard output as the one JSON object that it must be."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


class Tutelage:
    """Runs the command with its runs in one folder, from another.

    Args:
        home: What `TUTELAGE_HOME` says.
        folder: The working directory.
    """

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a person with one thread and no terminal."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUTELAGE", "PYTHON"))}
        return kept | {"TUTELAGE_HOME": str(self.home), "OMP_NUM_THREADS": "1"} | more

    def start(
        self,
        *arguments: object,
        command: tuple[object, ...] = (),
        prepare: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> Process:
        """Start the command and return at once; warm, unless something is asked of its start.

        Args:
            arguments: The command line after ``tutelage``.
            command: What to start instead of the installed command.
            prepare: What the new process does before it becomes the command.
            environment: Variables to set besides `environment`.
            stdin: Its standard input, as `subprocess` has it.
        """
        sees = self.environment(**(environment or {}))
        asked = command or prepare or stdin != subprocess.DEVNULL
        if not asked and sees.keys().isdisjoint(AT_START):
            return Warm(tuple(map(str, arguments)), sees, self.folder)
        return subprocess.Popen(
            [str(part) for part in (*(command or (COMMAND,)), *arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=sees,
            preexec_fn=prepare,
        )

    def finish(self, process: Process) -> Result:
        """Wait for the end and take what was printed."""
        try:
            out, err = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            raise
        assert process.returncode is not None
        return Result(process.returncode, out, err)

    def __call__(
        self,
        *arguments: object,
        command: tuple[object, ...] = (),
        prepare: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Result:
        """Run the command to its end."""
        started = self.start(*arguments, command=command, prepare=prepare, environment=environment)
        return self.finish(started)

    def done(self, *arguments: object) -> Result:
        """Run the command, which must succeed."""
        result = self(*arguments)
        assert result.code == 0, result.err
        return result

    def runs(self) -> list[Path]:
        """The folders of runs, oldest first."""
        return sorted(p.parent for p in self.home.glob("*/record.json"))

    def copy_from(self, other: Tutelage) -> None:
        """Take over another home's runs and cache."""
        shutil.copytree(other.home, self.home)


@dataclass(frozen=True)
class Shared:
    """A home with one finished run, to be read and never written; and what training printed.

    Args:
        tutelage: The command with that home.
        result: How training ended.
        temporary: The folder that training had for temporary files.
    """

    tutelage: Tutelage
    result: Result
    temporary: Path

    @property
    def run(self) -> Path:
        """The run's folder."""
        return Path(str(self.result.json["path"]))


def obey_permissions() -> None:
    """Let the permissions of files hold for root too, from the next program on (Linux)."""
    if os.geteuid() == 0:
        drop_from_bounding_set, dac_override, dac_read_search = 24, 1, 2
        for capability in (dac_override, dac_read_search):
            ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


def record(run: Path) -> dict[str, object]:
    """The record of a run, as its file says."""
    value = json.loads((run / "record.json").read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def assert_refused(result: Result, *words: str) -> None:
    """The request was refused with one clear message that holds the words."""
    assert result.code == 2, (result.code, result.err)
    assert result.out == ""
    assert "Traceback" not in result.err
    assert result.err.count("error:") == 1, result.err
    for word in words:
        assert word in result.err, result.err


def wait_for_step(tutelage: Tutelage, process: Process, step: int) -> None:
    """Return as soon as a run has a complete checkpoint of that step or a later one."""
    deadline = time.monotonic() + 120
    while True:
        steps = [
            int(p.stem.rpartition("-")[2]) for p in tutelage.home.glob("*/checkpoints/step-*.json")
        ]
        if max(steps, default=0) >= step:
            return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
