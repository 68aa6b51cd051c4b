"""What follows a study's trials: one is chosen, refitted, tested once; and how that is shown."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tutelage.core.records import Table
from tutelage.core.store import WEIGHTS, Run
from tutelage.execution.backend import Backend
from tutelage.hpo.config import HpoConfig
from tutelage.hpo.importances import Importances, importances
from tutelage.hpo.parameters import as_label
from tutelage.hpo.plan import StudyPlan
from tutelage.hpo.refit import plan_refit, run_refit_training
from tutelage.hpo.results import StudyFolder, StudyRecord, TrialResult
from tutelage.hpo.search_space import SearchSpace
from tutelage.hpo.selection import Selection, cost_of, select
from tutelage.hpo.space import parse_space
from tutelage.hpo.tables import importances_table, refit_table, selection_table, trials_table

T = TypeVar("T")
log: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.2


def choose(folder: StudyFolder) -> Selection:
    """Choose among a study's trials as its settings say, and record which one it is.

    Raises:
        RunFailedError: No trial was completed.
        StoreError: What the models take can't be read.
    """
    selection = selection_of(folder)
    folder.update(chosen=selection.trial)
    return selection


def refit(plan: StudyPlan, folder: StudyFolder, backend: Backend) -> None:
    """Train the chosen settings on all training data, test them once, and record the models.

    Raises:
        RunFailedError: A run failed, or was ended.
        KeyboardInterrupt: A person pressed Ctrl-C; every process was ended.
    """
    record, trials = folder.record, folder.trials
    assert record.chosen is not None
    chosen = trials[record.chosen]
    labels = {name: as_label(value) for name, value in chosen.params.items()}
    config = plan.space.config(plan.task, plan.base, labels)
    runs = plan_refit(plan.hpo, plan.task.name, folder, chosen, config)
    stopping = threading.Event()
    refits = interruptible(
        lambda: run_refit_training(
            runs,
            folder,
            backend,
            workers=plan.hpo.workers,
            retries=plan.hpo.retries,
            stopping=stopping,
        ),
        stopping,
    )
    folder.update(refits=[one.model_dump() for one in refits])


def drop_weights(folder: StudyFolder) -> None:
    """Remove the weights of all folds but the chosen trial's; their records say so."""
    record = folder.record
    kept = {fold.run for fold in folder.trials[record.chosen or 0].folds}
    there = {fold.run for trial in folder.trials for fold in trial.folds}
    for name in sorted(there - kept):
        run = Run(folder.home / name)
        weights = run.path / WEIGHTS
        if weights.exists() and run.record.tags.get("study") == folder.id:
            artifacts = {k: v for k, v in run.record.artifacts.items() if v.path != WEIGHTS}
            run.update(artifacts=artifacts)
            weights.unlink()


def selection_of(folder: StudyFolder) -> Selection:
    """Choose among a study's trials as its settings say.

    Raises:
        RunFailedError: No trial was completed.
        StoreError: What the models take can't be read.
    """
    record, trials = folder.record, folder.trials
    hpo = HpoConfig.model_validate(record.hpo)
    complete = [trial for trial in trials if trial.status == "complete"]
    costly = hpo.selection != "objective"
    costs = {t.number: cost_of(folder.home, t) for t in complete} if costly else {}
    first = 0 if trials and _is_default(record, trials[0]) else None
    return select(hpo, record.direction, trials, costs, first)


def study_tables(folder: StudyFolder) -> tuple[Table, ...]:
    """What a finished study shows: its trials, what mattered, why one was chosen, its tests."""
    record, trials = folder.record, folder.trials
    hpo = HpoConfig.model_validate(record.hpo)
    tables = [
        trials_table(trials, record.metric, record.direction, hpo.total_folds, record.chosen),
        importances_table(importances_of(folder)),
    ]
    if record.chosen is not None:
        tables.append(selection_table(selection_of(folder), record.metric))
    if record.refits and record.chosen is not None:
        chosen = trials[record.chosen]
        tested = (chosen, hpo.folds, record.refits, record.metric, record.direction)
        tables.append(refit_table(*tested))
    return tuple(tables)


def importances_of(folder: StudyFolder) -> Importances:
    """What mattered in a study."""
    record = folder.record
    return importances(space_of(record), folder.trials, record.direction)


def space_of(record: StudyRecord) -> SearchSpace:
    """What a study searched."""
    return parse_space(record.id, record.space)


def study_summary(folder: StudyFolder) -> dict[str, object]:
    """The one object that ``--json`` prints for a study."""
    record = folder.record
    chosen = None if record.chosen is None else folder.trials[record.chosen]
    return {
        "study": record.id,
        "path": str(folder.path.absolute()),
        "status": record.status,
        "task": record.task,
        "metric": record.metric,
        "direction": record.direction,
        "trials": [
            trial.model_dump(mode="json") | {"seconds": trial.seconds} for trial in folder.trials
        ],
        "chosen": record.chosen,
        "params": {} if chosen is None else dict(chosen.params),
        "value": None if chosen is None else chosen.value,
        "importances": dict(importances_of(folder).shares),
        "refits": [refit.model_dump(mode="json") for refit in record.refits],
    }


def interruptible(work: Callable[[], T], stopping: threading.Event) -> T:
    """Run something in another thread, so that Ctrl-C can set an event that ends it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work)
        try:
            while not future.done():
                stopping.wait(_LOOK_SECONDS)
            return future.result()
        except BaseException:
            stopping.set()
            raise


def _is_default(record: StudyRecord, trial: TrialResult) -> bool:
    """Whether a trial tried the settings as they are without a study."""
    return all(_look_up(record.base, name) == value for name, value in trial.params.items())


def _look_up(settings: object, path: str) -> object:
    for key in path.split("."):
        if not isinstance(settings, Mapping) or key not in settings:
            return None
        settings = settings[key]
    return settings
