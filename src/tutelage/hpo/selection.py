"""Which trial's settings are taken: the best, the simplest of those as good, or a compromise."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tutelage.core.chance import PairedTest, paired_test
from tutelage.core.errors import RunFailedError, StoreError
from tutelage.core.store import Run
from tutelage.hpo.config import Direction, HpoConfig
from tutelage.hpo.results import TrialResult

_CARD: Final = "model.json"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a trial's models take.

    Args:
        bytes: Size of the weights.
        seconds: Mean seconds in which a fold's model was evaluated on the held-out data: it stands
            for the latency, as far as all trials ran on one machine under one load.
    """

    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen trial.

    Args:
        trial: Its number.
        why: The reason, in one sentence.
        alike: Numbers of the trials that the rule chose among, the best score first.
        tests: What the chosen trial is compared with, in words, and how: the runner-up, and the
            settings that the study began with.
    """

    trial: int
    why: str
    alike: tuple[int, ...]
    tests: Mapping[str, PairedTest]


def select(
    settings: HpoConfig,
    direction: Direction,
    trials: Sequence[TrialResult],
    costs: Mapping[int, Cost],
    defaults: int | None = None,
) -> Selection:
    """Choose a trial by ``hpo.selection``.

    Args:
        settings: The study's.
        direction: Whether more of the objective is better.
        trials: The study's trials; only complete ones can be chosen.
        costs: What each complete trial's models take, for every rule but `objective`.
        defaults: Number of the trial that tried the settings as they were, if one did.

    Raises:
        RunFailedError: No trial was completed.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    complete = [trial for trial in trials if trial.status == "complete" and trial.value is not None]
    if not complete:
        hint = "See why with `tutelage runs show`, or in the study's trials.json."
        raise RunFailedError("no trial of the study was completed", hint=hint)
    ranked = sorted(complete, key=lambda trial: (-sign * _value(trial), trial.number))
    rules = {"objective": _best, "one-standard-error": _simplest, "pareto": _compromise}
    chosen, why, alike = rules[settings.selection](ranked, sign, costs)
    tests = _compared(chosen, ranked, defaults, settings.folds)
    return Selection(chosen.number, why, tuple(trial.number for trial in alike), tests)


def _compared(
    chosen: TrialResult, ranked: Sequence[TrialResult], defaults: int | None, folds: int
) -> dict[str, PairedTest]:
    """Compare a trial with the best of the others, and with the settings as they were."""
    others = [trial for trial in ranked if trial.number != chosen.number]
    tests = {}
    for trial in others:
        words = ["runner-up"] if trial is others[0] else []
        words += ["settings as they were"] if trial.number == defaults else []
        if words and len(trial.folds) == len(chosen.folds):
            name = f"{' and '.join(words)} (trial {trial.number})"
            tests[name] = paired_test(_scores(chosen), _scores(trial), folds)
    return tests


def cost_of(home: Path, trial: TrialResult) -> Cost:
    """Return what the models of a complete trial's folds take, as their files say.

    Args:
        home: Where runs live.
        trial: The trial.

    Raises:
        StoreError: A fold's run is no longer there, or is damaged.
    """
    sizes, seconds = [], []
    for fold in trial.folds:
        run = Run(home / fold.run)
        seconds.append(float(run.record.seconds.get("evaluate", 0.0)))
        card = run.path / _CARD
        try:
            sizes.append(int(json.loads(card.read_text(encoding="utf-8"))["bytes"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "Choose by hpo.selection=objective, which needs no run's files."
            problem = f"the size of trial {trial.number}'s model can't be read"
            raise StoreError(problem, where=card, hint=hint) from error
    return Cost(round(statistics.fmean(sizes)), statistics.fmean(seconds))


def best_epoch(trial: TrialResult) -> int | None:
    """Return the epoch that the folds found best, on average; null where none of them knows."""
    known = [fold.best_epoch for fold in trial.folds if fold.best_epoch is not None]
    return max(1, math.floor(statistics.fmean(known) + 0.5)) if known else None


_Chosen = tuple[TrialResult, str, Sequence[TrialResult]]


def _best(ranked: Sequence[TrialResult], sign: float, costs: Mapping[int, Cost]) -> _Chosen:
    return ranked[0], "none has a better mean score", ranked[:1]


def _simplest(ranked: Sequence[TrialResult], sign: float, costs: Mapping[int, Cost]) -> _Chosen:
    """The one-standard-error rule (Breiman et al. 1984, section 3.4.3).

    The simplest is the one with the smallest weights; of these the one that trains for the fewest
    epochs; of these the best. Nothing of that depends on a clock.
    """
    scores = _scores(ranked[0])
    error = statistics.stdev(scores) / math.sqrt(len(scores))
    least = sign * _value(ranked[0]) - error
    alike = [trial for trial in ranked if sign * _value(trial) >= least]
    chosen = min(alike, key=lambda t: (costs[t.number].bytes, best_epoch(t) or 0))
    size = f"{costs[chosen.number].bytes:,} bytes"
    why = (
        f"of {len(alike)} trials within one standard error ({error:.4g}) of the best, it has the "
        f"smallest weights ({size}), then the fewest epochs"
        if len(alike) > 1
        else f"no other is within one standard error ({error:.4g}) of it"
    )
    return chosen, why, alike


def _compromise(ranked: Sequence[TrialResult], sign: float, costs: Mapping[int, Cost]) -> _Chosen:
    """The trial of the Pareto front that is nearest to the best of each measure on it.

    Measures are scaled to [0, 1] over the front: score, logarithm of the bytes, logarithm of the
    seconds; the distance is Euclid's.
    """
    points = {
        trial.number: (
            -sign * _value(trial),
            math.log(max(costs[trial.number].bytes, 1)),
            math.log(max(costs[trial.number].seconds, 1e-3)),
        )
        for trial in ranked
    }
    front = [t for t in ranked if not any(_beats(p, points[t.number]) for p in points.values())]
    columns = list(zip(*(points[trial.number] for trial in front), strict=True))
    ranges = [(min(column), (max(column) - min(column)) or 1.0) for column in columns]

    def distance(trial: TrialResult) -> float:
        scaled = zip(points[trial.number], ranges, strict=True)
        return math.dist([(x - low) / width for x, (low, width) in scaled], (0.0, 0.0, 0.0))

    chosen = min(front, key=distance)
    why = (
        f"of {len(front)} trials that none beats in score, size and evaluation time at once, it is "
        "nearest to the best of the three"
        if len(front) > 1
        else "it is the best in score, size and evaluation time at once"
    )
    return chosen, why, front


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one point is nowhere worse and somewhere better; lower is better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def _scores(trial: TrialResult) -> list[float]:
    return [fold.value for fold in trial.folds]


def _value(trial: TrialResult) -> float:
    assert trial.value is not None
    return trial.value
