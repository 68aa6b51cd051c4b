"""`Attempt`: a fold's process while it runs, watched through the files that it writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tutelage.core.store import METRICS, Run
from tutelage.execution.result import read_result
from tutelage.hpo.epochs import read_epochs
from tutelage.hpo.failures import kernel_kills
from tutelage.hpo.results import Failure, FoldResult

_LOG_LINES: Final = 40


class Notes(Protocol):
    """Where a trial writes what it comes to, and asks whether it goes on."""

    def epoch(self, fold: int, epoch: int, value: float) -> bool:
        """Take the value at the end of an epoch, from 1; say whether the trial is given up."""

    def fold(self, done: tuple[FoldResult, ...]) -> bool:
        """Take the folds that are done; say whether the trial is given up."""

    def failed(self, failure: Failure) -> int:
        """Take a failure; return how often this fold has failed so that it might be tried again."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Files of a fold: its settings, and what its process says."""

    config: Path
    result: Path


@dataclass(slots=True)
class Attempt:
    """A fold's process while it runs: its epochs are taken and judged one after the other.

    Args:
        paths: The fold's files.
        metric: The metric in ``metrics.csv``.
        fold: Its number.
        notes: What judges.
        require: Called with fold and run after the first epoch.
    """

    paths: Paths
    metric: str
    fold: int
    notes: Notes
    require: Callable[[int, Run], None]
    given_up: bool = False
    diverged: str | None = None
    error: BaseException | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))
    kernel_kills: int = field(default_factory=kernel_kills)
    _run: Path | None = None
    _seen: tuple[int, int] = (0, 0)
    _taken: int = 0

    @property
    def words(self) -> str:
        """Why the process was ended, if it was."""
        if self.given_up:
            return f"given up by the study after epoch {self._taken}"
        return self.diverged or "ended with its trial's process"

    @property
    def judged(self) -> bool:
        """Whether the fold's own epochs say that it should be ended."""
        return self.given_up or self.diverged is not None

    def look(self) -> bool:
        """Take the epochs that finished since; say whether the process should be ended.

        However late it looks, it stops at the same epoch: later ones do not count.
        """
        if not (self.judged or self.error):
            try:
                self._take()
            except Exception as error:  # a backend's thread has nobody to tell
                self.error = error
        return self.judged or self.error is not None

    def _take(self) -> None:
        self._run = self._run or read_result(self.paths.result).run
        if self._run is None:
            return
        path = self._run / METRICS
        seen = _stamp(path)
        if seen == self._seen:
            return
        self._seen = seen
        epochs = read_epochs(path, self.metric)
        if epochs and not self._taken:
            self.require(self.fold, Run(self._run))
        for number in range(self._taken, len(epochs)):
            self._taken = number + 1
            self.diverged = epochs[number].diverged
            value = epochs[number].value
            if self.diverged is not None:
                self.diverged = f"training diverged in epoch {number + 1}: {self.diverged}"
                return
            if value is not None and self.notes.epoch(self.fold, number + 1, value):
                self.given_up = True
                return


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
