"""Curves over thresholds are what counting by hand gives, and their bands hold them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc, binary_precision_recall_curve

from tutelage.core.records import Panel
from tutelage.training.score_curves import score_curves


def drawn(score: np.ndarray, truth: np.ndarray, size: int = 20) -> tuple[Panel, Panel]:
    blocks = np.arange(len(truth)) // size
    figure = score_curves("t", {"model": score.astype(np.float32)}, truth, blocks)
    assert figure is not None
    roc, precision = figure.panels
    return roc, precision


@pytest.fixture
def noisy() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = generator.random(400) < 0.3
    return generator.normal(size=400) + truth, truth


def test_what_is_told_apart_is_found_at_no_price() -> None:
    truth = np.arange(100) % 3 == 0
    roc, precision = drawn(truth * 1.0, truth)
    assert roc.lines[0].values == precision.lines[0].values == (1.0, 1.0)
    assert roc.lines[0].at == (0.0, 1.0), "a straight line takes no more than its ends"


def test_what_tells_nothing_finds_nothing_before_everything_alarms() -> None:
    truth = np.arange(100) % 4 == 0
    roc, precision = drawn(np.ones(100), truth)
    assert set(roc.lines[0].values[:-1]) == {0.0} and roc.lines[0].values[-1] == 1.0
    assert set(precision.lines[0].values) == {0.25}


def test_the_curves_are_those_of_torchmetrics(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    score, truth = noisy
    roc, precision = drawn(score, truth)
    preds, target = torch.tensor(score).sigmoid(), torch.tensor(truth).long()
    area = np.trapezoid(np.array(roc.lines[0].values), roc.lines[0].at)
    assert area == pytest.approx(float(binary_auroc(preds, target)), abs=0.01)
    right, found, _ = binary_precision_recall_curve(preds, target)
    for at, value in zip(precision.lines[0].at, precision.lines[0].values, strict=True):
        least = found[found >= at - 1e-9].min()
        assert value == pytest.approx(float(right[found == least].max()), abs=1e-3)


def test_the_band_holds_the_curve_and_narrows_with_more_blocks(
    noisy: tuple[np.ndarray, np.ndarray],
) -> None:
    line = drawn(*noisy)[0].lines[0]
    assert np.min(np.subtract(line.values, line.low)) > -0.03
    assert np.min(np.subtract(line.high, line.values)) > -0.03
    more = drawn(np.tile(noisy[0], 16), np.tile(noisy[1], 16))[0].lines[0]
    assert np.mean(np.subtract(more.high, more.low)) < 0.5 * np.mean(
        np.subtract(line.high, line.low)
    )


def test_rivals_have_no_band_and_one_class_no_curve() -> None:
    truth = np.arange(40) % 2 == 0
    scores = {name: truth.astype(np.float32) for name in ("model", "rule")}
    figure = score_curves("t", scores, truth, np.zeros(40, np.int64))
    assert figure is not None
    assert [bool(line.low) for line in figure.panels[0].lines] == [True, False]
    assert score_curves("t", scores, np.ones(40, np.bool_), np.zeros(40, np.int64)) is None
