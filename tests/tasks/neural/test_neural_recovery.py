"""A trained model tells the truth about simulated units: centre, orientation, latency and gain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tutelage.core.overrides import build_config
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.evaluation.plots import fields_of, shapes, windows
from tutelage.tasks.neural.evaluation.recovery import errors
from tutelage.tasks.neural.modules import NeuralModule, build_module
from tutelage.tasks.neural.simulator import UnitTruth

pytestmark = pytest.mark.system

SETTINGS = (
    "data.simulated_sessions=1",
    "data.simulated_seconds=240",
    "data.simulated_units=6",
    "model.frontend={name: conv, lags: 7, channels: 8, pairs: 8, kernel: 11, stride: 2}",
    "model.convnet={channels: [16], kernels: [3], pools: [1]}",
    "model.modulator.name=film",
)
EPOCHS = 14
Double = NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A model, what it was trained on, and how far its fields were off before and are now."""

    module: NeuralModule
    data: MultiDatasetDM
    truth: tuple[UnitTruth, ...]
    before: Double
    after: Double
    second: Double

    def of(self, *kinds: str) -> list[bool]:
        return [unit.kind in kinds for unit in self.truth]


def off(module: NeuralModule, data: MultiDatasetDM) -> tuple[Double, Double]:
    """Return (N, 3) errors in pixels, degrees and frames, and (N,) strengths of second axes."""
    truth = data.truth(0)
    found = [s for s in shapes(fields_of(module.eval(), data, 0, range(len(truth)))) if s]
    far = [errors(*pair) for pair in zip(truth, found, strict=True)]
    return np.array(far), np.array([shape.second for shape in found])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    config = build_config(NeuralConfig, [], SETTINGS)
    data = MultiDatasetDM(config, tmp_path_factory.mktemp("cache"))
    data.batch_size = 16
    data.setup("fit")
    torch.manual_seed(0)
    module = build_module(config.model, config.training, data.learned)
    data.fit_module(module)
    before, _ = off(module, data)
    module.train()
    loader = data.train_dataloader()
    optimizer = torch.optim.AdamW(module.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 4e-3, total_steps=EPOCHS * len(loader) + 1
    )
    for _ in range(EPOCHS):
        for batch in loader:
            optimizer.zero_grad()
            module.step(batch)["loss"].backward()
            optimizer.step()
            schedule.step()
    return Trained(module, data, data.truth(0), before, *off(module, data))


def test_fields_lie_where_they_are_and_prefer_what_they_prefer(trained: Trained) -> None:
    seen = trained.of("ln", "simple")
    pixels, degrees, frames = trained.after[seen].T
    assert pixels.max() < 0.8 and np.nanmax(degrees) < 8 and frames.max() < 0.3
    untrained = trained.before[seen].T  # what such margins would say of no knowledge at all
    assert untrained[0].min() > 1.2 and np.nanmax(untrained[1]) > 20 and untrained[2].max() > 0.6


def test_a_complex_cell_is_an_energy_of_two_filters_and_others_are_one(trained: Trained) -> None:
    complex_cells = trained.of("complex")
    assert trained.second[complex_cells].min() > 0.3
    assert trained.second[trained.of("ln", "simple")].max() < 0.1
    best = trained.after[complex_cells][0]  # the one that these few spikes tell of
    assert best[0] < 0.8 and best[1] < 12 and best[2] < 0.8
    assert trained.before[complex_cells][0][0] > 3


def test_gains_are_those_of_arousal(trained: Trained) -> None:
    chunk = windows(trained.data, 0)
    card = trained.data.learned.sessions[chunk.session]
    rates = []
    for arousal in (1.0, -1.0):
        told = card.standardised(np.array([arousal, 0.5 * arousal], np.float32))
        assert chunk.behaviour is not None
        behaviour = torch.from_numpy(told).expand_as(chunk.behaviour)
        with torch.inference_mode():
            expected = trained.module.rates(replace(chunk, behaviour=behaviour))
        rates.append(expected.mean(dim=(0, 1)))
    gains = (torch.log(rates[0] / rates[1]) / 2).numpy()
    truth = np.array([unit.gain for unit in trained.truth])
    assert np.corrcoef(gains, truth)[0, 1] > 0.8
    assert np.abs(gains - truth).max() < 0.2
