"""Why a fold of a trial failed, in one of six classes, from what its process left behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tutelage.core.errors import DivergedError, HeldError
from tutelage.core.failures import is_out_of_memory
from tutelage.core.redaction import redact
from tutelage.execution.backend import Outcome
from tutelage.hpo.results import Failure, FailureClass

RETRIED: Final[tuple[FailureClass, ...]] = ("killed", "crash", "timeout")
"""What may go well the next time; the others are decided by the settings."""
HELD: Final = HeldError.__name__
_VMSTAT: Final = Path("/proc/vmstat")


def classify(fold: int, outcome: Outcome, lines: Iterable[str], kernel_killed: bool) -> Failure:
    """Say why a job that has ended came to no result.

    Args:
        fold: Number of the fold.
        outcome: How its process ended, and what it said.
        lines: The last lines that it logged.
        kernel_killed: Whether the system ended a process for want of memory in the meantime.
    """
    ended, result = outcome.ended, outcome.result
    run = None if result.run is None else Path(result.run)
    said = result.error or _last(lines) or ended.words
    if ended.reason == "timeout":
        kind: FailureClass = "timeout"
        said = f"ended at its time limit, after {ended.seconds:.0f} s"
    elif ended.reason == "killed":
        kind = "oom" if kernel_killed else "killed"
        said = f"out of memory: {ended.words}" if kernel_killed else ended.words
    elif ended.reason == "refused":
        kind = "refused"
    elif result.kind == DivergedError.__name__:
        kind = "nan"
    elif is_out_of_memory(f"{result.cause} {said}"):
        kind = "oom"
    else:
        kind = "crash"
    return Failure(fold=fold, kind=kind, said=redact(said), run=None if run is None else run.name)


def kernel_kills() -> int:
    """How many processes the system has ended for want of memory since it started; 0 if unknown."""
    try:
        lines = _VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return counts[0] if counts else 0


def _last(lines: Iterable[str]) -> str:
    """The last line that says something."""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""
