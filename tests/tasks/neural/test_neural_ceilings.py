"""Ceilings and normalised scores are right where the truth is known, and undefined where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_sessions import movie_arrays, session_of

from tutelage.tasks.neural.config import NeuralEvaluation
from tutelage.tasks.neural.evaluation.ceilings import (
    Repeated,
    correlation,
    explained,
    normalised_correlation,
    oracle,
    reliability,
    repeated,
)
from tutelage.tasks.neural.evaluation.predictions import Predictions
from tutelage.tasks.neural.evaluation.scores import (
    UnitScores,
    demeaned_correlation,
    interval,
    score_units,
    summarise,
)


def _noisy(repeats: int, noise: float, frames: int = 4000) -> tuple[Repeated, np.ndarray]:
    """Signals of variance 1, noise of a given deviation, and a model that knows the signal."""
    random = np.random.default_rng(0)
    signal = random.normal(size=(frames, 1, 3))
    responses = signal + noise * random.normal(size=(frames, repeats, 3))
    return Repeated(np.repeat(signal, repeats, axis=1), responses), signal


@pytest.mark.parametrize("repeats", [2, 4, 10])
def test_the_reliability_of_a_mean_is_that_of_theory(repeats: int) -> None:
    frames, _ = _noisy(repeats, noise=1.0)
    expected = np.sqrt(1 / (1 + 1 / repeats))
    np.testing.assert_allclose(reliability(frames), expected, atol=0.02)


def test_a_model_that_knows_the_truth_reaches_the_ceilings() -> None:
    frames, signal = _noisy(4, noise=1.5)
    np.testing.assert_allclose(normalised_correlation(frames), 1, atol=0.03)
    np.testing.assert_allclose(explained(frames), 1, atol=0.03)
    assert (oracle(frames) < correlation(signal[:, 0], frames.responses[:, 0])).all()


def test_the_explained_share_of_half_a_model_is_half() -> None:
    random = np.random.default_rng(1)
    known, unknown = random.normal(size=(2, 6000, 1, 2))
    responses = known + unknown + random.normal(size=(6000, 5, 2))
    frames = Repeated(np.repeat(known, 5, axis=1), responses)
    np.testing.assert_allclose(explained(frames), 0.5, atol=0.05)
    np.testing.assert_allclose(normalised_correlation(frames), np.sqrt(0.5), atol=0.03)


def test_units_of_pure_noise_have_no_ceiling_rather_than_a_huge_score() -> None:
    random = np.random.default_rng(3)
    frames = Repeated(random.normal(size=(50, 2, 40)), random.normal(size=(50, 2, 40)))
    undefined = ~np.isfinite(normalised_correlation(frames))
    assert undefined.sum() > 5
    assert not np.isfinite(explained(frames)[undefined]).any()


def test_halves_that_say_the_very_opposite_have_no_ceiling() -> None:
    first = np.random.default_rng(0).normal(size=(2, 1, 1))
    frames = Repeated(np.zeros((2, 2, 1)), np.concatenate([first, -first], axis=1))
    assert np.isnan(reliability(frames)).all()


def _predictions(seed: int = 0, trials: int = 12) -> Predictions:
    session = session_of(movie_arrays(seed, trials=trials))
    rows = np.arange(len(session))
    rates = np.random.default_rng(9).random((len(session), 3)).astype(np.float32) + 0.1
    return Predictions(session, rows, rates, session.responses, session.valid)


def test_repeats_are_found_by_what_was_shown() -> None:
    found = _predictions()
    assert repeated(found) is None
    stimulus = np.array(found.session.stimulus)
    stimulus[100:120] = stimulus[40:60] = stimulus[0:20]
    frames = repeated(replace(found, session=replace(found.session, stimulus=stimulus)))
    assert frames is not None
    assert frames.responses.shape == (20, 3, 3)
    valid, responses = found.session.valid, found.session.responses
    for repeat, start in enumerate((0, 40, 100)):
        rows = slice(start, start + 20)
        expected = np.where(valid[rows], responses[rows], np.nan)
        np.testing.assert_array_equal(frames.responses[:, repeat], expected)
        np.testing.assert_array_equal(frames.rates[:, repeat], found.rates[rows].astype(float))


def test_drifts_earn_nothing_once_blocks_are_demeaned() -> None:
    session = session_of(movie_arrays(0, trials=40, units=2))
    drift = np.repeat(np.random.default_rng(0).normal(size=(40, 1)), 20, axis=0)
    noise = np.random.default_rng(1).normal(size=(800, 2)) * 0.5
    responses = (drift + noise + 5).astype(np.float32)
    found = Predictions(
        session, np.arange(800), (drift + 5).repeat(2, 1).astype(np.float32), responses,
        np.ones((800, 2), np.bool_),
    )  # fmt: skip
    scores = score_units(found, NeuralEvaluation())
    assert scores.columns["corr"].min() > 0.8
    demeaned = demeaned_correlation(found, 50)
    assert not np.isfinite(demeaned).any() or np.abs(demeaned).max() < 0.1


def test_scores_by_kind_of_stimulus_are_those_of_its_frames_alone() -> None:
    found = _predictions()
    kind = np.arange(240) // 60 % 2
    session = replace(found.session, stimulus_type=kind, stimulus_types=("movie", "noise"))
    whole = score_units(replace(found, session=session), NeuralEvaluation())
    rows = np.flatnonzero(kind == 1)
    part = Predictions(session, rows, found.rates[rows], found.responses[rows], found.valid[rows])
    alone = score_units(part, NeuralEvaluation())
    np.testing.assert_allclose(whole.columns["bps_noise"], alone.columns["bps"])


def test_a_mean_is_over_units_and_then_over_sessions() -> None:
    many = UnitScores("a", "x", tuple("abcd"), {"corr": np.array([0.1, 0.1, 0.1, np.nan])})
    few = UnitScores("b", "x", ("a",), {"corr": np.array([0.5])})
    assert summarise([many, few]) == pytest.approx({"corr": 0.3})
    assert summarise([UnitScores("c", "x", ("a",), {"corr": np.array([np.nan])})]) == {}


def test_intervals_cover_the_mean_and_grow_with_the_spread_between_sessions() -> None:
    random = np.random.default_rng(0)

    def sessions(apart: float) -> list[UnitScores]:
        means = 0.4 + apart * np.linspace(-1, 1, 8)
        return [
            UnitScores(str(i), "x", tuple("abcdefghij"), {"corr": random.normal(m, 0.05, 10)})
            for i, m in enumerate(means)
        ]

    narrow, wide = (interval(sessions(apart), "corr", 800, 0.95) for apart in (0.0, 0.2))
    assert narrow is not None and wide is not None
    assert narrow[0] < 0.4 < narrow[1]
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])
    assert interval(sessions(0.1), "bps", 800, 0.95) is None
    assert interval(sessions(0.1), "corr", 0, 0.95) is None
