"""A backend that trains in the process of the test, one run at a time: no start-up to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tiny_task import OnStep, TinyTask

from tutelage.core.config import RunConfig
from tutelage.core.errors import RequestError, TutelageError
from tutelage.core.overrides import build_config, read_config_file
from tutelage.core.store import RunStore
from tutelage.execution.backend import Backend, Job, Outcome
from tutelage.execution.process import Ended
from tutelage.execution.result import Result, read_result, write_result
from tutelage.task import Task
from tutelage.training.launch import launch

LOCK = threading.Lock()


class Inline(Backend):
    """Runs the real thing; a job that is asked to stop does so between two steps.

    Args:
        on_step: Called in each training step, as the tiny task does, with the job besides.
    """

    def __init__(self, on_step: Callable[[Job], OnStep] | None = None) -> None:
        self.on_step, self.jobs, self.closed = on_step, list[Job](), False

    def run(self, job: Job) -> Outcome:
        with LOCK:
            self.jobs.append(job)
            result = Result()
            try:
                self._launch(job)
            except TutelageError as error:
                result = read_result(job.result).failed(error)
                write_result(job.result, result)
                reason = "refused" if isinstance(error, RequestError) else "failed"
                return Outcome(Ended(reason, error.exit_code, 0.0), result)
            except _Stopped:
                return Outcome(Ended("stopped", -15, 0.0), read_result(job.result))
            return Outcome(Ended("finished", 0, 0.0), read_result(job.result))

    def _launch(self, job: Job) -> None:
        hooks = [] if self.on_step is None else [self.on_step(job)]

        def on_step(module, batch) -> None:
            for hook in hooks:
                hook(module, batch)
            if job.stop():
                raise _Stopped

        task: Task[RunConfig] = TinyTask(on_step)
        config = build_config(task.config_type, [read_config_file(job.config)])
        said = lambda run, origin: write_result(job.result, Result().made(run, origin))  # noqa: E731
        launch(task, config, RunStore(job.home), None, said)

    def close(self) -> None:
        self.closed = True


class _Stopped(BaseException):
    """What a signal would be."""


def home_of(path: Path) -> RunStore:
    return RunStore(path / "home")
