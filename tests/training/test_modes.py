"""Modes fill the template's hooks: normal as it stands, autoencoder with a threshold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_task import ReconstructorConfig, TinyModule, TinyTask, sample, tiny, train, weights

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.core.store import RunStore
from tutelage.task import ModelEntry, SupportsAutoencoder, Task
from tutelage.training.launch import launch
from tutelage.training.modes import MODES, AutoencoderTrainer, BaseTrainer, NormalTrainer

FAST = ("training.accelerator=cpu", "training.max_epochs=2")
AUTOENCODER = (*FAST, "mode=autoencoder", "model=reconstructor")


def rebuilt(home: Path, *settings: str) -> TinyModule:
    """A finished run's module, rebuilt from its weights alone."""
    run = train(home, *settings).run
    module = TinyModule(tiny(*settings), [0.0] * 8, lambda module, batch: None)
    module.load_state_dict(weights(run))
    return module.eval()


def test_modes_are_found_by_name() -> None:
    assert MODES.get("normal") is NormalTrainer
    assert MODES.get("autoencoder") is AutoencoderTrainer
    with pytest.raises(UnknownNameError, match="Did you mean 'normal'"):
        MODES.get("norml")


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_the_threshold_is_a_quantile_of_held_out_normal_scores(
    tmp_path: Path, quantile: float
) -> None:
    module = rebuilt(tmp_path, *AUTOENCODER, f"mode.threshold_quantile={quantile}")
    assert isinstance(tiny(*AUTOENCODER).model, ReconstructorConfig)
    x, y = sample(40, 2)
    with torch.inference_mode():
        scores = sorted(module.anomaly_scores((x[y == 0], y[y == 0])).tolist())
    place = quantile * (len(scores) - 1)
    below, share = int(place), place - int(place)
    naive = scores[below] + share * (scores[min(below + 1, len(scores) - 1)] - scores[below])
    assert float(module.threshold) == pytest.approx(naive, rel=1e-5)


def test_an_autoencoder_trains_on_normal_samples_alone(tmp_path: Path) -> None:
    labels: list[int] = []
    train(tmp_path, *AUTOENCODER, on_step=lambda module, batch: labels.extend(batch[1].tolist()))
    assert set(labels) == {0}
    assert len(labels) == 2 * int((sample(70, 1)[1] == 0).sum())


def test_the_normal_mode_sees_every_sample_and_sets_no_threshold(tmp_path: Path) -> None:
    labels: list[int] = []
    run = train(tmp_path, *FAST, on_step=lambda module, batch: labels.extend(batch[1].tolist())).run
    assert len(labels) == 140 and set(labels) == {0, 1}
    assert float(weights(run)["threshold"]) == 0.5


def test_a_task_without_normal_data_is_refused_before_training(tmp_path: Path) -> None:
    members = {name: value for name, value in vars(TinyTask).items() if name != "normal_data"}
    promises = {"classifier": ModelEntry("one hidden layer", ("normal", "autoencoder"))}
    bare = type("Bare", (Task,), members | {"models": promises})
    task: Task[RunConfig] = bare()
    assert not isinstance(task, SupportsAutoencoder)
    with pytest.raises(ConfigError, match="has no autoencoder"):
        launch(task, tiny(*FAST, "mode=autoencoder"), RunStore(tmp_path))


def test_a_mode_is_a_trainer_that_keeps_the_templates_order() -> None:
    for trainer in map(MODES.get, MODES):
        assert issubclass(trainer, BaseTrainer)
        assert "train" not in vars(trainer)
