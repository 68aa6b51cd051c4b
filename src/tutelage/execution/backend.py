"""`Backend`: where a training job is run, behind one small interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tutelage.execution.process import Ended
from tutelage.execution.result import Result


@dataclass(frozen=True, slots=True)
class Job:
    """A training run to be made.

    Args:
        task: The task's name.
        config: File with the whole configuration, in JSON.
        result: File that is told the run's folder as soon as there is one and, at the end, why it
            failed if it did (`tutelage.execution.result`).
        home: Where runs live.
        timeout: Seconds after which the job's whole process tree is ended; null for the limit of
            `execution.timeout`, if there is one.
        on_line: Called, from any thread, with each line of what the run logs.
        stop: Asked about ten times a second whether the job should be ended.
    """

    task: str
    config: Path
    result: Path
    home: Path
    timeout: float | None = None
    on_line: Callable[[str], None] | None = None
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, and what it says itself."""

    ended: Ended
    result: Result


class Backend(ABC):
    """A place to run jobs. Several threads may run jobs at once; `close` ends those that last."""

    @abstractmethod
    def run(self, job: Job) -> Outcome:
        """Run a job to its end.

        Raises:
            RequestError: The place can't be reached, or lacks what it takes.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the place holds: processes, connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
