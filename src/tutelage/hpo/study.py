"""`Orchestrator`: the trials of a study, several at once, from its first to its last or from a cut.

What is known stands in the storage before it counts; so the orchestrator may be killed at any
moment, and the same command goes on: first with the trials that were left, by their numbers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from optuna.trial import FrozenTrial, TrialState

from tutelage.core.errors import ConfigError, RunFailedError, TutelageError
from tutelage.execution.backend import Backend
from tutelage.hpo.asking import ask
from tutelage.hpo.judge import Judge, known, mean
from tutelage.hpo.ledger import OWNER, Ending, Ledger, folds_done, labels, result_of
from tutelage.hpo.owners import BEAT_SECONDS, Owner, Watch
from tutelage.hpo.plan import StudyPlan
from tutelage.hpo.results import Failure, StudyFolder, TrialResult
from tutelage.hpo.trial import Failed, Interrupted, TrialExecutor, TrialPlan

log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.2
_OTHERS_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class News:
    """What a person is told of a trial as it moves on.

    Args:
        trial: The trial as it stands.
        fold: The fold that it is in, from 0, where an epoch of it has ended.
        epoch: That epoch, from 1.
        value: The metric at the end of it.
    """

    trial: TrialResult
    fold: int | None = None
    epoch: int | None = None
    value: float | None = None


class Orchestrator:
    """Runs the trials of a study on one machine.

    Args:
        plan: The study.
        folder: Its folder, which this process holds.
        ledger: Its trials.
        backend: Where runs are executed.
        tell: Told of each trial as it moves on, from any thread, one call at a time.
        alone: Whether no other machine works on the study.
    """

    def __init__(
        self,
        plan: StudyPlan,
        folder: StudyFolder,
        ledger: Ledger,
        backend: Backend,
        tell: Callable[[News], None] = lambda news: None,
        alone: bool = True,
    ) -> None:
        self.plan, self.folder, self.ledger, self.alone = plan, folder, ledger, alone
        self.stopping = threading.Event()
        self._executor = TrialExecutor(folder, plan.hpo, plan.metric, backend, self.stopping)
        self._tell = tell
        self._guard = threading.RLock()
        self._told = threading.Lock()
        self._owner, self._watch, self._beat = Owner.here(), Watch(), 0
        self._mine: set[int] = set()
        self.refused = False
        self._error: BaseException | None = None
        self._busy, self._over = plan.hpo.workers, threading.Event()
        self._deadline = None if plan.hpo.timeout is None else time.monotonic() + plan.hpo.timeout

    def run(self) -> None:
        """Run what is left of the study's trials.

        Raises:
            RequestError: The first trial was refused (`refused`): so would be all; or the storage
                can't be reached.
            RunFailedError: A run did not have the settings that were sampled for it.
            KeyboardInterrupt: A person pressed Ctrl-C; every process was ended.
        """
        self._take_over()
        threads = [
            threading.Thread(target=self._work, name=f"trials-{n}", daemon=True)
            for n in range(self.plan.hpo.workers)
        ]
        for thread in threads:
            thread.start()
        try:
            self._attend()
        finally:
            self.stopping.set()
            self._over.set()
            for thread in threads:
                thread.join()
            self._write()
        if self._error is not None:
            raise self._error

    def _attend(self) -> None:
        """Give signs of life, and look after trials whose owner has died, while trials run."""
        beat = looked = time.monotonic()
        while self._busy:
            time.sleep(_LOOK_SECONDS)
            if self.alone:
                continue
            if time.monotonic() - beat > BEAT_SECONDS:
                beat = time.monotonic()
                self._give_sign()
            if time.monotonic() - looked > _OTHERS_SECONDS:
                looked = time.monotonic()
                self._take_over()

    def _give_sign(self) -> None:
        with self._guard:
            self._beat += 1
            for number in self._mine:
                self.ledger.note(number, OWNER, self._owner.as_json(self._beat))

    def _take_over(self) -> None:
        """Let trials wait whose owner has died, so that somebody goes on with them."""
        with self._guard:
            for trial in self.ledger.trials():
                if trial.state != TrialState.RUNNING or trial.number in self._mine:
                    continue
                owner = Owner.read(trial.user_attrs.get(OWNER))
                if self.alone or self._watch.is_dead(trial.number, owner):
                    log.info("trial %d was left; it goes on", trial.number)
                    self.ledger.leave(trial.number)

    def _work(self) -> None:
        """Run trials until none is left. One of several threads.

        None ends before all have: a process that one has started may serve the others, and dies
        with the thread that started it.
        """
        try:
            while (number := self._next()) is not None:
                self._trial(number)
        except Interrupted:
            pass
        except BaseException as error:  # of a thread; `run` raises it
            self._error = self._error or error
            self.stopping.set()
        finally:
            self.ledger.close()
            with self._guard:
                self._busy -= 1
            self._over.wait()

    def _next(self) -> int | None:
        """Take a trial that waits, else begin one, else wait for those that others may leave."""
        while not self.stopping.is_set():
            with self._guard:
                trials = self.ledger.trials()
                for trial in trials:
                    if trial.state == TrialState.WAITING and self._claim(trial.number):
                        return int(trial.number)
                if len(trials) < self.plan.trials and not self._is_late():
                    number = self.ledger.begin(self._owner.as_json(self._beat))
                    self._mine.add(number)
                    return number
            if self.alone or all(trial.state.is_finished() for trial in trials):
                return None
            self.stopping.wait(_OTHERS_SECONDS)
        return None

    def _claim(self, number: int) -> bool:
        if self.ledger.claim(number, self._owner.as_json(self._beat)):
            self._mine.add(number)
            return True
        return False

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _trial(self, number: int) -> None:
        """Run a trial that is ours, and end it or, if the study ends first, leave it."""
        try:
            with self._left_if_interrupted(number):
                trial = self._asked(number)
                self._write(number)
                ending, value = self._judged(trial)
                self.ledger.tell(number, ending, value)
        finally:
            with self._guard:
                self._mine.discard(number)
        self._write(number)

    @contextmanager
    def _left_if_interrupted(self, number: int) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if not self.ledger.trial(number).state.is_finished():
                self.ledger.leave(number)
            raise

    def _asked(self, number: int) -> FrozenTrial:
        """Return a trial with its parameters, once those that it may know have ended."""
        trial = self.ledger.trial(number)
        if labels(trial) is not None:
            self.ledger.write_asked(trial)
            return self.ledger.trial(number)
        while (history := known(self.plan.hpo, number, self.ledger.trials())) is None:
            if self.stopping.wait(_LOOK_SECONDS):
                raise Interrupted
        plan, space = self.plan, self.plan.space
        params = ask(plan.hpo.sampler, plan.direction, plan.hpo.seed, number, history, space)
        self.ledger.ask(number, params, space.values(params), space.distributions(params))
        return self.ledger.trial(number)

    def _judged(self, trial: FrozenTrial) -> tuple[Ending, float | None]:
        """Run what is left of a trial; return how it ended."""
        plan, hpo = self.plan, self.plan.hpo
        judge = Judge(self.ledger, hpo, plan.direction, plan.steps, trial.number, self._epoch)
        try:
            config = plan.space.config(plan.task, plan.base, labels(trial) or {})
        except ConfigError as error:
            failure = Failure(fold=0, kind="refused", said=str(error))
            judge.failed(failure)
            return self._refused(trial.number, failure, error)
        todo = TrialPlan(
            task=plan.task.name,
            number=trial.number,
            config=config,
            values=plan.space.values(labels(trial) or {}),
            done=folds_done(trial),
        )
        try:
            done = self._executor.run(todo, judge)
        except Failed as failed:
            return self._refused(trial.number, failed.failure, failed.error)
        return ("pruned", None) if done is None else ("complete", mean(done))

    def _refused(
        self, number: int, failure: Failure, error: TutelageError
    ) -> tuple[Ending, float | None]:
        """End a failed trial; and the study, if it is its first and the request was wrong."""
        if failure.kind == "refused" and number == 0:
            self.refused = True
            self._error = self._error or error
            self.stopping.set()
        return "failed", None

    def _epoch(self, number: int, fold: int, epoch: int, value: float) -> None:
        result = result_of(self.ledger.trial(number))
        with self._told:
            self._tell(News(result, fold, epoch, value))

    def _write(self, number: int | None = None) -> None:
        """Write the trials as they stand; tell of one."""
        with self._told:
            results = tuple(result_of(trial) for trial in self.ledger.trials())
            self.folder.write_trials(results)
            if number is not None:
                self._tell(News(results[number]))


def require_scores(folder: StudyFolder) -> None:
    """Refuse to choose among trials none of which came to a score.

    Raises:
        RunFailedError: None did; says why the last one failed.
    """
    trials = folder.trials
    if any(trial.status == "complete" for trial in trials):
        return
    failed = [trial.failures[-1] for trial in trials if trial.failures]
    why = f"the last one failed ({failed[-1].kind}): {failed[-1].said}" if failed else "none ended"
    said = f"none of {len(trials)} trials came to a score; {why}"
    raise RunFailedError(said, where=folder.id)
