"""`execution=subprocess`: each job in a new process, which ends with the one that asks."""

from __future__ import annotations

from tutelage.core.execution import SubprocessExecution
from tutelage.execution.backend import Backend, Job, Outcome
from tutelage.execution.command import build_training_command
from tutelage.execution.environment import setup_training_environment
from tutelage.execution.process import execute_training_subprocess
from tutelage.execution.result import read_result


class SubprocessBackend(Backend):
    """Processes of this machine, one a job.

    Args:
        settings: Which variables a job sees, and for how long it may run.
    """

    def __init__(self, settings: SubprocessExecution) -> None:
        self._settings = settings

    def run(self, job: Job) -> Outcome:
        """Run a job to its end."""
        ended = execute_training_subprocess(
            build_training_command(job.config, task=job.task, result=job.result),
            setup_training_environment(
                self._settings.environment, {"TUTELAGE_HOME": str(job.home.absolute())}
            ),
            timeout=self._settings.timeout if job.timeout is None else job.timeout,
            on_line=job.on_line,
            stop=job.stop,
        )
        return Outcome(ended, read_result(job.result))

    def close(self) -> None:
        """Nothing lasts beyond a job."""


def open_backend(settings: SubprocessExecution) -> SubprocessBackend:
    """Return the place."""
    return SubprocessBackend(settings)
