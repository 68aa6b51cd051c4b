"""`Dispatch`: the door to training for people and callers: here, or where `execution` says."""

from __future__ import annotations

import logging
import secrets
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, Self

from tutelage.core.config import RunConfig
from tutelage.core.execution import ExecutionConfig, InProcessExecution
from tutelage.core.files import write_json
from tutelage.core.store import CONFIG, Run, RunStore
from tutelage.execution.backend import Backend, Job
from tutelage.execution.backends import open_backend
from tutelage.execution.result import read_result
from tutelage.execution.settle import interrupted, settle
from tutelage.task import Task
from tutelage.training.launch import Launched, Made, Origin, find_finished, launch

if TYPE_CHECKING:
    from rich.console import Console

log: Final = logging.getLogger("tutelage.execution")
_TAIL_LINES: Final = 12


class Dispatch:
    """Makes runs where their `execution` says; the places that it opened last until it is left.

    Args:
        on_line: Called with each line that a run logs elsewhere, from another thread; null sends
            them to the log.
        made: Told of the run that is made here as soon as there is one.
    """

    def __init__(
        self,
        on_line: Callable[[str], None] | None = None,
        made: Made = lambda run, origin: None,
    ) -> None:
        self._on_line, self._made = on_line or log.info, made
        self._places: dict[str, Backend] = {}
        self._leave = ExitStack()

    def __call__(
        self,
        task: Task[RunConfig],
        config: RunConfig,
        store: RunStore,
        console: Console | None = None,
    ) -> Launched:
        """Return a finished run of ``config``, as `run.policy` says.

        A finished run that answers is returned without anything being started.

        Raises:
            RequestError: The request is wrong, or the place lacks what it takes.
            RunFailedError: The run failed, or was ended.
        """

        def made(run: Run, origin: Origin) -> None:
            store.note_last(run)
            self._made(run, origin)

        if isinstance(config.execution, InProcessExecution):
            return launch(task, config, store, console, made)
        if (finished := find_finished(task, config, store)) is not None:
            made(finished, "reused")
            return Launched(finished, "reused")
        with _folder(store) as folder:
            return self._elsewhere(config, store, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.close()

    def _place(self, settings: ExecutionConfig) -> Backend:
        key = settings.model_dump_json()
        if key not in self._places:
            self._places[key] = self._leave.enter_context(open_backend(settings))
        return self._places[key]

    def _elsewhere(self, config: RunConfig, store: RunStore, folder: Path) -> Launched:
        """Have a job do it."""
        lines: deque[str] = deque(maxlen=_TAIL_LINES)

        def on_line(line: str) -> None:
            lines.append(line)
            self._on_line(line)

        job = Job(config.task, folder / CONFIG, folder / "result.json", store.home, on_line=on_line)
        write_json(job.config, config.model_dump(mode="json"))
        try:
            with _terminated_as_interrupted():
                outcome = self._place(config.execution).run(job)
        except KeyboardInterrupt:
            begun = read_result(job.result).run
            if begun is None:
                raise
            raise interrupted(Run(begun)) from None
        run = Run(store.home / settle(outcome, tuple(lines)).id)
        origin = outcome.result.origin or "new"
        store.note_last(run)
        self._made(run, origin)
        return Launched(run, origin)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat a request to terminate as Ctrl-C, where this thread is the one to be told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _folder(store: RunStore) -> Iterator[Path]:
    """A folder for a job's files, removed afterwards."""
    folder = (store.cache("jobs") / secrets.token_hex(8)).absolute()
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
