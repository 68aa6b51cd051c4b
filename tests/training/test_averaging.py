"""Averages of the weights are those computed by hand, and they are what is evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_task import Batch, TinyModule, crash_at, same_bits, train, weights
from torch import Tensor

from tutelage.core.errors import RunFailedError
from tutelage.core.store import METRICS
from tutelage.report.curves import read_history
from tutelage.training.checkpoints import CheckpointManager, TutelageCheckpointIO

FAST = ("training.accelerator=cpu", "training.max_epochs=2", "training.learning_rate=0.01")
NAME = "network.0.weight"


class Trajectory:
    """The first layer's weights before each step."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []

    def __call__(self, module: TinyModule, batch: Batch) -> None:
        self.weights.append(module.state_dict()[NAME].clone())


def last_weights(path: Path) -> tuple[Tensor, Tensor]:
    """The averaged and the plain weights of the newest checkpoint."""
    newest = CheckpointManager.find_valid(path)
    assert newest is not None
    content = TutelageCheckpointIO().load_checkpoint(newest)
    averaged, plain = content["state_dict"], content["current_model_state"]
    assert isinstance(averaged, dict) and isinstance(plain, dict)
    return averaged[NAME], plain[NAME]


def test_the_exponential_average_is_the_one_computed_by_hand(tmp_path: Path) -> None:
    seen = Trajectory()
    settings = ("training.averaging.name=ema", "training.averaging.decay=0.7")
    run = train(tmp_path, *FAST, *settings, on_step=seen).run
    averaged, plain = last_weights(run.checkpoints)
    after = [*seen.weights[1:], plain]
    expected = after[0]
    for value in after[1:]:
        expected = 0.7 * expected + 0.3 * value
    torch.testing.assert_close(averaged, expected)
    assert not torch.allclose(averaged, plain)


def test_the_plain_average_covers_the_runs_last_part(tmp_path: Path) -> None:
    seen = Trajectory()
    settings = ("training.averaging.name=swa", "training.averaging.start_fraction=0.6")
    run = train(tmp_path, *FAST, *settings, on_step=seen).run
    averaged, plain = last_weights(run.checkpoints)
    after = [*seen.weights[1:], plain]  # of 10 steps, the last 4 count
    torch.testing.assert_close(averaged, torch.stack(after[6:]).mean(0))


def test_the_plain_averages_part_is_of_the_steps_that_are_taken(tmp_path: Path) -> None:
    seen = Trajectory()
    settings = ("training.averaging.name=swa", "training.averaging.start_fraction=0.5")
    run = train(tmp_path, *FAST, *settings, "training.max_steps=8", on_step=seen).run
    averaged, plain = last_weights(run.checkpoints)
    after = [*seen.weights[1:], plain]
    torch.testing.assert_close(averaged, torch.stack(after[4:8]).mean(0))


def test_the_averaged_weights_are_what_is_saved_and_scored(tmp_path: Path) -> None:
    settings = ("training.averaging.name=ema", "training.averaging.decay=0.9")
    averaged = train(tmp_path, *FAST, *settings).run
    plain = train(tmp_path, *FAST).run
    best = CheckpointManager.find_valid(averaged.checkpoints)
    assert best is not None and "best" not in best.name
    saved = weights(averaged)[NAME]
    torch.testing.assert_close(saved, last_weights(averaged.checkpoints)[0])
    assert not torch.equal(saved, weights(plain)[NAME])
    assert averaged.metrics["test/loss"] != plain.metrics["test/loss"]


def test_until_the_plain_average_starts_validation_sees_the_weights_themselves(
    tmp_path: Path,
) -> None:
    late = ("training.averaging.name=swa", "training.averaging.start_fraction=0.99")
    history = [
        read_history(train(tmp_path, *FAST, *extra).run.path / METRICS)["val/loss"]
        for extra in (late, ())
    ]
    assert history[0][0] == history[1][0]  # after the first epoch nothing is averaged yet


def test_a_run_that_ends_before_averaging_starts_keeps_its_weights(tmp_path: Path) -> None:
    stop = ("training.early_stopping.patience=1", "training.early_stopping.min_delta=9")
    longer = ("training.max_epochs=9", "training.scheduler.name=constant")
    late = ("training.averaging.name=swa", "training.averaging.start_fraction=0.9")
    swa = train(tmp_path, *FAST, *longer, *stop, *late).run
    plain = train(tmp_path, *FAST, *longer, *stop).run
    assert same_bits(swa, plain)


@pytest.mark.parametrize("name", ["ema", "swa"])
@pytest.mark.parametrize("crash", [3, 8])
def test_averages_resume_to_the_same_bits(tmp_path: Path, name: str, crash: int) -> None:
    settings = (
        *FAST,
        f"training.averaging.name={name}",
        "training.averaging.start_fraction=0.5",
        "training.checkpoints.every_n_steps=2",
        "run.policy=resume_if_incomplete",
    )
    whole = train(tmp_path / "whole", *settings).run
    with pytest.raises(RunFailedError):
        train(tmp_path, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    resumed = train(tmp_path, *settings)
    assert resumed.origin == "resumed"
    assert same_bits(resumed.run, whole)
