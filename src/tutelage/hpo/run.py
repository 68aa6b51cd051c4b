"""`run_study`: a study from its request to its end: found or made, held, run, and left true."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from tutelage.core.errors import HeldError, RequestError, RunFailedError, TutelageError
from tutelage.core.execution import Execution, InProcessExecution, WorkerExecution
from tutelage.core.locks import holding, is_held
from tutelage.core.records import now
from tutelage.core.redaction import redact
from tutelage.core.store import LOCK
from tutelage.execution.backend import Backend
from tutelage.execution.backends import open_backend
from tutelage.hpo.finish import choose, drop_weights, refit
from tutelage.hpo.ledger import Ledger, open_storage
from tutelage.hpo.plan import StudyPlan, open_study, shown
from tutelage.hpo.results import StudyFolder
from tutelage.hpo.study import News, Orchestrator, require_scores
from tutelage.tracking.following import followed

log: Final = logging.getLogger(__name__)
Origin = Literal["new", "resumed", "reused"]
_THREADS: Final = "OMP_NUM_THREADS"
_AGAIN: Final = "Run the same command again: the study goes on where it was."


@dataclass(frozen=True, slots=True)
class Tuned:
    """A study as a command left it, and whether it was begun now, gone on with, or found done."""

    study: StudyFolder
    origin: Origin


def run_study(
    plan: StudyPlan,
    tell: Callable[[News], None] = lambda news: None,
    opened: Callable[[StudyFolder, Origin], None] = lambda folder, origin: None,
    backend: Callable[[], Backend] | None = None,
) -> Tuned:
    """Return a finished study: begun, gone on with, or found.

    Args:
        plan: The study.
        tell: Told of each trial as it moves on, from any thread, one call at a time.
        opened: Told of the study before any trial.
        backend: Opens the place where runs are executed; null: as `execution.*` says, in children
            of a warm process where it says nothing.

    Raises:
        RequestError: The request is wrong, or another process works on the study. If the first
            trial was refused, nothing is left of the study.
        RunFailedError: No trial came to a score, or the study was interrupted.
    """
    folder, new = open_study(plan)
    origin: Origin = "new" if new else "resumed"
    if _is_done(plan, folder):
        opened(folder, "reused")
        return _tuned(plan, folder, "reused")
    hint = "Wait for it, or give this study another hpo.name."
    busy = HeldError("another process works on this study", where=folder.id, hint=hint)
    mirror = followed(folder.path, plan.store.home, plan.base.tracking)
    with holding(folder.path / lock_name(plan), busy), mirror, _recorded(plan, folder):
        opened(folder, origin)
        with ExitStack() as stack:
            ledger = _ledger(plan, folder, stack)
            stack.enter_context(_threads(plan.hpo.workers))
            place = stack.enter_context((backend or (lambda: _open(plan)))())
            finisher = ledger.finisher({"host": socket.gethostname(), "study": folder.id})
            _run_trials(plan, folder, ledger, place, tell, new)
            if _finishes(plan, folder, finisher):
                choose(folder)
                refit(plan, folder, place)
                if not plan.hpo.log_artifacts:
                    drop_weights(folder)
                folder.update(status="finished", finished=now())
            else:
                said = "the study's trials have ended; %s began it, and chooses and refits"
                log.warning(said, finisher["host"])
                if finisher["study"] != folder.id:
                    folder.update(status="finished", finished=now())
    return _tuned(plan, folder, origin)


def _tuned(plan: StudyPlan, folder: StudyFolder, origin: Origin) -> Tuned:
    """The study; its model is `@last`, though folds and other refits may be newer."""
    if (model := folder.record.model) is not None:
        plan.store.note_last(plan.store.find(model.run))
    return Tuned(folder, origin)


def _finishes(plan: StudyPlan, folder: StudyFolder, finisher: Mapping[str, str]) -> bool:
    """Whether this machine chooses and refits: it began the study, or who did has left it."""
    host, study = finisher["host"], finisher["study"]
    if plan.hpo.storage is None or host == socket.gethostname():
        return True
    return study == folder.id and not is_held(folder.path / f"{LOCK}-{host}", "study")


def _run_trials(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    backend: Backend,
    tell: Callable[[News], None],
    new: bool,
) -> None:
    """Run the trials; leave nothing of a new study whose first one was refused."""
    orchestrator = Orchestrator(plan, folder, ledger, backend, tell, plan.hpo.storage is None)
    try:
        orchestrator.run()
    except RequestError:
        if new and orchestrator.refused:
            ledger.delete()
            shutil.rmtree(folder.path)
        raise
    require_scores(folder)


def lock_name(plan: StudyPlan) -> str:
    """The file that is held: one a machine where several may work on the study."""
    return LOCK if plan.hpo.storage is None else f"{LOCK}-{socket.gethostname()}"


def _is_done(plan: StudyPlan, folder: StudyFolder) -> bool:
    """Whether a finished study answers the request as it is."""
    record = folder.record
    same = ("selection", "refit", "refit_seeds")
    asked = shown(plan.hpo)
    ended = sum(trial.status in ("complete", "pruned", "failed") for trial in folder.trials)
    alike = all(record.hpo.get(name) == asked[name] for name in same)
    return record.status == "finished" and alike and ended >= plan.trials


@contextmanager
def _recorded(plan: StudyPlan, folder: StudyFolder) -> Iterator[None]:
    """Leave a true record of the study, however it ends."""
    folder.update(status="running", hpo=shown(plan.hpo), error=None, finished=None)
    try:
        yield
    except KeyboardInterrupt:
        folder.update(status="interrupted")
        raise RunFailedError("interrupted", where=folder.id, hint=_AGAIN) from None
    except TutelageError as error:
        if folder.path.exists():
            folder.update(status="failed", finished=now(), error=redact(str(error)))
        raise


def _ledger(plan: StudyPlan, folder: StudyFolder, stack: ExitStack) -> Ledger:
    storage = open_storage(plan.hpo.storage, folder.path)
    ledger = Ledger(storage, folder.record.study_name, plan.direction)
    stack.callback(ledger.close)
    return ledger


def _open(plan: StudyPlan) -> Backend:
    execution: Execution = plan.base.execution
    if isinstance(execution, InProcessExecution):
        execution = WorkerExecution()
    return open_backend(execution)


@contextmanager
def _threads(workers: int) -> Iterator[None]:
    """Share the cores out to the trials that run at once, unless the environment says how."""
    before = os.environ.get(_THREADS)
    if before is None and workers > 1:
        cores = len(os.sched_getaffinity(0))
        os.environ[_THREADS] = str(max(1, cores // workers))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_THREADS, None)
