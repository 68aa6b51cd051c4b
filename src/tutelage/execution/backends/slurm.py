"""`execution=slurm`: each job in the queue of a Slurm cluster, through submitit."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

import submitit

from tutelage.core.errors import RequestError
from tutelage.core.execution import SlurmExecution
from tutelage.execution.cluster import Cluster, ClusterBackend, Phase, Submission
from tutelage.execution.environment import setup_training_environment
from tutelage.execution.node import JobFolder, run_order

_ASK_SECONDS: Final = 5.0
"""Time between two questions about a job's state: a cluster's controller serves many."""
_WARN_SECONDS: Final = 90
"""Time before its limit at which Slurm warns a job, so that it is put back in the queue."""
_LEAVE_SECONDS: Final = 10.0
"""Time that submitit's own process has to end after a job."""
_COMMANDS: Final = ("sbatch", "srun", "squeue", "scancel")
_WAITING: Final = "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT"
_RUNNING: Final = "RUNNING COMPLETING SUSPENDED STOPPED SIGNALING STAGE_OUT RESIZING"
_PHASES: Final[Mapping[str, Phase]] = {
    **dict.fromkeys(_WAITING.split(), "waiting"),
    **dict.fromkeys(_RUNNING.split(), "running"),
    **dict.fromkeys(("TIMEOUT", "DEADLINE"), "timeout"),
}
"""Phase of each state that is not an end (https://slurm.schedmd.com/job_state_codes.html)."""

log = logging.getLogger(__name__)


class RunOrder:
    """`run_order` as what submitit hands to a node, and puts back in the queue at a time limit."""

    def __call__(self, folder: str) -> str:
        """Run the job of a folder."""
        return run_order(folder)

    def checkpoint(self, folder: str) -> submitit.helpers.DelayedSubmission:
        """Return what is run when the job's turn comes again: the same, which goes on."""
        return submitit.helpers.DelayedSubmission(self, folder)


class SlurmCluster(Cluster):
    """A Slurm cluster, or what submitit has in its place on one machine.

    Args:
        settings: Which of them, and what a job asks for.

    Raises:
        RequestError: Slurm's commands aren't there.
    """

    def __init__(self, settings: SlurmExecution) -> None:
        self._settings = settings
        missing = [name for name in _COMMANDS if shutil.which(name) is None]
        if settings.executor == "slurm" and missing:
            said = f"this machine has no {', '.join(missing)}"
            hint = "Run it where they are, or on this machine: execution.executor=local."
            raise RequestError(said, where="execution.executor=slurm", hint=hint)

    def submit(self, folder: JobFolder) -> Submission:
        """Hand a job over; submitit's own files lie in its folder.

        Raises:
            RequestError: Slurm refuses it.
        """
        executor = make_executor(self._settings, folder)
        try:
            job = executor.submit(RunOrder(), str(folder.path))
        except (submitit.core.utils.FailedJobError, OSError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            said = f"Slurm refuses the job: {lines[-1] if lines else error!r}"
            hint = (
                "See execution.partition, minutes, cpus, gpus and memory_gb; `sinfo` shows nodes."
            )
            raise RequestError(said, where="execution=slurm", hint=hint) from error
        kinds: Mapping[str, Callable[[submitit.Job[str]], Submission]]
        kinds = {"slurm": _InQueue, "local": _Local, "debug": _Here}
        return kinds[self._settings.executor](job)

    def close(self) -> None:
        """Nothing lasts beyond a job."""


def make_executor(settings: SlurmExecution, folder: JobFolder) -> submitit.Executor:
    """Return submitit's executor with what a job asks for.

    Variables cross to the node by a list of names: those that a training process may see.
    """
    own = folder.path / "submitit"
    if settings.executor == "debug":
        return submitit.DebugExecutor(own)
    if settings.executor == "local":
        executor = submitit.LocalExecutor(own, max_num_timeout=settings.requeues)
        executor.update_parameters(
            timeout_min=settings.minutes,
            gpus_per_node=settings.gpus,
            signal_delay_s=warning_seconds(settings),
        )
        return executor
    executor = submitit.SlurmExecutor(own, max_num_timeout=settings.requeues)
    names = setup_training_environment(settings.environment)
    export = ",".join(sorted(name for name in names if not name.startswith("SLURM_")))
    asked = {
        "partition": settings.partition,
        "gpus_per_node": settings.gpus or None,
        "mem": None if settings.memory_gb is None else f"{round(settings.memory_gb * 1024)}M",
    }
    executor.update_parameters(
        job_name="tutelage",
        time=settings.minutes,
        cpus_per_task=settings.cpus,
        signal_delay_s=warning_seconds(settings),
        srun_args=["--export=ALL"],
        additional_parameters={**_options(settings.options), "export": export, "requeue": True},
        **{name: value for name, value in asked.items() if value is not None},
    )
    return executor


def _options(options: Iterable[str]) -> dict[str, str | bool]:
    parts = [option.partition("=") for option in options]
    return {name: value if equals else True for name, equals, value in parts}


def warning_seconds(settings: SlurmExecution) -> int:
    """Return how long before its time limit a job is warned."""
    return min(_WARN_SECONDS, settings.minutes * 15)


class _InQueue(Submission):
    """A job in a cluster's queue or on one of its nodes."""

    def __init__(self, job: submitit.Job[str]) -> None:
        self._job = job
        self._last: Phase = "waiting"
        self._asked = float("-inf")

    def phase(self) -> Phase:
        now = time.monotonic()
        if now - self._asked >= _ASK_SECONDS:
            self._asked = now
            self._last = _ask_slurm(self._job.job_id, self._last)
        return self._last

    def cancel(self) -> None:
        self._job.cancel(check=False)


def _ask_slurm(job: str, last: Phase) -> Phase:
    """Return where a job is; what was known last, where Slurm can't be asked at the moment."""
    command = ("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return last
    if done.returncode == 0:
        states = done.stdout.split()
        return _PHASES.get(states[0], "gone") if states else "gone"
    if "Invalid job id" in done.stderr:
        return "gone"
    log.warning("Slurm can't be asked about job %s: %s", job, done.stderr.strip())
    return last


class _Local(Submission):
    """A job in processes of this machine."""

    def __init__(self, job: submitit.Job[str]) -> None:
        self._job = job

    def phase(self) -> Phase:
        return "gone" if self._job.done() else "running"

    def cancel(self) -> None:
        self._job.cancel()

    def release(self) -> None:
        deadline = time.monotonic() + _LEAVE_SECONDS
        while not self._job.done() and time.monotonic() < deadline:
            time.sleep(0.05)


class _Here(Submission):
    """A job that a thread of this process starts and waits for, after those before it."""

    _turn: Final = threading.Lock()

    def __init__(self, job: submitit.Job[str]) -> None:
        self._job = job
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        with self._turn, suppress(submitit.core.utils.UncompletedJobError):
            self._job.wait()

    def phase(self) -> Phase:
        return "running" if self._thread.is_alive() else "gone"

    def cancel(self) -> None:
        self._job.cancel()

    def release(self) -> None:
        self._thread.join()


def open_backend(settings: SlurmExecution) -> ClusterBackend:
    """Return the place.

    Raises:
        RequestError: Slurm's commands aren't there.
    """
    return ClusterBackend(SlurmCluster(settings), settings)
