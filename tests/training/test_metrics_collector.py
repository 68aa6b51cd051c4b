"""Metrics are true means, their file survives resuming, and loggers get the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_task import Batch, TinyModule, crash_at, sample, train

from tutelage.core.errors import RunFailedError
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.report.curves import read_history
from tutelage.training.metrics import COLUMNS

FAST = ("training.accelerator=cpu",)


class Seen:
    """What each training step saw: its loss before the step, and its size."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.sizes: list[int] = []

    def __call__(self, module: TinyModule, batch: Batch) -> None:
        state = torch.get_rng_state()
        averages = {name: value.clone() for name, value in module.named_buffers()}
        self.losses.append(float(module.loss(batch).detach()))
        module.load_state_dict(averages, strict=False)
        torch.set_rng_state(state)  # the step itself draws the same dropout
        self.sizes.append(len(batch[1]))

    def mean(self, first: int, last: int) -> float:
        pairs = list(zip(self.losses, self.sizes, strict=True))[first:last]
        return sum(loss * n for loss, n in pairs) / sum(n for _, n in pairs)


def rows(run: Run) -> list[list[str]]:
    """The metrics file without the seconds."""
    lines = (run.path / METRICS).read_text().splitlines()
    return [line.split(",")[:-1] for line in lines]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_epochs_mean_weighs_each_batch_by_its_samples(tmp_path: Path, accumulate: int) -> None:
    seen = Seen()
    run = train(tmp_path, *FAST, f"training.accumulate={accumulate}", on_step=seen).run
    assert seen.sizes == [16, 16, 16, 16, 6] * 3
    epochs = [value for _, value in read_history(run.path / METRICS)["epoch/loss"]]
    expected = [seen.mean(0, 5), seen.mean(5, 10), seen.mean(10, 15)]
    assert epochs == pytest.approx(expected, rel=1e-6)
    assert epochs[0] != pytest.approx(sum(seen.losses[:5]) / 5, rel=1e-4)  # the plain mean differs


def test_every_scalar_that_a_step_returns_is_kept(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.max_epochs=1").run
    history = read_history(run.path / METRICS)
    share = float(sample(70, 1)[1].float().mean())
    assert history["epoch/positives"] == [(5, pytest.approx(share, rel=1e-6))]
    assert {"train/loss", "val/loss", "val/accuracy", "learning_rate"} < history.keys()


def test_rows_come_every_n_optimiser_steps_and_at_each_epochs_end(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.log_every_n_steps=2").run
    steps = [step for step, _ in read_history(run.path / METRICS)["train/loss"]]
    assert steps == [2, 4, 5, 7, 9, 10, 12, 14, 15]
    slow = train(tmp_path, *FAST, "training.log_every_n_steps=2", "training.accumulate=2").run
    steps = [step for step, _ in read_history(slow.path / METRICS)["train/loss"]]
    assert steps == [2, 3, 5, 6, 8, 9]  # 5 batches are 3 optimiser steps


def test_a_row_is_the_mean_of_the_steps_since_the_last_one(tmp_path: Path) -> None:
    seen = Seen()
    run = train(tmp_path, *FAST, "training.log_every_n_steps=3", on_step=seen).run
    values = [value for _, value in read_history(run.path / METRICS)["train/loss"]]
    assert values[:2] == pytest.approx([seen.mean(0, 3), seen.mean(3, 5)], rel=1e-6)


@pytest.mark.parametrize(("crash", "steps"), [(3, 15), (5, 15), (8, 15), (13, 15), (10, 12)])
def test_a_resumed_runs_metrics_are_those_of_the_unbroken_run(
    tmp_path: Path, crash: int, steps: int
) -> None:
    settings = (
        *FAST,
        f"training.max_steps={steps}",
        "training.log_every_n_steps=2",
        "training.checkpoints.every_n_steps=3",
        "run.policy=resume_if_incomplete",
    )
    whole = train(tmp_path / "whole", *settings).run
    with pytest.raises(RunFailedError):
        train(tmp_path, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    (broken,) = RunStore(tmp_path).runs()
    with (broken.path / METRICS).open("a") as file:
        file.write("2,1")  # a line that the crash tore
    resumed = train(tmp_path, *settings)
    assert resumed.origin == "resumed" and resumed.run.id == broken.id
    assert rows(resumed.run) == rows(whole)
    assert rows(whole)[0] == list(COLUMNS[:-1])


def test_validation_rows_are_what_the_module_logged(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.max_epochs=2").run
    history = read_history(run.path / METRICS)
    assert [step for step, _ in history["val/loss"]] == [5, 10]
    assert all(0 <= value <= 1 for _, value in history["val/accuracy"])
