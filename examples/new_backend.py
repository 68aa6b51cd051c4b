"""A place of one's own to run trainings: behind a command, such as `nice` or `numactl`."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.core.execution import ElsewhereExecution
from tutelage.execution.backend import Backend, Job, Outcome
from tutelage.execution.command import build_training_command
from tutelage.execution.environment import setup_training_environment
from tutelage.execution.process import execute_training_subprocess
from tutelage.execution.result import read_result


class PrefixedBackend(Backend):
    """Processes behind a command that becomes what it is given: ``("nice", "-n", "19")``.

    Args:
        prefix: What stands before the training command.
        settings: Which variables a job sees, and for how long it may run.
    """

    def __init__(self, prefix: Sequence[str], settings: ElsewhereExecution) -> None:
        self._prefix, self._settings = tuple(prefix), settings

    def run(self, job: Job) -> Outcome:
        """Run a job to its end."""
        command = build_training_command(job.config, task=job.task, result=job.result)
        home = {"TUTELAGE_HOME": str(job.home.absolute())}
        ended = execute_training_subprocess(
            (*self._prefix, *command),
            setup_training_environment(self._settings.environment, home),
            timeout=self._settings.timeout if job.timeout is None else job.timeout,
            on_line=job.on_line,
            stop=job.stop,
        )
        return Outcome(ended, read_result(job.result))

    def close(self) -> None:
        """Nothing lasts beyond a job."""
