"""A study's tables say what was tried, what mattered, what was chosen, and what the tests said."""

import pytest
from made_trials import BRANCHES, NUMBERS, history
from pydantic import JsonValue

from tutelage.hpo.config import HpoConfig
from tutelage.hpo.importances import importances
from tutelage.hpo.results import FoldResult, Refit, TrialResult
from tutelage.hpo.selection import select
from tutelage.hpo.space import SearchSpace
from tutelage.hpo.tables import (
    importances_table,
    refit_table,
    selection_table,
    short_names,
    trials_table,
)


def trial(number: int, *values: float, **params: JsonValue) -> TrialResult:
    folds = tuple(FoldResult(fold=k, run=f"r{k}", value=v, best_epoch=3, seconds=1.5)
                  for k, v in enumerate(values))  # fmt: skip
    return TrialResult(number=number, status="complete", params=params,
                       value=sum(values) / len(values), folds=folds)  # fmt: skip


TRIALS = [
    trial(0, 0.5, 0.6, **{"model.hidden": 8, "training.rate": 0.1}),
    TrialResult(number=1, status="pruned", params={"model.hidden": 4, "training.rate": 0.2}),
    trial(2, 0.7, 0.8, **{"model.hidden": [16, 32], "training.rate": 0.3}),
]


def tried(space: SearchSpace, count: int) -> list[TrialResult]:
    return [
        TrialResult(
            number=t.number, status="complete", params=space.values(t.params), value=t.value
        )
        for t in history(space, count)
    ]


def test_trials_stand_by_their_scores_with_what_was_tried() -> None:
    table = trials_table(TRIALS, "f1", "maximize", 2, chosen=2)
    assert table.columns == ("trial", "", "f1", "±", "folds", "epochs", "seconds", "hidden", "rate")
    assert [row[:2] for row in table.rows] == [(2, "chosen"), (0, "complete"), (1, "pruned")]
    assert table.rows[0][2:] == (
        0.75,
        pytest.approx(0.0707107, abs=1e-6),
        "2/2",
        3,
        "3.0",
        "[16, 32]",
        0.3,
    )
    assert table.rows[2][2:] == (None, None, "0/2", None, None, 4, 0.2)
    worst_first = trials_table(TRIALS, "loss", "minimize", 2)
    assert [row[0] for row in worst_first.rows] == [0, 2, 1]


def test_names_are_as_short_as_they_can_be_told_apart() -> None:
    paths = ["model.name", "model.readout.name", "training.rate"]
    assert short_names(paths) == ["model.name", "readout.name", "rate"]


@pytest.mark.parametrize("space", [NUMBERS, BRANCHES], ids=["numbers", "conditional"])
def test_the_parameter_that_decides_is_found(space: SearchSpace) -> None:
    found = importances(space, tried(space, 40), "maximize")
    assert found.reason is None
    assert next(iter(found.shares)) == "rate"
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.shares.keys() == space.parameters.keys()
    table = importances_table(found)
    assert table.rows[0] == ("rate", found.shares["rate"])
    assert "4 best of 40" in table.note


def test_trials_that_were_given_up_are_none_of_the_best() -> None:
    trials = tried(NUMBERS, 40)
    best = sorted(trials, key=lambda trial: trial.value or 0.0)[-4:]
    pruned = [
        t if t in best else t.model_copy(update={"status": "pruned", "value": None}) for t in trials
    ]
    told = importances(NUMBERS, pruned, "maximize")
    assert told.shares == importances(NUMBERS, trials, "maximize").shares
    fewer = [t for t in pruned if t != best[0]]
    assert importances(NUMBERS, fewer, "maximize").reason is not None


def test_importances_have_a_reason_where_they_can_not_be_known() -> None:
    few = importances(NUMBERS, tried(NUMBERS, 5), "maximize")
    reason = "it takes 8 trials, 4 of them finished, and there are 5 and 5"
    assert (few.shares, few.reason) == ({}, reason)
    told = importances_table(few)
    assert (told.rows, told.note) == ((), f"Not known: {reason}.")
    same = [t.model_copy(update={"value": 0.5}) for t in tried(NUMBERS, 9)]
    assert (
        importances(NUMBERS, same, "maximize").reason == "all finished trials have the same score"
    )


def test_the_choice_is_explained_and_compared() -> None:
    table = selection_table(select(HpoConfig(folds=2), "maximize", TRIALS, {}), "f1")
    assert table.columns[:2] == ("trial 2", "difference in f1")
    assert table.rows[0][:2] == ("less runner-up (trial 0)", pytest.approx(0.2))
    assert "Trial 2 is chosen: none has a better mean score" in table.note
    assert "Nadeau & Bengio 2003" in table.note
    alone = [trial(0, 0.5), trial(1, 0.6)]
    table = selection_table(select(HpoConfig(), "maximize", alone, {}), "f1")
    assert table.rows[0][2:] == (None, None, None)
    assert "too few folds" in table.note


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_every_test_split_stands_beside_cross_validation(direction: str, sign: int) -> None:
    metrics = {"test_a/f1": 0.6, "test_b/f1": 0.5, "test_a/DoS/f1": 1.0, "test_a/loss": 2.0}
    refits = [Refit(seed=0, run="x", metrics=metrics),
              Refit(seed=1, run="y", metrics=metrics | {"test_a/f1": 0.7})]  # fmt: skip
    way = "maximize" if direction == "maximize" else "minimize"
    table = refit_table(TRIALS[2], 2, refits, "f1", way)
    assert [row[0] for row in table.rows] == ["test_a", "test_b"]
    first = dict(zip(table.columns, table.rows[0], strict=True))
    assert first["held-out f1"] == pytest.approx(0.75)
    assert first["test f1"] == pytest.approx(0.65)
    assert first["gap"] == pytest.approx(sign * 0.1)
    low, high = first["gap low"], first["gap high"]
    assert isinstance(low, float) and isinstance(high, float) and low < sign * 0.1 < high
    assert "training.seed=0, 1" in table.note


def test_one_seed_has_no_interval_and_a_missing_metric_is_said() -> None:
    one = refit_table(
        TRIALS[2], 2, [Refit(seed=0, run="x", metrics={"test/f1": 0.6})], "f1", "maximize"
    )
    assert one.rows[0][4:] == (0.6, None, None, pytest.approx(0.15), None, None)
    none = refit_table(TRIALS[2], 2, [Refit(seed=0, run="x", metrics={})], "f1", "maximize")
    assert "have no f1 on tests" in none.note
