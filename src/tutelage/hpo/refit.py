"""`run_refit_training`: the chosen settings trained on all training data, by several seeds."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tutelage.core.config import C, RunConfig
from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.execution import InProcessExecution
from tutelage.core.files import write_json
from tutelage.core.overrides import build_config
from tutelage.core.store import Run
from tutelage.execution.backend import Backend, Job
from tutelage.hpo.config import HpoConfig
from tutelage.hpo.failures import RETRIED, classify, kernel_kills
from tutelage.hpo.results import Refit, StudyFolder, TrialResult
from tutelage.hpo.selection import best_epoch
from tutelage.hpo.space import SearchSpace
from tutelage.task import Task
from tutelage.training.fold_checks import check_folds

log: Final = logging.getLogger(__name__)
FOLDER: Final = "refit"
_UNHELD: Final = {"early_stopping": {"patience": None}, "monitor": None}
"""What decides by held-out data while trials run; a refit ends at the epoch that those found."""


@dataclass(frozen=True, slots=True)
class RefitPlan:
    """The runs of a refit.

    Args:
        task: The task's name.
        configs: The whole configuration of each, one for each seed.
    """

    task: str
    configs: tuple[RunConfig, ...]


def check_refit(settings: HpoConfig, task: Task[C], base: C, space: SearchSpace) -> None:
    """Refuse, before any trial, a refit that the task or the way of training can't do.

    Args:
        settings: The study's.
        task: The task.
        base: The configuration that trials differ from.
        space: What is searched; each of its choices is looked at.

    Raises:
        ConfigError: The chosen settings could not be trained on all data.
    """
    if settings.refit != "all":
        return
    points = [space.at([place] * len(space.parameters)) for place in (0.0, 0.5, 1.0)]
    points += [
        {name: label}
        for name, parameter in space.parameters.items()
        if not parameter.when
        for label in (parameter.grid or ())[:16]
    ]
    for params in points:
        config = _on_all(space.config(task, base, params), None, None)
        try:
            check_folds(task, config)  # type: ignore[arg-type]
        except ConfigError as error:
            hint = (
                "Set hpo.refit=split to train the chosen settings on the task's own training data, "
                "or hpo.refit=none."
            )
            problem = f"the chosen settings could not be trained on all data: {error.problem}"
            raise ConfigError(problem, where="hpo.refit", hint=hint) from None


def plan_refit(
    settings: HpoConfig, task: str, folder: StudyFolder, chosen: TrialResult, config: RunConfig
) -> RefitPlan:
    """Return the runs that train the chosen settings on all data.

    With ``hpo.refit=all`` they train on the whole training pool, up to the epoch that the folds
    found best on average and on the learning-rate schedule of all epochs, and are tested. With
    ``hpo.refit=split`` they train as `tutelage train` would.

    Args:
        settings: The study's.
        task: The task's name.
        folder: The study's folder.
        chosen: The chosen trial.
        config: The configuration that the trial's runs had, but for the fold.
    """
    if settings.refit == "none":
        return RefitPlan(task, ())
    if settings.refit == "all":
        split = folder.split_file if folder.split_file.exists() else None
        config = _on_all(config, split, best_epoch(chosen))
    first = config.training.seed
    seeds = range(first, first + settings.refit_seeds)
    return RefitPlan(task, tuple(_seeded(config, seed, folder.id, chosen.number) for seed in seeds))


def run_refit_training(
    plan: RefitPlan,
    folder: StudyFolder,
    backend: Backend,
    *,
    workers: int = 1,
    timeout: float | None = None,
    retries: int = 0,
    stopping: threading.Event | None = None,
) -> tuple[Refit, ...]:
    """Run a refit and return its models, by seed, with their scores on the tests.

    A run that is finished already is not run again, and one that was interrupted goes on.

    Args:
        plan: The runs.
        folder: The study's folder; what each run is asked for is written there.
        backend: Where they are executed.
        workers: How many run at once.
        timeout: Seconds after which each is ended.
        retries: How often each is tried again that was killed, crashed or ran out of time.
        stopping: Set to end those that run.

    Raises:
        RunFailedError: A run failed, or was ended.
    """
    place = folder.path / FOLDER
    place.mkdir(exist_ok=True)
    stop = threading.Event() if stopping is None else stopping

    def run(config: RunConfig) -> Refit:
        seed = config.training.seed
        path, result = place / f"seed-{seed}.json", place / f"seed-{seed}.result.json"
        write_json(path, config.model_dump(mode="json"))
        job = Job(plan.task, path, result, folder.home, timeout=timeout, stop=stop.is_set)
        return _run(job, seed, backend, retries)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        return tuple(pool.map(run, plan.configs))


def _run(job: Job, seed: int, backend: Backend, retries: int) -> Refit:
    """Run a refit by one seed, as often as it takes and may."""
    while True:
        before = kernel_kills()
        job.result.unlink(missing_ok=True)
        outcome = backend.run(job)
        if outcome.ended.reason in ("finished", "stopped") or not retries:
            break
        failure = classify(0, outcome, (), kernel_kills() > before)
        if failure.kind not in RETRIED:
            break
        retries -= 1
        log.warning("refit by seed %d failed (%s): %s", seed, failure.kind, failure.said)
    said = outcome.result
    if said.kind is not None:
        raise RunFailedError(f"the refit by seed {seed} failed: {said.problem}", where=said.where,
                             hint=said.hint) from said.raisable()  # fmt: skip
    if outcome.ended.reason != "finished" or said.run is None:
        hint = "Run the same study again to go on."
        problem = f"the refit by seed {seed} was ended: {outcome.ended.reason}"
        raise RunFailedError(problem, where=job.config, hint=hint)
    run = Run(said.run)
    log.info("refit by seed %d: run %s", seed, run.id)
    return Refit(seed=seed, run=run.id, metrics=run.record.metrics)


def _on_all(config: C, split: Path | None, epoch: int | None) -> C:
    """Train on the whole pool, up to an epoch on the schedule of all."""
    training = {**_UNHELD, "stop_epoch": epoch}
    data = {"fold": "all", "split_file": None if split is None else str(split)}
    layers = [config.model_dump(mode="json"), {"training": training, "data": data}]
    return build_config(type(config), layers)


def _seeded(config: C, seed: int, study: str, trial: int) -> C:
    tags = {"purpose": "refit", "study": study, "trial": str(trial), "seed": str(seed)}
    run = {"policy": "resume_if_incomplete", "tags": {**config.run.tags, **tags}}
    in_process = InProcessExecution().model_dump(mode="json")
    layers = [
        {**config.model_dump(mode="json"), "execution": in_process},
        {"training": {"seed": seed}, "run": run},
    ]
    return build_config(type(config), layers)
