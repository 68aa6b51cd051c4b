"""From how a job ended to its finished run, or to the error to raise; its record is left true."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.core.errors import RunFailedError, TutelageError
from tutelage.core.records import now
from tutelage.core.store import Run
from tutelage.execution.backend import Outcome
from tutelage.execution.process import Reason

_CUT: dict[Reason, str] = {
    "timeout": "was ended at its time limit",
    "stopped": "was stopped",
    "killed": "was killed",
}


def settle(outcome: Outcome, lines: Sequence[str] = ()) -> Run:
    """Return the finished run of a job.

    Where the training process was ended before it could say so itself, its run's record is told.

    Args:
        outcome: How the job ended.
        lines: The last that it logged, for the message where it left no word.

    Raises:
        RequestError: The training process refused the request.
        RunFailedError: The run failed, or its process was ended.
    """
    result, ended = outcome.result, outcome.ended
    run = None if result.run is None or not result.run.exists() else Run(result.run)
    if ended.reason == "finished" and run is not None:
        return run
    if ended.reason in _CUT:
        error: TutelageError = _cut(outcome, run)
    elif result.kind is not None:
        error = result.raisable()
    else:
        tail = "".join(f"\n  | {line}" for line in lines)
        error = RunFailedError(f"the training process {ended.words} without a result{tail}")
    if run is not None:
        _close(run, "interrupted" if ended.reason == "stopped" else "failed", error)
    raise error


def interrupted(run: Run | None) -> RunFailedError:
    """Return the error of a job that a person cut; its run's record is told."""
    if run is None:
        return RunFailedError("interrupted", hint="No run had begun.")
    hint = f"Go on with it: {run.how_to_go_on}."
    error = RunFailedError("interrupted", where=run.id, hint=hint)
    _close(run, "interrupted", error)
    return error


def _cut(outcome: Outcome, run: Run | None) -> RunFailedError:
    """The error of a training process that was ended from outside."""
    ended = outcome.ended
    said = f"the training process {_CUT[ended.reason]} after {ended.seconds:.0f} s"
    if ended.reason == "killed":
        said += f": it {ended.words}"
    hint = "Give it a longer execution.timeout." if ended.reason == "timeout" else ""
    if run is not None:
        hint = f"{hint} Go on with it: {run.how_to_go_on}.".strip()
    return RunFailedError(said, where=None if run is None else run.id, hint=hint or None)


def _close(run: Run, status: str, error: TutelageError) -> None:
    """Write how a run ended, where its process could not; a run that is worked on is left alone."""
    if run.record.status in ("created", "running") and not run.is_held():
        said = {} if status == "interrupted" else {"error": str(error)}
        run.update(status=status, finished=now(), **said)
