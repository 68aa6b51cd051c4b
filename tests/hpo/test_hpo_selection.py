"""A study takes the best trial, the simplest of those as good, or one of the front."""

from pathlib import Path

import pytest

from tutelage.core.errors import RunFailedError, StoreError
from tutelage.hpo.config import HpoConfig
from tutelage.hpo.results import FoldResult, TrialResult
from tutelage.hpo.selection import Cost, best_epoch, cost_of, select


def trial(number: int, *values: float, epochs: tuple[int | None, ...] = ()) -> TrialResult:
    epochs = epochs or (4,) * len(values)
    folds = tuple(
        FoldResult(fold=k, run=f"run-{number}-{k}", value=value, best_epoch=epochs[k])
        for k, value in enumerate(values)
    )
    return TrialResult(
        number=number, status="complete", value=sum(values) / len(values), folds=folds
    )


GIVEN_UP = TrialResult(number=7, status="pruned")
TRIALS = [
    trial(0, 0.60, 0.64, 0.62),
    GIVEN_UP,
    trial(1, 0.70, 0.74, 0.72),
    trial(2, 0.69, 0.75, 0.75),
    trial(3, 0.71, 0.72, 0.74),
]
COSTS = {
    0: Cost(bytes=100, seconds=1.0),
    1: Cost(bytes=400, seconds=2.0),
    2: Cost(bytes=900, seconds=3.0),
    3: Cost(bytes=500, seconds=2.5),
}


def test_the_best_mean_is_taken_and_compared_with_the_next_and_the_defaults() -> None:
    chosen = select(HpoConfig(folds=3), "maximize", TRIALS, {}, defaults=0)
    assert (chosen.trial, chosen.alike) == (2, (2,))
    assert list(chosen.tests) == ["runner-up (trial 3)", "settings as they were (trial 0)"]
    test = chosen.tests["settings as they were (trial 0)"]
    assert test.difference.mean == pytest.approx(0.11)
    assert test.p_value is not None and test.p_value < 0.05
    assert list(select(HpoConfig(folds=3), "minimize", TRIALS, {}, defaults=0).tests) == [
        "runner-up (trial 1)"
    ]


def test_less_may_be_better_and_the_earlier_of_two_alike_is_taken() -> None:
    assert select(HpoConfig(folds=3), "minimize", TRIALS, {}).trial == 0
    twins = [trial(5, 0.5, 0.5), trial(4, 0.5, 0.5)]
    assert select(HpoConfig(folds=2), "maximize", twins, {}).trial == 4


def test_within_one_standard_error_the_smallest_weights_are_taken() -> None:
    rule = HpoConfig(folds=3, selection="one-standard-error")
    chosen = select(rule, "maximize", TRIALS, COSTS)
    # the best has 0.73 ± 0.02: 1 and 3 are within, 0 is not, though it is the smallest of all
    assert (chosen.trial, chosen.alike) == (1, (2, 3, 1))
    assert "3 trials within one standard error (0.02)" in chosen.why
    assert list(chosen.tests) == ["runner-up (trial 2)"], "the one that has the best score"
    alike = dict.fromkeys(COSTS, Cost(bytes=1, seconds=1.0))
    trials = [*TRIALS[:4], trial(3, 0.71, 0.72, 0.74, epochs=(1, 2, 3))]
    assert select(rule, "maximize", trials, alike).trial == 3, "then the fewest epochs"


def test_of_the_front_the_trial_nearest_to_the_best_of_each_measure_is_taken() -> None:
    rule = HpoConfig(folds=3, selection="pareto")
    beaten = trial(4, 0.70, 0.70, 0.70)
    costs = COSTS | {4: Cost(bytes=450, seconds=2.0)}
    chosen = select(rule, "maximize", [*TRIALS, beaten], costs)
    assert chosen.alike == (2, 3, 1, 0), "4 is worse than 1 and larger"
    assert chosen.trial == 1
    cheap = costs | {0: Cost(bytes=1, seconds=0.01)}
    assert select(rule, "maximize", [*TRIALS, beaten], cheap).trial == 0


def test_a_study_without_a_complete_trial_has_nothing_to_choose() -> None:
    with pytest.raises(RunFailedError, match="no trial of the study was completed"):
        select(HpoConfig(), "maximize", [GIVEN_UP], {})


def test_the_epoch_is_the_rounded_mean_of_those_that_are_known() -> None:
    assert best_epoch(trial(0, 0.1, 0.2, 0.3, epochs=(3, 4, 4))) == 4
    assert best_epoch(trial(0, 0.1, 0.2, epochs=(3, 4))) == 4
    assert best_epoch(trial(0, 0.1, 0.2, epochs=(3, None))) == 3
    assert best_epoch(trial(0, 0.1, 0.2, epochs=(None, None))) is None


def test_what_a_model_takes_is_not_known_once_its_runs_are_gone(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="this run has no record"):
        cost_of(tmp_path, TRIALS[0])
