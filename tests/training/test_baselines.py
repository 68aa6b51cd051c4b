"""A model that a rule equals says so."""

from __future__ import annotations

import pytest

from tutelage.core.records import Evaluation
from tutelage.training.baselines import no_better


def said(model: float, headline: str = "f1", **rules: float) -> tuple[str, ...]:
    baselines = {name: {f"test/{headline}": value} for name, value in rules.items()}
    metrics = {f"test/a/{headline}": 0.0, f"test/{headline}": model, f"unknown/{headline}": 0.0}
    return no_better(Evaluation(metrics=metrics, baselines=baselines), headline)


@pytest.mark.parametrize("rule", [0.5, 0.75])
def test_a_rule_that_is_as_good_is_named_with_its_score(rule: float) -> None:
    (found,) = said(0.5, always=rule, never=0.1)
    assert found == f"f1 of 0.5000 on test is no better than that of always ({rule:.4f})"


def test_nothing_is_said_of_a_model_that_beats_them_or_has_none_beside_it() -> None:
    assert said(0.5, always=0.4) == said(0.5) == ()
    assert no_better(Evaluation(baselines={"always": {"test/f1": 1.0}}), "f1") == ()


def test_less_of_a_loss_is_better() -> None:
    assert said(0.5, "loss", mean=0.6) == ()
    assert said(0.5, "loss", mean=0.4)
