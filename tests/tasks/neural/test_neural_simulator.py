"""Simulated recordings are reproducible, and their units are what their truth says."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.tasks.neural.simulator import Simulated, simulate_session, simulated_truth
from tutelage.tasks.neural.simulator.units import LAGS, temporal_kernel

SETTINGS = {"sessions": 2, "seconds": 160, "units": 9, "seed": 3}


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return simulate_session(SETTINGS, 0)


def test_a_recording_is_a_function_of_its_settings(simulated: Simulated) -> None:
    again = simulate_session(SETTINGS, 0).session
    for name in ("stimulus", "responses", "expected", "behaviour", "part"):
        np.testing.assert_array_equal(getattr(again, name), getattr(simulated.session, name))
    other = simulate_session(SETTINGS | {"seed": 4}, 0).session
    assert (other.stimulus != simulated.session.stimulus).any()
    assert simulated_truth(SETTINGS, 0) == simulated.truth
    assert simulate_session(SETTINGS, 1).session.animal != simulated.session.animal


def test_spikes_are_poisson_around_the_truth(simulated: Simulated) -> None:
    session = simulated.session
    assert session.expected is not None
    expected, spikes = session.expected.astype(float), session.responses
    rates = [unit.rate_hz for unit in simulated.truth]
    np.testing.assert_allclose(expected.mean(0) * 30, rates, rtol=0.01)
    np.testing.assert_allclose(spikes.mean(0), expected.mean(0), rtol=0.05)
    assert ((spikes - expected) ** 2 / expected).mean() == pytest.approx(1, abs=0.05)  # Fano


def test_test_movies_are_repeated_and_never_train(simulated: Simulated) -> None:
    session = simulated.session
    movies = session.stimulus.reshape(-1, 120 * 28 * 28)
    part = session.part[::120] if session.part is not None else np.zeros(0)
    tests = movies[part == 2]
    unique, counts = np.unique(tests, axis=0, return_counts=True)
    assert (counts == 4).all()
    assert len(unique) == 2
    assert not (movies[part != 2][:, None, :1000] == unique[None, :, :1000]).all(-1).any()
    assert {0, 1, 2} == set(part.tolist())


def test_receptive_fields_lie_where_the_truth_says(simulated: Simulated) -> None:
    """Spike-triggered averages of linear units, from noise, at the true latency."""
    session = simulated.session
    assert session.expected is not None and session.stimulus_type is not None
    noise = np.flatnonzero(session.stimulus_type == 1)
    frames = session.stimulus[:, 0].astype(np.float64) - 127
    for unit, truth in enumerate(simulated.truth):
        if truth.kind != "ln":
            continue
        late = noise[noise % 120 >= LAGS]
        rates = session.expected[late, unit] - session.expected[late, unit].mean()
        average = np.tensordot(rates, frames[late - round(truth.latency)], axes=1)
        strong = np.argwhere(np.abs(average) > 0.6 * np.abs(average).max())
        np.testing.assert_allclose(strong.mean(axis=0), (truth.y, truth.x), atol=2)


def test_a_kernel_peaks_at_its_latency() -> None:
    for latency in (1.0, 2.2, 3.4):
        assert temporal_kernel(latency).argmax() == round(latency)


def test_arousal_multiplies_rates_by_the_gain(simulated: Simulated) -> None:
    session = simulated.session
    assert session.expected is not None and session.behaviour is not None
    pupil = session.behaviour[:, 0]
    high, low = (np.flatnonzero(pupil > 0.8), np.flatnonzero(pupil < -0.8))
    ratio = np.log(session.expected[high].mean(0) / session.expected[low].mean(0))
    gains = [unit.gain for unit in simulated.truth]
    assert np.corrcoef(ratio, gains)[0, 1] > 0.8
