"""Learning rates follow the formula of each schedule, step by step, in a real run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_task import Batch, TinyModule, crash_at, train

from tutelage.core.errors import RunFailedError
from tutelage.training.schedulers import (
    LinearWarmupCosineAnnealingLR,
    cosine_factor,
    linear_factor,
    warmup_factor,
)

# 70 samples in batches of 16: 5 steps an epoch; 4 epochs; a warm-up of 4 steps.
LONG = ("training.accelerator=cpu", "training.max_epochs=4", "training.learning_rate=0.1")
WARM = "training.scheduler.warmup_fraction=0.2"
STEPS, WARMUP = 20, 4


def rates(home: Path, *settings: str) -> list[float]:
    """The learning rate of each step of a run."""
    seen: list[float] = []

    def look(module: TinyModule, batch: Batch) -> None:
        seen.append(module.trainer.optimizers[0].param_groups[0]["lr"])

    train(home, *LONG, *(f"training.scheduler.{text}" for text in settings), on_step=look)
    return seen


def expected(shape: Callable[[float], float], warmup: int = WARMUP) -> list[float]:
    """The naive trace: a line up, then ``shape`` of the share of the rest that is done."""
    trace = []
    for step in range(STEPS):
        if step < warmup:
            trace.append(0.1 * (step + 1) / (warmup + 1))
        else:
            trace.append(0.1 * shape((step - warmup) / (STEPS - warmup)))
    return trace


SHAPES: dict[str, tuple[tuple[str, ...], Callable[[float], float]]] = {
    "constant": ((), lambda p: 1.0),
    "cosine": (
        ("minimum_factor=0.1",),
        lambda p: 0.1 + 0.9 * (1 + math.cos(math.pi * p)) / 2,
    ),
    "cosine with restarts": (
        ("restarts=3", "minimum_factor=0.1"),
        lambda p: 0.1 + 0.9 * (1 + math.cos(math.pi * (4 * p % 1))) / 2,
    ),
    "linear": (("minimum_factor=0.25",), lambda p: 1 - 0.75 * p),
    "step": (
        ("step_epochs=2", "step_factor=0.5"),
        lambda p: 0.5 if p >= 0.5 else 1.0,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_rate_follows_the_schedule(tmp_path: Path, name: str) -> None:
    settings, shape = SHAPES[name]
    which = f"name={name.split()[0]}"
    trace = rates(tmp_path, which, "warmup_fraction=0.2", *settings)
    assert trace == pytest.approx(expected(shape))
    no_warmup = rates(tmp_path, which, "warmup_fraction=0", *settings)
    assert no_warmup == pytest.approx(expected(shape, 0))


def test_a_schedule_spans_the_steps_that_are_taken(tmp_path: Path) -> None:
    seen: list[float] = []

    def look(module: TinyModule, batch: Batch) -> None:
        seen.append(module.trainer.optimizers[0].param_groups[0]["lr"])

    linear = ("training.scheduler.name=linear", "training.scheduler.minimum_factor=0")
    settings = (*linear, "training.scheduler.warmup_fraction=0", "training.max_steps=8")
    train(tmp_path, *LONG, *settings, on_step=look)
    assert seen == pytest.approx([0.1 * (1 - step / 8) for step in range(8)])


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, [0.1, 0.1, 0.01, 0.005, 0.005, 0.005]), (2, [0.1, 0.1, 0.1, 0.01, 0.01, 0.005])],
)
def test_a_plateau_cuts_the_rate_down_to_its_floor(
    tmp_path: Path, epochs: int, expected: list[float]
) -> None:
    seen: list[float] = []

    def look(module: TinyModule, batch: Batch) -> None:
        seen.append(module.trainer.optimizers[0].param_groups[0]["lr"])
        with torch.no_grad():  # always class 0, so that the accuracy stands still
            module.network[4].weight.zero_()
            module.network[4].bias.copy_(torch.tensor([30.0, -30.0]))

    plateau = ("name=plateau", "step_factor=0.1", "minimum_factor=0.05", "warmup_fraction=0")
    scheduler = (f"training.scheduler.{text}" for text in (*plateau, f"step_epochs={epochs}"))
    others = ("training.max_epochs=6", "training.monitor=val/accuracy")
    train(tmp_path, *LONG, *others, *scheduler, on_step=look)
    assert seen[::5] == pytest.approx(expected)


def test_a_plateau_warms_up_too(tmp_path: Path) -> None:
    trace = rates(tmp_path, "name=plateau", "warmup_fraction=0.2", "step_epochs=9")
    assert trace[:5] == pytest.approx([0.1 * (i + 1) / 5 for i in range(5)])
    assert trace[5:] == pytest.approx([0.1] * 15)


def test_a_resumed_schedule_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = (*LONG, "training.checkpoints.every_n_steps=3", "run.policy=resume_if_incomplete")
    whole = rates(tmp_path / "whole")
    with pytest.raises(RunFailedError):
        train(tmp_path, *settings, on_step=crash_at(8, RuntimeError("lightning struck")))
    rest: list[float] = []

    def look(module: TinyModule, batch: Batch) -> None:
        rest.append(module.trainer.optimizers[0].param_groups[0]["lr"])

    train(tmp_path, *settings, on_step=look)
    assert rest == whole[6:]


@given(st.integers(0, 200), st.integers(0, 100))
def test_warm_up_rises_to_one_and_stays(step: int, warmup: int) -> None:
    factor = warmup_factor(step, warmup)
    assert 0 < factor <= 1
    assert (factor == 1) == (step >= warmup)
    assert warmup_factor(step + 1, warmup) >= factor


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_decays_fall_from_one_to_the_minimum(first: float, second: float, minimum: float) -> None:
    early, late = sorted((first, second))
    for shape in (cosine_factor, linear_factor):
        assert shape(0.0, minimum) == pytest.approx(1)
        assert shape(1.0, minimum) == pytest.approx(minimum)
        assert shape(2.0, minimum) == pytest.approx(minimum)
        assert shape(late, minimum) <= shape(early, minimum) + 1e-12


def test_the_cosine_after_warm_up_is_torchs_own() -> None:
    def trace(make: Callable[[torch.optim.Optimizer], object], skip: int) -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = make(optimizer)
        seen = []
        for _ in range(30):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()  # type: ignore[attr-defined]
        return seen[skip:]

    mine = trace(lambda o: LinearWarmupCosineAnnealingLR(o, 30, 10, 0.1), 10)
    theirs = trace(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.1), 0)
    assert mine == pytest.approx(theirs[:20])
