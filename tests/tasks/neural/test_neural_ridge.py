"""The ridge is the one of the textbook, in either form, each unit with its own strength."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.tasks.neural.evaluation.ridge import (
    STRENGTHS,
    ridge_predictions,
    standardised,
)


@pytest.mark.parametrize(("rows", "features"), [(60, 15), (30, 80)])
def test_predictions_are_those_of_the_normal_equations(rows: int, features: int) -> None:
    random = np.random.default_rng(0)
    x, held, new = (random.normal(size=(n, features)).astype(np.float32) for n in (rows, 40, 10))
    weights = random.normal(size=(features, 3)) * [1.0, 0.1, 0.0]
    y, y_held = (
        (each @ weights + random.normal(size=(len(each), 3))).astype(np.float32)
        for each in (x, held)
    )
    found, errors = ridge_predictions((x, y), (held, y_held), new)
    values = np.linalg.eigvalsh(
        x.astype(float) @ x.T if rows <= features else x.T.astype(float) @ x
    )
    scale = values[values > 1e-6 * values[-1]].mean()
    for unit in range(3):
        mean = y[:, unit].mean()
        tried = []
        for strength in STRENGTHS:
            ridge = x.T.astype(float) @ x + strength * scale * np.eye(features)
            w = np.linalg.solve(ridge, x.T @ (y[:, unit] - mean))
            tried.append((((held @ w + mean - y_held[:, unit]) ** 2).mean(), new @ w + mean))
        error, expected = min(tried, key=lambda pair: pair[0])
        assert errors[unit] == pytest.approx(error, rel=1e-3)
        np.testing.assert_allclose(found[:, unit], expected, atol=2e-3)


def test_a_unit_without_a_response_is_predicted_by_nothing() -> None:
    (x,) = standardised(np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32))
    y = np.full((30, 2), np.nan, np.float32)
    y[:, 0] = x[:, 0]
    found, _ = ridge_predictions((x, y), (x, y), x)
    np.testing.assert_allclose(found[:, 0], x[:, 0], atol=0.05)
    np.testing.assert_array_equal(found[:, 1], 0)


def test_features_are_scaled_by_training_rows_alone() -> None:
    train, other = (
        np.array([[0.0, 5.0], [2.0, 5.0]], np.float32),
        np.array([[3.0, 6.0]], np.float32),
    )
    scaled, moved = standardised(train, other)
    np.testing.assert_allclose(scaled[:, 0], [-1, 1])
    assert moved[0, 0] == 2
