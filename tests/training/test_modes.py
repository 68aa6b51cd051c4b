"""Modes fill the template's hooks: normal as it stands, autoencoder with a threshold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_task import (
    Batch,
    ReconstructorConfig,
    TinyConfig,
    TinyModule,
    TinyTask,
    crash_at,
    same_bits,
    sample,
    tiny,
    train,
    weights,
)

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RunFailedError, UnknownNameError
from tutelage.core.migrations import migrate_config
from tutelage.core.overrides import build_config
from tutelage.core.store import METRICS, RunStore
from tutelage.report.curves import read_history
from tutelage.task import ModelEntry, SupportsAutoencoder, Task
from tutelage.training.checkpoint_files import list_checkpoints, read_marker
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
        scores = sorted(module.errors((x[y == 0], y[y == 0])).tolist())
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


PRETRAINED = ("training.accelerator=cpu", "training.max_epochs=4", "mode=autoencoder")


def test_reconstruction_trains_the_first_epochs_and_the_task_the_rest(tmp_path: Path) -> None:
    for setting, epochs in (
        ("mode.pretraining_fraction=0.5", 2),
        ("mode.pretraining_fraction=0.25", 1),
    ):
        run = train(tmp_path, *PRETRAINED, setting).run
        history = read_history(run.path / METRICS)
        steps = [step for step, _ in history["epoch/reconstruction"]]
        assert steps == [5 * (epoch + 1) for epoch in range(epochs)]  # 70 samples by 16
        assert [step for step, _ in history["epoch/positives"]] == [
            5 * (e + 1) for e in range(epochs, 4)
        ]
        assert not any(name.startswith("objective") for name in weights(run))


def test_the_best_weights_and_early_stopping_look_at_the_task_alone(tmp_path: Path) -> None:
    settings = ("mode.pretraining_fraction=0.75", "training.max_epochs=8")
    patient = ("training.early_stopping.patience=1", "training.checkpoints.keep_best=8")
    run = train(tmp_path, *PRETRAINED, *settings, *patient).run
    ranked = [read_marker(path) for path in list_checkpoints(run.checkpoints)]
    assert min(marker.step for marker in ranked if marker and marker.metric is not None) == 5 * 7


@pytest.mark.parametrize("crash", [7, 12])  # in reconstruction, and after it
def test_a_broken_pretraining_ends_with_the_bits_of_the_whole_one(
    tmp_path: Path, crash: int
) -> None:
    settings = (*PRETRAINED, "training.checkpoints.every_n_steps=2")
    whole = train(tmp_path / "whole", *settings).run
    settings = (*settings, "run.policy=resume_if_incomplete")
    with pytest.raises(RunFailedError):
        train(tmp_path, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    resumed = train(tmp_path, *settings)
    assert resumed.origin == "resumed" and same_bits(resumed.run, whole)


def test_a_batch_size_for_pretraining_suits_both_objectives(tmp_path: Path) -> None:
    probed = tmp_path / "probed"

    def look(module: TinyModule, batch: Batch) -> None:
        if module._trainer is None:  # in the child that measures
            with probed.open("a") as file:
                file.write(f"{module.objective is None}\n")

    auto = ("training.batch_size=auto", "training.batch_sizing.max_size=16")
    train(tmp_path, *PRETRAINED, *auto, on_step=look)
    lines = probed.read_text().split()
    assert set(lines) == {"True", "False"} and lines == sorted(lines)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("mode.threshold_quantile=0.9",), "'classifier' scores no anomalies"),
        (("model=reconstructor", "mode.pretraining_fraction=0.3"), "no other objective"),
    ],
)
def test_settings_that_do_nothing_for_the_model_are_refused(
    tmp_path: Path, settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(tmp_path, *PRETRAINED, *settings)


def test_a_configuration_read_from_its_file_is_not_refused_for_its_defaults(tmp_path: Path) -> None:
    first = train(tmp_path, *FAST, "mode=autoencoder", "model=reconstructor").run
    settings = migrate_config(first.settings, first.path)
    again = build_config(TinyConfig, [settings], ("run.policy=force_new",))
    assert same_bits(launch(TinyTask(), again, RunStore(tmp_path)).run, first)


def test_a_mode_is_a_trainer_that_keeps_the_templates_order() -> None:
    for trainer in map(MODES.get, MODES):
        assert issubclass(trainer, BaseTrainer)
        assert "train" not in vars(trainer)
