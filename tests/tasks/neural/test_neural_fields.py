"""Receptive fields are found where they are, from spikes and from a model's gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from made_sessions import movie_arrays, session_of

from tutelage.core.overrides import build_config
from tutelage.tasks.neural.batch import SessionChunk
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.evaluation.fields import (
    field_shape,
    model_fields,
    most_exciting,
    spike_triggered,
)
from tutelage.tasks.neural.evaluation.plots import shapes
from tutelage.tasks.neural.evaluation.recovery import errors
from tutelage.tasks.neural.modules import NeuralModule, build_module
from tutelage.tasks.neural.preprocessing import Preprocessing, SessionCard
from tutelage.tasks.neural.simulator.units import UnitTruth, _filter, temporal_kernel

GRID = np.mgrid[:28, :28].astype(np.float64)


@pytest.mark.parametrize("orientation", [0.0, 30.0, 75.0, 120.0, 165.0])
def test_the_shape_of_a_known_field_is_measured(orientation: float) -> None:
    truth = UnitTruth("a", "simple", 15.0, 11.5, 2.5, orientation, 6.5, 2.3, 0.0, 10.0)
    field = temporal_kernel(2.3)[:, None, None] * _filter(truth, GRID, 0.4)
    found = field_shape(-field[None])  # the sign means nothing
    centre, degrees, frames = errors(truth, found)
    assert centre < 0.5 and degrees < 3 and frames < 0.3
    assert found.second == 0


def test_a_spike_triggered_average_is_what_preceded_spikes() -> None:
    session = session_of(movie_arrays(0, trials=60))
    frames = session.stimulus[:, 0].astype(np.float64)
    drive = np.roll(frames[:, 2, 5], 2)  # this pixel, two frames before
    spikes = np.stack([drive > 200, drive < 50, frames[:, 0, 0] > 128], axis=1)
    told = replace(session, responses=spikes.astype(np.float32), valid=np.ones_like(session.valid))
    fields = spike_triggered(told, np.arange(len(told)), lags=4)
    assert fields.shape == (3, 4, 8, 8)
    for unit, (place, sign) in enumerate([((2, 2, 5), 1), ((2, 2, 5), -1), ((0, 0, 0), 1)]):
        assert np.unravel_index(np.abs(fields[unit]).argmax(), (4, 8, 8)) == place
        assert np.sign(fields[unit][place]) == sign
    one = np.flatnonzero((np.arange(len(told)) % 20 >= 3) & spikes[:, 0])
    every = np.flatnonzero(np.arange(len(told)) % 20 >= 3)
    direct = frames[one - 2].mean(0) - frames[every - 2].mean(0)
    np.testing.assert_allclose(fields[0, 2], direct, atol=1e-6)


def test_spike_triggered_energy_sees_what_an_average_does_not() -> None:
    session = session_of(movie_arrays(1, trials=60))
    far = np.abs(session.stimulus[:, 0, 4, 3].astype(np.float64) - 127.5) > 100
    spikes = np.repeat(far[:, None], 3, axis=1).astype(np.float32)
    told = replace(session, responses=spikes, valid=np.ones_like(session.valid))
    energy = spike_triggered(told, np.arange(len(told)), 2, of="energy")
    assert np.unravel_index(energy[0].argmax(), (2, 8, 8)) == (0, 4, 3)


def _module(static: bool) -> tuple[NeuralModule, SessionChunk]:
    settings = ("model.frontend={name: conv, lags: 5, channels: 3, kernel: 3}",)
    config = build_config(NeuralConfig, [], () if static else settings)
    size = 16
    card = SessionCard("s", "a", ("u", "v"), size, size, (1.0, 2.0))
    torch.manual_seed(0)
    learned = Preprocessing({"s": card}, static, 127.5, 60.0)
    module = build_module(config.model, config.training, learned).eval()
    context = 0 if static else config.model.context
    stimulus = torch.randint(0, 256, (12, 1, context + 1, size, size), dtype=torch.uint8)
    chunk = SessionChunk(
        session="s",
        stimulus=stimulus,
        responses=torch.zeros(12, 1, 2),
        valid=torch.ones(12, 1, 2, dtype=torch.bool),
        behaviour=None,
        past=torch.zeros(12, context, 2),
        frames=torch.arange(12),
    )
    return module, chunk


@dataclass
class Energy:
    """A unit that is the energy of a quadrature pair, and one that is its first filter alone."""

    pair: torch.Tensor

    def rates(self, chunk: SessionChunk) -> torch.Tensor:
        seen = chunk.stimulus[:, 0].float() - 127.5
        even, odd = (torch.einsum("blhw,lhw->b", seen, each) for each in self.pair)
        return torch.stack([(even**2 + odd**2).sqrt(), even.relu()], dim=1)[:, None]


@pytest.mark.parametrize("orientation", [20.0, 110.0])
def test_the_axes_of_a_complex_cell_span_its_quadrature_pair(orientation: float) -> None:
    truth = UnitTruth("a", "complex", 12.0, 15.5, 2.5, orientation, 6.5, 1.7, 0.0, 10.0)
    kernel = temporal_kernel(truth.latency)[::-1, None, None]  # the oldest frame first
    pair = np.stack([kernel * _filter(truth, GRID, phase) for phase in (0.0, np.pi / 2)])
    _, chunk = _module(static=False)
    shape = (150, 1, len(kernel), 28, 28)
    seen = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(2))
    model = Energy(torch.from_numpy(pair).float())
    fields = model_fields(model, replace(chunk, stimulus=seen.to(torch.uint8)), [0, 1])  # type: ignore[arg-type]
    complex_cell, linear = (field_shape(field) for field in fields)
    centre, degrees, frames = errors(truth, complex_cell)
    assert centre < 0.3 and degrees < 2 and frames < 0.3
    assert complex_cell.second > 0.6
    assert linear.second < 1e-6
    axes = fields[0][:, ::-1].reshape(2, -1)
    inside = np.linalg.lstsq(axes.T, pair.reshape(2, -1).T, rcond=None)[1]
    assert (inside < 1e-6 * (pair.reshape(2, -1) ** 2).sum(axis=1)).all()


@pytest.mark.parametrize("static", [True, False])
def test_a_models_field_points_where_its_rate_moves_most(static: bool) -> None:
    module, chunk = _module(static)
    fields = model_fields(module, chunk, [0, 1])
    assert fields.shape == (2, 2, chunk.context + 1, 16, 16)
    norms = (fields**2).sum(axis=(2, 3, 4))
    np.testing.assert_allclose(norms[:, 0], 1, rtol=1e-5)
    assert (norms[:, 1] < 1).all()
    step = torch.from_numpy(fields[0, 0][::-1].copy()).float()[None, None] * 20
    other = torch.randn_like(step)
    other *= 20 / other.norm()

    def moved(by: torch.Tensor) -> float:
        with torch.inference_mode():
            rates = [
                module.rates(replace(chunk, stimulus=chunk.stimulus.float() + sign * by))[..., 0]
                for sign in (1, -1)
            ]
        return float((rates[0] - rates[1]).abs().mean())

    assert moved(step) > 2 * moved(other)


@pytest.mark.parametrize("static", [True, False])
def test_the_most_exciting_stimulus_excites_more_than_any_that_was_shown(static: bool) -> None:
    module, chunk = _module(static)
    found = most_exciting(module, chunk, 1, steps=15)
    assert found.shape == (chunk.context + 1, 16, 16)
    assert found.min() >= 0
    assert found.max() <= 255
    image = torch.from_numpy(found[::-1].copy()).float()[None, None]
    with torch.inference_mode():
        shown = module.rates(chunk)[:, 0, 1].max()
        alone = replace(
            chunk, stimulus=image, responses=chunk.responses[:1], valid=chunk.valid[:1],
            past=chunk.past[:1], frames=chunk.frames[:1],
        )  # fmt: skip
        assert module.rates(alone)[0, 0, 1] > shown


def test_a_field_of_nothing_has_no_shape() -> None:
    blank = np.zeros((2, 2, 3, 8, 8))
    blank[1, 0, 1, 4, 4] = 1
    none, some = shapes(blank)
    assert none is None
    assert some is not None and some.latency == 1
