"""`TrialExecutor`: one trial on one backend: a run for each fold, watched, judged, tried again."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RunFailedError, TutelageError
from tutelage.core.execution import InProcessExecution
from tutelage.core.files import digest_json, write_json
from tutelage.core.folds import HELD_OUT
from tutelage.core.records import TRIAL_FOLD, now
from tutelage.core.store import CONFIG, METRICS, Run
from tutelage.execution.backend import Backend, Job, Outcome
from tutelage.hpo.attempt import Attempt, Notes, Paths
from tutelage.hpo.config import HpoConfig
from tutelage.hpo.epochs import metrics_of_epochs, read_epochs
from tutelage.hpo.failures import HELD, RETRIED, classify, kernel_kills
from tutelage.hpo.results import Failure, FoldResult, StudyFolder
from tutelage.hpo.space import require_reached

log: Final = logging.getLogger(__name__)
_HELD_SECONDS: Final = 2.0
_HELD_TIMES: Final = 30


class Interrupted(Exception):
    """The study ends before the trial does."""


class Failed(Exception):
    """A fold has failed and is not tried again."""

    def __init__(self, failure: Failure, error: TutelageError) -> None:
        super().__init__(failure.said)
        self.failure: Failure = failure
        self.error: TutelageError = error


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """What a trial is.

    Args:
        task: The task's name.
        number: The trial's.
        config: Settings of its runs, but for the fold.
        values: What was sampled, setting to value; the runs' own files must hold exactly these.
        done: The folds that are done already.
    """

    task: str
    number: int
    config: RunConfig
    values: Mapping[str, JsonValue]
    done: tuple[FoldResult, ...] = ()


class TrialExecutor:
    """Runs trials of one study.

    Args:
        folder: The study's.
        hpo: Its settings.
        metric: Name of what trials are compared by, as `score` reads it.
        backend: Where runs are executed.
        stopping: Set when the study ends; what runs then is ended.
    """

    def __init__(
        self,
        folder: StudyFolder,
        hpo: HpoConfig,
        metric: str,
        backend: Backend,
        stopping: threading.Event,
    ) -> None:
        self.folder: StudyFolder = folder
        self.hpo: HpoConfig = hpo
        self.metric: str = metric
        self.backend: Backend = backend
        self.stopping: threading.Event = stopping
        self._alike: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def run(self, plan: TrialPlan, notes: Notes) -> tuple[FoldResult, ...] | None:
        """Run what is left of a trial.

        Returns:
            All folds; null where the trial was given up.

        Raises:
            Failed: A fold failed, and has no tries left.
            Interrupted: The study ends.
            RunFailedError: A run did not have the settings that were sampled for it.
        """
        done = plan.done
        for fold in range(len(done), self.hpo.total_folds):
            if done and notes.fold(done):
                return None
            result = self._fold(plan, fold, notes)
            if result is None:
                return None
            done = (*done, result)
        notes.fold(done)
        return done

    def _fold(self, plan: TrialPlan, fold: int, notes: Notes) -> FoldResult | None:
        """Run a fold, as often as it takes and may."""
        config = self._config(plan, fold)
        while True:
            if self.stopping.is_set():
                raise Interrupted
            attempt = Attempt(
                self._paths(plan, fold), self._metric_of_epochs, fold, notes, self._require_metric
            )
            with self._alone(config):
                outcome = self._execute(plan, config, attempt)
            if attempt.given_up:
                return None
            failure = self._failure(plan, outcome, attempt)
            if failure is None:
                return self._result(plan, fold, outcome)
            times = notes.failed(failure)
            words = (plan.number, fold, failure.kind, failure.said)
            log.warning("trial %d, fold %d failed (%s): %s", *words)
            if failure.kind not in RETRIED or times > self.hpo.retries:
                raise Failed(failure, outcome.result.raisable())

    def _execute(self, plan: TrialPlan, config: RunConfig, attempt: Attempt) -> Outcome:
        """Hand a run to the backend; wait while another process works on the same one."""
        paths = attempt.paths
        paths.config.parent.mkdir(parents=True, exist_ok=True)
        write_json(paths.config, config.model_dump(mode="json"))
        job = Job(
            task=plan.task,
            config=paths.config,
            result=paths.result,
            home=self.folder.home,
            timeout=self.hpo.trial_timeout,
            on_line=attempt.lines.append,
            stop=lambda: self.stopping.is_set() or attempt.look(),
        )
        for _ in range(_HELD_TIMES):
            paths.result.unlink(missing_ok=True)
            outcome = self.backend.run(job)
            if outcome.result.kind != HELD or self.stopping.wait(_HELD_SECONDS):
                break
        attempt.look()
        if outcome.result.run is not None:
            self._close(Run(outcome.result.run), attempt)
        if attempt.error is not None:
            raise attempt.error
        return outcome

    def _close(self, run: Run, attempt: Attempt) -> None:
        """Let the record of a run that was ended say so and why."""
        if run.record.status == "finished" or run.is_held():
            return
        if attempt.judged or run.record.status in ("created", "running"):
            run.update(status="interrupted", finished=now(), error=attempt.words)
        if attempt.judged and not self.hpo.log_artifacts:
            shutil.rmtree(run.checkpoints, ignore_errors=True)

    def _failure(self, plan: TrialPlan, outcome: Outcome, attempt: Attempt) -> Failure | None:
        """Say what went wrong, if anything did.

        Raises:
            Interrupted: The job was ended because the study ends.
        """
        result = outcome.result
        run = None if result.run is None else result.run.name
        if attempt.diverged is not None:
            return Failure(fold=attempt.fold, kind="nan", said=attempt.diverged, run=run)
        if outcome.ended.reason == "stopped":
            raise Interrupted
        if outcome.ended.reason != "finished" or result.run is None or result.kind is not None:
            killed = kernel_kills() > attempt.kernel_kills
            return classify(attempt.fold, outcome, attempt.lines, killed)
        if self._value(Run(result.run)) is None:
            said = f"the run has no {self._score}, or none that is a number"
            return Failure(fold=attempt.fold, kind="nan", said=said, run=run)
        return None

    def _require_metric(self, fold: int, run: Run) -> None:
        """Refuse a metric that trials are judged by, and that no epoch of a run tells.

        Raises:
            Failed: It does not.
        """
        there = metrics_of_epochs(run.path / METRICS)
        if self.hpo.total_folds > 1 or self._score in there:
            return
        names = " or ".join(f"hpo.metric={name.removeprefix('val/')}" for name in there)
        hint = f"Set {names}." if names else "Use folds: hpo.folds=3."
        problem = f"runs of model={run.record.model} have no {self._score} after their epochs"
        error = ConfigError(problem, where="hpo.metric", hint=hint)
        raise Failed(Failure(fold=fold, kind="refused", said=str(error), run=run.id), error)

    def _result(self, plan: TrialPlan, fold: int, outcome: Outcome) -> FoldResult:
        """What a finished fold came to.

        Raises:
            RunFailedError: Its run did not have exactly the settings that were sampled.
        """
        assert outcome.result.run is not None
        run = Run(outcome.result.run)
        try:
            require_reached(plan.values, run.settings, str(run.path / CONFIG))
        except ConfigError as error:
            hint = "The trial's scores mean nothing; this is a fault in tutelage."
            raise RunFailedError(error.problem, where=error.where, hint=hint) from error
        record, value = run.record, self._value(run)
        assert value is not None
        if not self.hpo.log_artifacts:
            shutil.rmtree(run.checkpoints, ignore_errors=True)
        return FoldResult(
            fold=fold,
            run=run.id,
            value=value,
            best_epoch=record.best_epoch,
            seconds=record.seconds.get("total", 0.0),
        )

    def _value(self, run: Run) -> float | None:
        """The score of a finished run: on what was held out, or at its best epoch."""
        if self.hpo.total_folds > 1:
            return run.record.metrics.get(self._score)
        epochs = read_epochs(run.path / METRICS, self._score)
        best = run.record.best_epoch or len(epochs)
        return epochs[best - 1].value if 0 < best <= len(epochs) else None

    @property
    def _score(self) -> str:
        """Where a run says its score."""
        folds = self.hpo.total_folds > 1
        return f"{HELD_OUT}/{self.metric}" if folds else self._metric_of_epochs

    @property
    def _metric_of_epochs(self) -> str:
        """Where a run says its score after each epoch."""
        return f"val/{self.metric}"

    def _config(self, plan: TrialPlan, fold: int) -> RunConfig:
        """The settings of a fold's run."""
        config = plan.config
        tags = {**TRIAL_FOLD, "study": self.folder.id}
        tags |= {"trial": str(plan.number), "fold": str(fold)}
        run = {"policy": "resume_if_incomplete", "tags": {**config.run.tags, **tags}}
        changes: dict[str, object] = {
            "run": config.run.model_copy(update=run),
            "execution": InProcessExecution(),
        }
        if self.hpo.total_folds > 1:
            where = {"split_file": self.folder.split_file.absolute(), "fold": fold}
            changes["data"] = config.data.model_copy(update=where)
        return config.model_copy(update=changes)

    def _paths(self, plan: TrialPlan, fold: int) -> Paths:
        folder = self.folder.path / "trials" / f"{plan.number:04d}"
        return Paths(folder / f"fold-{fold}.json", folder / f"fold-{fold}.result.json")

    @contextmanager
    def _alone(self, config: RunConfig) -> Iterator[None]:
        """Wait for a run of the same settings: when it is done, it is this one too."""
        key = digest_json(config.model_dump(mode="json", exclude={"run"}))
        with self._guard:
            lock = self._alike.setdefault(key, threading.Lock())
        with lock:
            yield
