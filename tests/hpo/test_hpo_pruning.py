"""Trials are given up as the rules say, which agree with Optuna's where those have no memory."""

import warnings
from collections.abc import Iterator

import numpy as np
import optuna
import pytest
from made_trials import curve
from optuna.trial import FrozenTrial, TrialState

from tutelage.hpo.config import FoldPruner, Pruner
from tutelage.hpo.pruning import Steps, fold_scores, prunes_by_epoch, prunes_by_fold

STEPS = Steps(epochs=9)
RUNNING, PRUNED = TrialState.RUNNING, TrialState.PRUNED


def rising(seed: int, trials: int = 40, epochs: int = 9) -> list[dict[int, float]]:
    """Curves that rise, to ends that differ."""
    draw = np.random.default_rng(seed)
    rises = np.cumsum(draw.exponential(size=(trials, epochs)), axis=1) * draw.random((trials, 1))
    return [dict(enumerate(map(float, row), start=1)) for row in rises]


def until(values: dict[int, float], epoch: int) -> dict[int, float]:
    return {e: value for e, value in values.items() if e <= epoch}


def ours(pruner: Pruner, curves: list[dict[int, float]]) -> Iterator[int | None]:
    """The epoch after which each trial is given up, one after the other."""
    known: list[FrozenTrial] = []
    for number, values in enumerate(curves):
        given_up = next(
            (
                epoch
                for epoch in values
                if prunes_by_epoch(
                    pruner,
                    "maximize",
                    curve(number, until(values, epoch), RUNNING),
                    known,
                    0,
                    STEPS,
                )
            ),
            None,
        )
        known.append(
            curve(number, values)
            if given_up is None
            else curve(number, until(values, given_up), PRUNED)
        )
        yield given_up


def optunas(pruner: optuna.pruners.BasePruner, curves: list[dict[int, float]],
            shift: int = 0) -> Iterator[int | None]:  # fmt: skip
    """The same of a pruner of Optuna's, whose steps may begin at 0."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for values in curves:
        trial = study.ask()
        for epoch, value in values.items():
            trial.report(value, epoch - shift)
            if trial.should_prune():
                study.tell(trial, state=PRUNED)
                yield epoch
                break
        else:
            study.tell(trial, max(values.values()))
            yield None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("mine", "theirs", "shift"),
    [
        (
            Pruner(name="median", startup_trials=4, warmup_epochs=2),
            optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
            1,
        ),
        (
            Pruner(name="percentile", percentile=70, startup_trials=2, warmup_epochs=0),
            optuna.pruners.PercentilePruner(70, n_startup_trials=2),
            1,
        ),
        (
            Pruner(name="asha", rung=1, reduction=2),
            optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
            0,
        ),
        (
            Pruner(name="asha", rung=2, reduction=3),
            optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3),
            0,
        ),
    ],
    ids=["median", "percentile", "asha-1-2", "asha-2-3"],
)
def test_a_study_of_one_worker_is_pruned_as_optuna_prunes_it(
    mine: Pruner, theirs: optuna.pruners.BasePruner, shift: int, seed: int
) -> None:
    curves = rising(seed)
    given_up = list(ours(mine, curves))
    assert given_up == list(optunas(theirs, curves, shift))
    assert sum(epoch is not None for epoch in given_up) > 5


def test_less_may_be_better() -> None:
    finished = [curve(n, {1: 0.1 * n, 2: 0.1 * n}) for n in range(5)]
    pruner = Pruner(startup_trials=4, warmup_epochs=0)
    bad, good = curve(9, {1: 0.4}, RUNNING), curve(9, {1: 0.1}, RUNNING)
    verdicts = [
        prunes_by_epoch(pruner, direction, trial, finished, 0, STEPS)
        for direction in ("minimize", "maximize")
        for trial in (bad, good)
    ]
    assert verdicts == [True, False, False, True]


def test_each_fold_is_compared_with_the_same_fold() -> None:
    steps = Steps(epochs=3)
    both = {steps.number(fold, epoch): float(fold) for fold in (0, 1) for epoch in (1, 2, 3)}
    finished = [curve(n, both) for n in range(4)]
    trial = curve(9, both | {steps.number(1, 1): 0.5}, RUNNING)
    trial.intermediate_values = {s: v for s, v in trial.intermediate_values.items() if s <= 4}
    assert steps.curve(trial, 0) == {1: 0.0, 2: 0.0, 3: 0.0}
    assert steps.curve(trial, 1) == {1: 0.5}
    each = Pruner(warmup_epochs=0, folds="each")
    assert prunes_by_epoch(each, "maximize", trial, finished, 1, steps)
    first = each.model_copy(update={"folds": "first"})
    assert not prunes_by_epoch(first, "maximize", trial, finished, 1, steps)


def test_patience_spares_a_trial_that_still_improves() -> None:
    finished = [curve(n, {e: 1.0 for e in range(1, 6)}) for n in range(4)]
    pruner = Pruner(name="patient", patience=2, warmup_epochs=0)
    rises, stands = {1: 0.1, 2: 0.2, 3: 0.3}, {1: 0.3, 2: 0.2, 3: 0.3}
    assert not prunes_by_epoch(pruner, "maximize", curve(9, rises, RUNNING), finished, 0, STEPS)
    assert prunes_by_epoch(pruner, "maximize", curve(9, stands, RUNNING), finished, 0, STEPS)
    high = {epoch: value + 1 for epoch, value in stands.items()}
    assert not prunes_by_epoch(pruner, "maximize", curve(9, high, RUNNING), finished, 0, STEPS)


def test_hyperband_weeds_out_most_trials_early_and_some_late() -> None:
    pruner = Pruner(name="hyperband", reduction=3)
    given_up = [epoch for epoch in ours(pruner, rising(0, trials=120)) if epoch is not None]
    counts = [given_up.count(epoch) for epoch in (1, 3, 9)]
    assert sum(counts) == len(given_up), "at no other epoch"
    assert counts[0] > counts[1] > 0
    assert counts[2] > 0


def test_hyperband_compares_trials_whose_first_rung_is_the_same() -> None:
    pruner = Pruner(name="hyperband", reduction=3)
    good = {epoch: 1.0 for epoch in range(1, 10)}

    def first_look(number: int, others: list[FrozenTrial]) -> int | None:
        """The epoch after which a trial that is always worse is given up."""
        bad = dict.fromkeys(good, 0.0)
        given_up = (
            epoch
            for epoch in bad
            if prunes_by_epoch(
                pruner, "maximize", curve(number, until(bad, epoch), RUNNING), others, 0, STEPS
            )
        )
        return next(given_up, None)

    everyone = [curve(number, good) for number in range(100, 160)]
    rungs = [first_look(number, everyone) for number in range(60)]
    assert set(rungs) == {1, 3, 9}
    assert rungs.count(1) > rungs.count(9)
    for rung in (1, 3, 9):
        number = rungs.index(rung)
        same = [o for o in everyone if first_look(o.number, everyone) == rung]
        assert first_look(number, same) == rung
        assert first_look(number, [o for o in everyone if o not in same]) is None


def test_an_epoch_that_is_no_number_is_not_compared() -> None:
    finished = [curve(n, {1: 1.0}) for n in range(4)]
    pruner = Pruner(warmup_epochs=0)
    trial = curve(9, {1: float("nan")}, RUNNING)
    assert not prunes_by_epoch(pruner, "maximize", trial, finished, 0, STEPS)


def test_a_trial_whose_folds_are_below_the_median_is_given_up() -> None:
    finished = [curve(n, {}, folds={0: 0.1 * n, 1: 0.1 * n, 2: 0.9}) for n in range(5)]
    pruner = FoldPruner(name="median", startup_trials=5)
    low = curve(9, {}, RUNNING, folds={0: 0.1, 1: 0.2})
    high = curve(9, {}, RUNNING, folds={0: 0.1, 1: 0.5})
    assert fold_scores(low) == {0: 0.1, 1: 0.2}
    assert prunes_by_fold(pruner, "maximize", low, finished)
    assert not prunes_by_fold(pruner, "maximize", high, finished)
    assert not prunes_by_fold(pruner, "maximize", low, finished[1:]), "too few to compare with"
    assert not prunes_by_fold(FoldPruner(name="none"), "maximize", low, finished)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_folds_are_tested_as_optunas_wilcoxon_pruner_tests_them(direction: str) -> None:
    draw = np.random.default_rng(1)
    scores = draw.normal(size=8)
    finished = curve(0, {}, folds=dict(enumerate(map(float, scores))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        theirs = optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=0)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction, pruner=theirs)
    best = study.ask()
    for fold, value in enumerate(scores):
        best.report(float(value), fold)
    study.tell(best, float(scores.mean()))
    verdicts = []
    for _ in range(6):
        shifted = scores + draw.normal(draw.choice([-0.5, 0.0, 0.5]), 0.4, size=8)
        trial, mine = study.ask(), {}
        for fold, value in enumerate(map(float, shifted)):
            trial.report(value, fold)
            mine[fold] = value
            ruling = prunes_by_fold(
                FoldPruner(name="wilcoxon", p_value=0.1),
                "maximize" if direction == "maximize" else "minimize",
                curve(9, {}, RUNNING, folds=mine),
                [finished],
            )
            assert ruling == trial.should_prune()
            verdicts.append(ruling)
        study.tell(trial, state=TrialState.FAIL)
    assert 0 < sum(verdicts) < len(verdicts)


def test_a_trial_is_not_given_up_while_its_mean_is_above_the_bests() -> None:
    hard = {fold: 0.9 if fold < 4 else 0.0 for fold in range(8)}
    pruner = FoldPruner(name="wilcoxon", p_value=0.1)
    mine = curve(9, {}, RUNNING, folds={fold: 0.8 for fold in range(4)})
    assert not prunes_by_fold(pruner, "maximize", mine, [curve(0, {}, folds=hard)])
    even = dict.fromkeys(range(8), 0.9)
    assert prunes_by_fold(pruner, "maximize", mine, [curve(0, {}, folds=even)])
