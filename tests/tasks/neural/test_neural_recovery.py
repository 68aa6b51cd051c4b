"""A trained model tells the truth about simulated units: centre, orientation, latency and gain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tutelage.core.overrides import build_config
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.evaluation.plots import fields_of, shapes, windows
from tutelage.tasks.neural.modules import NeuralModule, build_module
from tutelage.tasks.neural.simulator import UnitTruth

SETTINGS = (
    "data.simulated_sessions=1",
    "data.simulated_seconds=200",
    "data.simulated_units=6",
    "model.frontend={name: conv, lags: 6, channels: 8, kernel: 11, stride: 2}",
    "model.convnet={channels: [16], kernels: [3], pools: [1]}",
    "model.modulator.name=film",
)
EPOCHS = 11
Trained = tuple[NeuralModule, MultiDatasetDM, tuple[UnitTruth, ...]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    config = build_config(NeuralConfig, [], SETTINGS)
    data = MultiDatasetDM(config, tmp_path_factory.mktemp("cache"))
    data.batch_size = 16
    data.setup("fit")
    torch.manual_seed(0)
    module = build_module(config.model, config.training, data.learned).train()
    data.fit_module(module)
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
    return module.eval(), data, data.truth(0)


def test_fields_lie_where_they_are_and_prefer_what_they_prefer(trained: Trained) -> None:
    module, data, truth = trained
    seen = [unit for unit, true in enumerate(truth) if true.kind != "complex"]
    for unit, found in zip(seen, shapes(fields_of(module, data, 0, seen)), strict=True):
        true = truth[unit]
        assert (found.y, found.x) == pytest.approx((true.y, true.x), abs=1.0)
        assert found.latency == pytest.approx(true.latency, abs=0.4)
        if true.orientation is not None:
            apart = abs(found.orientation - true.orientation) % 180
            assert min(apart, 180 - apart) < 12


def test_gains_are_those_of_arousal(trained: Trained) -> None:
    module, data, truth = trained
    chunk = windows(data, 0)
    card = data.learned.sessions[chunk.session]
    rates = []
    for arousal in (1.0, -1.0):
        told = card.standardised(np.array([arousal, 0.5 * arousal], np.float32))
        assert chunk.behaviour is not None
        behaviour = torch.from_numpy(told).expand_as(chunk.behaviour)
        with torch.inference_mode():
            rates.append(module.rates(replace(chunk, behaviour=behaviour)).mean(dim=(0, 1)))
    gains = (torch.log(rates[0] / rates[1]) / 2).numpy()
    expected = np.array([unit.gain for unit in truth])
    assert np.corrcoef(gains, expected)[0, 1] > 0.8
    assert np.abs(gains - expected).max() < 0.2
