"""What happens when a loss or a gradient is no number."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from tiny_task import Batch, OnStep, TinyModule, crash_at, same_bits, train, weights

from tutelage.core.errors import RunFailedError
from tutelage.core.store import METRICS, RunStore
from tutelage.report.curves import read_history
from tutelage.training.divergence import MOST_IN_A_ROW

FAST = ("training.accelerator=cpu",)
RESUME = "run.policy=resume_if_incomplete"


def spoiled(*batches: int, value: float = float("nan"), then: OnStep | None = None) -> OnStep:
    """Make the samples of some batches, counted over the run's steps, no numbers."""

    def on_step(module: TinyModule, batch: Batch) -> None:
        if module._trainer is not None:
            done = module.trainer.fit_loop.epoch_loop.total_batch_idx
            if done + 1 in batches:
                batch[0].fill_(value)
        if then is not None:
            then(module, batch)

    return on_step


def spoiled_gradient(at: int) -> OnStep:
    """Make one step's gradient infinite under a finite loss."""

    def on_step(module: TinyModule, batch: Batch) -> None:
        if module._trainer is not None and module.global_step + 1 == at:
            weight = next(module.network.parameters())
            handle = weight.register_hook(lambda grad: (handle.remove(), grad * float("inf"))[1])

    return on_step


@pytest.mark.parametrize("on_step", [spoiled(8), spoiled(8, value=1e38), spoiled_gradient(8)])
def test_a_gradient_that_is_no_number_stops_the_run_before_a_weight_moves(
    tmp_path: Path, on_step: OnStep
) -> None:
    with pytest.raises(RunFailedError, match="step 8, epoch 2, samples ") as failed:
        train(tmp_path, *FAST, on_step=on_step)
    said = str(failed.value)
    assert "step-0000000005" in said and "training.on_nan=skip" in said
    (run,) = RunStore(tmp_path).runs()
    assert run.status == "failed" and "diverged" in str(run.record.error)


def test_the_samples_that_are_named_are_those_of_the_step(tmp_path: Path) -> None:
    seen: list[list[float]] = []
    keep = spoiled(8, then=lambda module, batch: seen.append(batch[1].tolist()))
    with pytest.raises(RunFailedError) as failed:
        train(tmp_path, *FAST, "training.batch_size=4", on_step=keep)
    numbers = str(failed.value).split("samples ")[1].split(";")[0].split(", ")
    assert len(numbers) == len(set(numbers)) == 4


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_skipped_step_leaves_weights_and_statistics_as_they_were(
    tmp_path: Path, accumulate: int, caplog: pytest.LogCaptureFixture
) -> None:
    settings = (*FAST, "training.on_nan=skip", f"training.accumulate={accumulate}")
    with caplog.at_level(logging.WARNING):
        run = train(tmp_path, *settings, on_step=spoiled(8)).run
    assert run.status == "finished"
    assert [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert all(tensor.isfinite().all() for tensor in weights(run).values())
    rows = read_history(run.path / METRICS)
    assert all(torch.tensor(rows["epoch/loss"])[:, 1].isfinite())
    other = train(tmp_path / "other", *settings, on_step=spoiled(7)).run
    assert not same_bits(run, other)


def test_a_run_that_never_diverges_is_the_same_whatever_the_policy(tmp_path: Path) -> None:
    runs = [
        train(tmp_path, *FAST, f"training.on_nan={policy}").run
        for policy in ("stop", "skip", "rollback")
    ]
    assert len({run.id for run in runs}) == 3
    assert same_bits(runs[0], runs[1]) and same_bits(runs[0], runs[2])


def test_going_back_takes_the_weights_of_the_last_checkpoint(tmp_path: Path) -> None:
    """Epoch 1 ends at step 5; what steps 6 and 7 did is undone by going back in step 8."""
    settings = (*FAST, "training.scheduler.name=constant")
    kept: dict[int, torch.Tensor] = {}

    def keep(module: TinyModule, batch: Batch) -> None:
        if module._trainer is not None:
            kept[module.global_step] = next(module.network.parameters()).detach().clone()

    train(tmp_path, *settings, "training.on_nan=rollback", on_step=spoiled(8, then=keep))
    assert not torch.equal(kept[7], kept[5])
    assert torch.equal(kept[8], kept[5])


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_run_that_was_cut_after_it_diverged_resumes_to_the_same_bits(
    tmp_path: Path, policy: str
) -> None:
    settings = (*FAST, f"training.on_nan={policy}", "training.checkpoints.every_n_steps=2")
    whole = train(tmp_path / "whole", *settings, on_step=spoiled(3, 8)).run
    with pytest.raises(RunFailedError):
        crash = crash_at(11, RuntimeError("lightning struck"))
        train(tmp_path, *settings, on_step=spoiled(3, 8, then=crash))
    resumed = train(tmp_path, *settings, RESUME, on_step=spoiled(3, 8))
    assert resumed.origin == "resumed" and same_bits(resumed.run, whole)


def test_a_run_that_diverges_for_good_stops(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=f"{MOST_IN_A_ROW} steps in a row"):
        train(tmp_path, *FAST, "training.on_nan=skip", on_step=spoiled(*range(4, 100)))
