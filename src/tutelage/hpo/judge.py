"""`Judge`: writes down what a trial comes to, and says whether it goes on.


Which trials these are is decided here, for asking and for pruning alike. With one worker trial *n*
knows the trials 0 to *n* - 1; in a deterministic study with *w* workers it knows 0 to *n* - *w*.
All of these have ended before it is asked, so that it does not matter when. Else it knows what
there is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from tutelage.hpo.config import Direction, HpoConfig
from tutelage.hpo.failures import RETRIED
from tutelage.hpo.ledger import FAILURES, FOLDS, Ledger, failures
from tutelage.hpo.pruning import FOLD_SCORES, Steps, prunes_by_epoch, prunes_by_fold
from tutelage.hpo.results import Failure, FoldResult

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Tell = Callable[[int, int, int, float], None]
"""Told of a trial's number, its fold, its epoch, and the value at the end of it."""


def awaited(settings: HpoConfig, number: int) -> int | None:
    """Return how many trials, the first ones, a trial knows; null: whatever there is."""
    if settings.workers == 1:
        return number
    return max(0, number - settings.workers + 1) if settings.deterministic else None


def known(
    settings: HpoConfig, number: int, trials: Sequence[FrozenTrial]
) -> list[FrozenTrial] | None:
    """Return the trials that a trial may know; null where not all of them have ended yet."""
    count = awaited(settings, number)
    if count is None:
        return [trial for trial in trials if trial.number != number]
    first = [trial for trial in trials if trial.number < count]
    ended = len(first) == count and all(trial.state.is_finished() for trial in first)
    return first if ended else None


class Judge:
    """Takes a trial's values and judges them. One trial's; used by one thread.

    Args:
        ledger: Where they are written.
        settings: The study's.
        direction: Whether more is better.
        steps: How epochs are numbered.
        number: The trial's.
        tell: Told of each epoch.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: HpoConfig,
        direction: Direction,
        steps: Steps,
        number: int,
        tell: Tell,
    ) -> None:
        self.ledger: Ledger = ledger
        self.settings: HpoConfig = settings
        self.direction = direction
        self.steps: Steps = steps
        self.number: int = number
        self.tell: Tell = tell
        self._reported = max(ledger.trial(number).intermediate_values, default=0)
        self._fixed = None if awaited(settings, number) is None else self._known()

    def epoch(self, fold: int, epoch: int, value: float) -> bool:
        """Take the value at the end of an epoch, from 1; say whether the trial is given up."""
        step = self.steps.number(fold, epoch)
        if step > self._reported:
            self.ledger.report(self.number, step, value)
        self.tell(self.number, fold, epoch, value)
        last = epoch >= self.steps.epochs and fold == self.settings.total_folds - 1
        if step < self._reported or last:
            return False  # judged before an interruption; or nothing is left to save
        trial = copy.copy(self.ledger.trial(self.number))
        so_far = {at: value for at, value in trial.intermediate_values.items() if at <= step}
        trial.intermediate_values = so_far
        history = self._history()
        return prunes_by_epoch(
            self.settings.pruner, self.direction, trial, history, fold, self.steps
        )

    def fold(self, done: tuple[FoldResult, ...]) -> bool:
        """Take the folds that are done; say whether the trial is given up."""
        whole: list[JsonValue] = [fold.model_dump(mode="json") for fold in done]
        scores: dict[str, JsonValue] = {str(fold.fold): fold.value for fold in done}
        self.ledger.note(self.number, FOLDS, whole)
        self.ledger.note(self.number, FOLD_SCORES, scores)
        if len(done) == self.settings.total_folds:
            return False
        trial = self.ledger.trial(self.number)
        pruner = self.settings.fold_pruner
        return prunes_by_fold(pruner, self.direction, trial, self._history())

    def failed(self, failure: Failure) -> int:
        """Take a failure; return how often this fold has failed so that it might be tried again."""
        before = failures(self.ledger.trial(self.number))
        all_of_them = (*before, failure)
        whole: list[JsonValue] = [one.model_dump(mode="json") for one in all_of_them]
        self.ledger.note(self.number, FAILURES, whole)
        mine = [one for one in all_of_them if one.fold == failure.fold and one.kind in RETRIED]
        return len(mine)

    def _history(self) -> list[FrozenTrial]:
        return self._known() if self._fixed is None else self._fixed

    def _known(self) -> list[FrozenTrial]:
        found = known(self.settings, self.number, self.ledger.trials())
        assert found is not None  # the trial was asked, so they had ended
        return found


def mean(done: Sequence[FoldResult]) -> float:
    """The value of a trial: the mean of its folds."""
    return math.fsum(fold.value for fold in done) / len(done)
