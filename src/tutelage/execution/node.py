"""What a cluster's node does for a job, and the folder through which it and the asker talk."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path
from typing import Final

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from tutelage.core.errors import StoreError, TutelageError
from tutelage.core.files import atomic_file, write_json
from tutelage.execution.command import build_training_command
from tutelage.execution.environment import setup_training_environment
from tutelage.execution.process import Ended, execute_training_subprocess
from tutelage.execution.result import Result, write_result

BEAT_SECONDS: Final = 10.0
"""Time between two signs of life of the process that asks."""
LOST_SECONDS: Final = 600.0
"""Time without one after which a node on another machine ends the job."""
_AGAIN: Final = "run.policy=resume_if_incomplete"


class Order(BaseModel):
    """What a node is asked to do.

    Attributes:
        task: The task's name.
        home: Where runs live.
        environment: Names and patterns of variables that pass besides those that always do.
        timeout: Seconds after which the job's process tree is ended; null for no limit.
        place: Where the process that asks runs: machine and, in a container, its processes' space.
        pid: Id of that process there.
        born: When it was started, by that machine's clock.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    home: Path
    environment: tuple[str, ...]
    timeout: float | None
    place: str
    pid: int
    born: float


class JobFolder:
    """A job's files in the folder that the asker's machine and the node both see.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.result = path / "result.json"
        self.log = path / "log.txt"
        self._order = path / "order.json"
        self._begun = path / "begun"
        self._stop = path / "stop"
        self._beat = path / "beat"
        self._ended = path / "ended.json"

    def prepare(self, config: Path, order: Order) -> None:
        """Write what a node needs to know.

        Raises:
            StorageError: The disk is full, or the folder can't be written.
        """
        self.path.mkdir(parents=True, mode=0o700)
        shutil.copyfile(config, self.config)
        write_json(self._order, order.model_dump(mode="json"))
        self.beat()

    def order(self) -> Order:
        """Return what is asked.

        Raises:
            StoreError: The file is absent or damaged.
        """
        try:
            return Order.model_validate(json.loads(self._order.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise StoreError(f"the job can't be read: {error}", where=self._order) from error

    def begin(self) -> bool:
        """Note that a node has begun; return whether one had before."""
        before = self._begun.exists()
        self._ended.unlink(missing_ok=True)
        self._begun.touch()
        return before

    @property
    def begun(self) -> bool:
        """Whether a node has begun."""
        return self._begun.exists()

    def ask_to_stop(self) -> None:
        """Ask the node to end the job."""
        self._stop.touch()

    @property
    def stopped(self) -> bool:
        """Whether the node is to end the job: it is asked to, or nobody waits for it."""
        return self._stop.exists() or not self._order.exists()

    def beat(self) -> None:
        """Give a sign of life."""
        with atomic_file(self._beat) as file:
            file.write(f"{time.monotonic()}".encode())

    def last_beat(self) -> str:
        """Return the last sign of life, which differs from the one before."""
        try:
            return self._beat.read_text(encoding="utf-8")
        except OSError:
            return ""

    def end(self, ended: Ended) -> None:
        """Say how the job ended."""
        said = {"reason": ended.reason, "status": ended.status, "seconds": ended.seconds}
        write_json(self._ended, said)

    def ended(self) -> Ended | None:
        """Return how the job ended, once it has."""
        try:
            return Ended(**json.loads(self._ended.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None


def place_of_this_process() -> str:
    """Return the machine, and the space of process ids on it, in which this process runs."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {space.readlink() if space.is_symlink() else ''}".rstrip()


class _Asker:
    """Whether the process that asked for a job is still there.

    On its own machine it is looked for by its id, elsewhere by its signs of life.
    """

    def __init__(self, folder: JobFolder, order: Order) -> None:
        self._folder, self._order = folder, order
        self._here = order.place == place_of_this_process()
        self._last, self._heard = folder.last_beat(), time.monotonic()
        self._looked = self._heard

    def has_gone(self) -> bool:
        if self._here:
            return not self._is_alive()
        now = time.monotonic()
        if now - self._looked >= BEAT_SECONDS:
            self._looked = now
            if (beat := self._folder.last_beat()) != self._last:
                self._last, self._heard = beat, now
        return now - self._heard > LOST_SECONDS

    def _is_alive(self) -> bool:
        try:
            return abs(psutil.Process(self._order.pid).create_time() - self._order.born) < 2
        except psutil.NoSuchProcess:
            return False


def run_order(folder: str, given: str = "{}") -> str:
    """Run the job of a folder on this node: the training command, in a process group of its own.

    A job that a node began before, and that the cluster put back in its queue, goes on from its
    last checkpoint.

    Args:
        folder: The job's folder.
        given: Variables that the training process sees besides the node's own, in JSON.

    Returns:
        Why it ended.
    """
    place = JobFolder(Path(folder))
    order = place.order()
    again = (_AGAIN,) if place.begin() else ()
    asker = _Asker(place, order)
    home = {"TUTELAGE_HOME": str(order.home)}
    with place.log.open("a", encoding="utf-8", buffering=1) as log:

        def note(line: str) -> None:
            log.write(f"{line}\n")

        try:
            ended = execute_training_subprocess(
                build_training_command(place.config, again, task=order.task, result=place.result),
                setup_training_environment(order.environment, json.loads(given) | home),
                timeout=order.timeout,
                on_line=note,
                stop=lambda: place.stopped or asker.has_gone(),
            )
        except TutelageError as error:
            write_result(place.result, Result().failed(error))
            ended = Ended("failed", 1, 0.0)
    place.end(ended)
    return ended.reason
