"""Whether a trial is given up, by its epochs or by its folds: pure functions of what is known."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tutelage.hpo.config import Direction, FoldPruner, Pruner, PrunerName

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FOLD_SCORES: Final = "fold_scores"
"""The user attribute of a trial that holds its folds' scores: ``{"0": 0.71, "1": 0.68}``."""
Curve = Mapping[int, float]
"""Epoch, from 1, to what was monitored; higher is better."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How the epochs of several folds are numbered in one row, as Optuna keeps them.

    Args:
        epochs: The most that any fold of the study has.
    """

    epochs: int

    def number(self, fold: int, epoch: int) -> int:
        """Return the step of an epoch, from 1, of a fold, from 0."""
        return fold * self.epochs + epoch

    def curve(self, trial: FrozenTrial, fold: int) -> dict[int, float]:
        """Return what was reported of a fold, by its epochs from 1, in order."""
        first = self.number(fold, 0)
        return {
            step - first: value
            for step, value in sorted(trial.intermediate_values.items())
            if first < step <= first + self.epochs and not math.isnan(value)
        }


def fold_scores(trial: FrozenTrial) -> dict[int, float]:
    """Return the scores of a trial's finished folds."""
    return {
        int(fold): float(score) for fold, score in trial.user_attrs.get(FOLD_SCORES, {}).items()
    }


def prunes_by_epoch(
    pruner: Pruner,
    direction: Direction,
    trial: FrozenTrial,
    history: Sequence[FrozenTrial],
    fold: int,
    steps: Steps,
) -> bool:
    """Whether a trial is given up after the latest epoch that it reported of a fold.

    Ask after every epoch: rungs are looked at in the epoch in which they are reached.

    Args:
        pruner: The rule.
        direction: Whether more of what is monitored is better.
        trial: The trial so far.
        history: The trials that it is compared with, and no others.
        fold: The fold that it is in; others' epochs of the same fold are looked at.
        steps: How epochs are numbered.
    """
    if pruner.name == "none" or (pruner.folds == "first" and fold > 0):
        return False
    sign = 1.0 if direction == "maximize" else -1.0

    def curve(of: FrozenTrial) -> Curve:
        return {epoch: sign * value for epoch, value in steps.curve(of, fold).items()}

    mine = curve(trial)
    if not mine:
        return False
    others = [_Other(o.number, o.state.name == "COMPLETE", curve(o)) for o in history]
    return _RULES[pruner.name](_Case(pruner, trial.number, mine, others, steps.epochs))


def prunes_by_fold(
    pruner: FoldPruner,
    direction: Direction,
    trial: FrozenTrial,
    history: Sequence[FrozenTrial],
) -> bool:
    """Whether a trial is given up after its latest fold.

    Args:
        pruner: The rule.
        direction: Whether more of the objective is better.
        trial: The trial so far, with its `FOLD_SCORES`.
        history: The trials that it is compared with, and no others.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    mine = {fold: sign * score for fold, score in fold_scores(trial).items()}
    finished = [other for other in history if other.state.name == "COMPLETE"]
    others = [{f: sign * s for f, s in fold_scores(other).items()} for other in finished]
    others = [scores for scores in others if scores.keys() >= mine.keys()]
    if pruner.name == "none" or not mine or not others:
        return False
    if pruner.name == "median":
        means = [_mean(scores, mine) for scores in others]
        return len(others) >= pruner.startup_trials and _mean(mine, mine) < float(np.median(means))
    best = max(others, key=lambda scores: _mean(scores, scores))
    return _surely_worse(mine, best, pruner.p_value)


@dataclass(frozen=True, slots=True)
class _Other:
    """A trial of the history; higher is better."""

    number: int
    complete: bool
    curve: Curve

    def best(self, epoch: int) -> float:
        """The best of its epochs until one, which it has reached."""
        return max(value for e, value in self.curve.items() if e <= epoch)


@dataclass(frozen=True, slots=True)
class _Case:
    """A trial after an epoch, and those that it is compared with."""

    pruner: Pruner
    number: int
    curve: Curve
    others: Sequence[_Other]
    most_epochs: int

    @property
    def epoch(self) -> int:
        """The latest epoch."""
        return max(self.curve)

    @property
    def best(self) -> float:
        """The best epoch so far."""
        return max(self.curve.values())


def _below(case: _Case, percent: float) -> bool:
    """Its best epoch is worse than that share of the finished trials was at this epoch.

    As Optuna's `PercentilePruner`, which Golovin et al. 2017 describe for the median.
    """
    finished = [other.curve for other in case.others if other.complete]
    if len(finished) < case.pruner.startup_trials or case.epoch <= case.pruner.warmup_epochs:
        return False
    there = [curve[case.epoch] for curve in finished if case.epoch in curve]
    return bool(there) and case.best < float(np.percentile(there, 100 - percent))


def _median(case: _Case) -> bool:
    return _below(case, 50.0)


def _percentile(case: _Case) -> bool:
    return _below(case, case.pruner.percentile)


def _patient(case: _Case) -> bool:
    """It is below the median, and its last epochs brought nothing."""
    values = list(case.curve.values())
    before, after = values[: -case.pruner.patience], values[-case.pruner.patience :]
    stands = bool(before) and max(after) <= max(before) + case.pruner.min_delta
    return stands and _median(case)


def _asha(case: _Case, first: int = 0, within: Sequence[_Other] | None = None) -> bool:
    """At a rung, it is not of the best 1/η that came there (Li et al. 2020, the stopping form).

    Args:
        case: The trial.
        first: Rungs that are left out at the beginning.
        within: Whom it is compared with; null: all.
    """
    eta = case.pruner.reduction
    rung = case.pruner.rung * eta**first
    while rung < case.epoch:
        rung *= eta
    if rung != case.epoch:
        return False
    others = case.others if within is None else within
    reached = [other.best(rung) for other in others if max(other.curve, default=0) >= rung]
    ranked = sorted([*reached, case.best], reverse=True)
    return case.best < ranked[max(len(ranked) // eta, 1) - 1]


def _hyperband(case: _Case) -> bool:
    """ASHA among the trials of one bracket (Li et al. 2018); a trial's number decides on it."""
    bracket = _bracket(case, case.number)
    same = [other for other in case.others if _bracket(case, other.number) == bracket]
    return _asha(case, bracket, same)


def _bracket(case: _Case, number: int) -> int:
    """The bracket of a trial: those that are weeded out sooner have more trials."""
    eta = case.pruner.reduction
    count, rung = 1, case.pruner.rung
    while rung * eta <= case.most_epochs:
        count, rung = count + 1, rung * eta
    shares = [math.ceil(count * eta**s / (s + 1)) for s in reversed(range(count))]
    place = zlib.crc32(str(number).encode()) % sum(shares)
    return int(np.searchsorted(np.cumsum(shares), place, side="right"))


def _surely_worse(mine: Curve, best: Curve, p_value: float) -> bool:
    """A one-sided Wilcoxon signed-rank test over the folds that both have.

    As Optuna's `WilcoxonPruner`: not where the mean of its folds is above that of all the best
    trial's, whatever the test says.
    """
    from scipy.stats import wilcoxon

    if len(mine) < 2 or _mean(mine, mine) >= _mean(best, best):
        return False
    differences = [score - best[fold] for fold, score in sorted(mine.items())]
    test = wilcoxon(differences, alternative="less", zero_method="zsplit")
    return bool(test.pvalue < p_value)


def _mean(scores: Curve, folds: Curve) -> float:
    return math.fsum(scores[fold] for fold in folds) / len(folds)


_RULES: Final[Mapping[PrunerName, Callable[[_Case], bool]]] = {
    "median": _median,
    "percentile": _percentile,
    "patient": _patient,
    "asha": _asha,
    "hyperband": _hyperband,
}
