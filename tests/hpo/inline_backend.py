"""A backend that trains in the process of the test, one run at a time: no start-up to wait for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from tiny_task import OnStep, TinyTask, tiny

from tutelage.core.config import RunConfig
from tutelage.core.errors import RequestError, TutelageError
from tutelage.core.overrides import build_config, read_config_file
from tutelage.core.store import RunStore
from tutelage.execution.backend import Backend, Job, Outcome
from tutelage.execution.process import Ended
from tutelage.execution.result import Result, read_result, write_result
from tutelage.hpo.config import read_hpo_config
from tutelage.hpo.plan import StudyPlan, plan_study
from tutelage.hpo.run import Tuned, run_study
from tutelage.hpo.space import parse_space
from tutelage.task import Task
from tutelage.training.launch import launch

_ONE_AT_A_TIME = threading.Lock()
SPACE = {
    "training.learning_rate": {"type": "loguniform", "min": 1e-4, "max": 0.3},
    "model.hidden": {"type": "int", "min": 2, "max": 8},
    "model.dropout": {"values": [0.0, 0.2]},
}


class Stopped(BaseException):
    """What a signal would be: nothing is recorded on the way out."""


class Inline(Backend):
    """Runs the real thing; a job that is asked to stop does so between two steps.

    Args:
        on_step: Called with a job; returns what is called in each of its training steps.
        prepare: Called with a job before it begins.
    """

    def __init__(
        self,
        on_step: Callable[[Job], OnStep] | None = None,
        prepare: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.on_step, self.prepare, self.jobs = on_step, prepare, list[Job]()

    def run(self, job: Job) -> Outcome:
        with _ONE_AT_A_TIME:
            self.jobs.append(job)
            self.prepare(job)
            try:
                self._launch(job)
            except TutelageError as error:
                result = read_result(job.result).failed(error)
                write_result(job.result, result)
                reason = "refused" if isinstance(error, RequestError) else "failed"
                return Outcome(Ended(reason, error.exit_code, 0.0), result)
            except Stopped:
                return Outcome(Ended("stopped", -15, 0.0), read_result(job.result))
            return Outcome(Ended("finished", 0, 0.0), read_result(job.result))

    def _launch(self, job: Job) -> None:
        hook = None if self.on_step is None else self.on_step(job)

        def on_step(module, batch) -> None:
            if hook is not None:
                hook(module, batch)
            if job.stop():
                raise Stopped

        task: Task[RunConfig] = TinyTask(on_step)
        config = build_config(task.config_type, [read_config_file(job.config)])

        def made(run, origin) -> None:
            write_result(job.result, Result().made(run, origin))

        launch(task, config, RunStore(job.home), None, made)

    def close(self) -> None:
        """Nothing lasts."""


def plan(path: Path, *overrides: str, base: tuple[str, ...] = ()) -> StudyPlan:
    """A study of the tiny task: six trials, no refit, unless ``overrides`` of `hpo.…` say else."""
    task: Task[RunConfig] = TinyTask()
    own = tuple(f"hpo.{text}" for text in ("trials=6", "refit=none", *overrides))
    space = parse_space("space", {"parameters": SPACE})
    hpo = read_hpo_config(own)
    return plan_study(task, tiny(*base), hpo, RunStore(path / "home"), base, space)


def study(
    path: Path,
    *overrides: str,
    base: tuple[str, ...] = (),
    backend: Callable[[], Backend] = Inline,
) -> Tuned:
    """Run such a study."""
    return run_study(plan(path, *overrides, base=base), backend=backend)
