"""Every `training.*` option acts: each test fails when its option is ignored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_task import Batch, TinyModule, crash_at, same_bits, sample, tiny, train, weights

from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.report.curves import read_history
from tutelage.training.checkpoint_files import list_checkpoints, read_marker
from tutelage.training.optimization import build_optimizer

FAST = ("training.accelerator=cpu",)
AUTO = (*FAST, "training.batch_size=auto", "training.batch_sizing.max_size=16")


def steps(run: Run) -> int:
    """Optimiser steps that a run took."""
    return max(step for step, _ in read_history(run.path / METRICS)["epoch/loss"])


def epochs(run: Run) -> int:
    return len(read_history(run.path / METRICS)["epoch/loss"])


def test_max_epochs_ends_training(tmp_path: Path) -> None:
    assert epochs(train(tmp_path, *FAST, "training.max_epochs=2").run) == 2


def test_max_steps_ends_training_within_an_epoch_and_scores_its_last_weights(
    tmp_path: Path,
) -> None:
    run = train(tmp_path, *FAST, "training.max_steps=7").run
    assert steps(run) == 7
    assert [step for step, _ in read_history(run.path / METRICS)["val/loss"]] == [5, 7]
    assert steps(train(tmp_path, *FAST, "training.max_steps=99").run) == 15


def test_batch_size_is_the_samples_of_a_step(tmp_path: Path) -> None:
    sizes: list[int] = []
    train(
        tmp_path,
        *(*FAST, "training.batch_size=30", "training.max_epochs=1"),
        on_step=lambda module, batch: sizes.append(len(batch[1])),
    )
    assert sizes == [30, 30, 10]


def test_accumulated_batches_make_the_step_of_their_mean_gradient(tmp_path: Path) -> None:
    same = ("training.optimizer=sgd", "training.scheduler.name=constant", "model.dropout=0")
    plain = ("training.scheduler.warmup_fraction=0", "training.gradient_clip=null")
    one = ("training.max_epochs=1", "data.samples=32", "training.weight_decay=0")
    gradients: list[torch.Tensor] = []

    def collect(module: TinyModule, batch: Batch) -> None:
        if not gradients:
            before.append(module.network[4].weight.detach().clone())
        loss = module.loss(batch)
        gradients.append(torch.autograd.grad(loss, module.network[4].weight)[0])

    before: list[torch.Tensor] = []
    run = train(tmp_path, *FAST, *same, *plain, *one, "training.accumulate=2", on_step=collect).run
    assert steps(run) == 1
    expected = before[0] - 0.05 * (gradients[0] + gradients[1]) / 2
    torch.testing.assert_close(weights(run)["network.4.weight"], expected)


@pytest.mark.parametrize(("clip", "longest"), [("0.001", 0.001), ("null", None)])
def test_gradient_clip_bounds_the_gradients_norm(
    tmp_path: Path, clip: str, longest: float | None
) -> None:
    plain = ("training.optimizer=sgd", "training.scheduler.name=constant", "training.max_steps=1")
    rate = ("training.learning_rate=1", "training.weight_decay=0")
    start: dict[str, torch.Tensor] = {}

    def keep(module: TinyModule, batch: Batch) -> None:
        start.update({name: p.detach().clone() for name, p in module.named_parameters()})

    settings = (*plain, *rate, "training.scheduler.warmup_fraction=0")
    run = train(tmp_path, *FAST, *settings, f"training.gradient_clip={clip}", on_step=keep).run
    end = weights(run)
    moved = torch.cat([(end[name] - value).flatten() for name, value in start.items()]).norm()
    if longest is None:
        assert float(moved) > 0.1
    else:
        assert float(moved) == pytest.approx(longest, rel=1e-3)


def test_early_stopping_ends_after_patience_evaluations_without_enough_improvement(
    tmp_path: Path,
) -> None:
    long = (*FAST, "training.max_epochs=8")
    strict = "training.early_stopping.min_delta=5"  # nothing improves by that much
    assert epochs(train(tmp_path, *long).run) == 8
    assert epochs(train(tmp_path, *long, "training.early_stopping.patience=2", strict).run) == 3
    assert epochs(train(tmp_path, *long, "training.early_stopping.patience=4", strict).run) == 5
    lenient = train(
        tmp_path, *long, "training.early_stopping.patience=2", "training.learning_rate=0.005"
    )
    assert epochs(lenient.run) > 3


def test_monitor_chooses_what_is_best(tmp_path: Path) -> None:
    for monitor, pick in (("val/loss", min), ("val/accuracy", max)):
        settings = (*FAST, "training.max_epochs=6", f"training.monitor={monitor}")
        run = train(tmp_path, *settings, "training.checkpoints.keep_last=1").run
        history = dict(read_history(run.path / METRICS)[monitor])
        kept = {m.step: m for m in map(read_marker, list_checkpoints(run.checkpoints)) if m}
        best = pick(history.values())
        assert all(m.monitor == monitor for m in kept.values())
        assert best in [pytest.approx(m.metric) for m in kept.values()]


def test_an_unknown_monitor_is_refused_with_the_known_ones_before_sizing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="val/accuracy, val/loss"):
        train(tmp_path, *AUTO, "training.monitor=val/acuracy")
    assert "batch size" not in caplog.text
    train(tmp_path, *AUTO, "training.max_steps=1")
    assert "batch size" in caplog.text


def seen_types(home: Path, *settings: str) -> tuple[torch.dtype, torch.dtype]:
    """Types of the weights and of a linear layer's output in a training step."""
    seen: list[torch.dtype] = []

    def look(module: TinyModule, batch: Batch) -> None:
        first = module.network[0]
        seen.append(first.weight.dtype)
        seen.append(first(module.standardised(batch[0])).dtype)

    train(home, *FAST, "training.max_steps=1", *settings, on_step=look)
    return seen[0], seen[1]


def test_precision_is_the_arithmetic_of_a_step(tmp_path: Path) -> None:
    assert seen_types(tmp_path) == (torch.float32, torch.float32)
    assert seen_types(tmp_path, "training.precision=bf16") == (torch.float32, torch.bfloat16)
    assert seen_types(tmp_path, "training.precision=64") == (torch.float64, torch.float64)


@pytest.mark.parametrize("precision", ["64", "bf16"])
def test_a_run_in_other_arithmetic_keeps_weights_in_32_bits(tmp_path: Path, precision: str) -> None:
    run = train(tmp_path, *FAST, f"training.precision={precision}").run
    floating = [value for value in weights(run).values() if value.is_floating_point()]
    assert {value.dtype for value in floating} == {torch.float32}


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD")])
def test_optimizer_and_decay_reach_the_optimiser(tmp_path: Path, name: str, kind: str) -> None:
    seen: list[tuple[str, float]] = []

    def look(module: TinyModule, batch: Batch) -> None:
        optimizer = module.trainer.optimizers[0]
        seen.append((type(optimizer).__name__, optimizer.param_groups[0]["weight_decay"]))

    settings = (f"training.optimizer={name}", "training.weight_decay=0.25", "training.max_steps=1")
    train(tmp_path, *FAST, *settings, on_step=look)
    assert seen == [(kind, 0.25)]


class Grouped(TinyModule):
    def parameter_groups(self):  # type: ignore[no-untyped-def]
        yield {"lr": 0.1}, list(self.network[0].parameters())
        yield {"weight_decay": 0.0}, list(self.network[4].parameters())


def test_a_groups_factors_multiply_the_settings() -> None:
    config = tiny("training.learning_rate=0.2", "training.weight_decay=0.5")
    module = Grouped(config, [0.0] * 8, lambda module, batch: None)
    groups = build_optimizer(module, config.training).param_groups
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [
        (pytest.approx(0.02), 0.5),
        (0.2, 0.0),
    ]


def test_weight_decay_changes_the_weights(tmp_path: Path) -> None:
    light, heavy = (
        train(tmp_path, *FAST, f"training.weight_decay={decay}").run for decay in ("0", "5")
    )
    norm = [float(weights(run)["network.0.weight"].norm()) for run in (light, heavy)]
    assert norm[1] < 0.8 * norm[0]


def test_log_every_n_steps_sets_the_rows(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.log_every_n_steps=1").run
    assert [s for s, _ in read_history(run.path / METRICS)["train/loss"]] == [*range(1, 16)]


def kept(run: Run) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in list_checkpoints(run.checkpoints)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), {10, 15}),
        (("keep_last=1",), {15}),
        (("keep_last=9",), {5, 10, 15}),
        (("keep_last=9", "every_n_epochs=2"), {10}),
        (("keep_last=9", "every_n_steps=4"), {4, 5, 8, 10, 12, 15}),
    ],
)
def test_checkpoints_are_taken_and_kept_as_asked(
    tmp_path: Path, settings: tuple[str, ...], expected: set[int]
) -> None:
    run = train(tmp_path, *FAST, *(f"training.checkpoints.{text}" for text in settings)).run
    markers = [read_marker(path) for path in list_checkpoints(run.checkpoints)]
    scored = {m.step: m.metric for m in markers if m and m.metric is not None}
    best = min(scored, key=lambda step: scored[step])
    assert set(kept(run)) - {best} == expected - {best}


def test_keep_best_keeps_the_best_ones(tmp_path: Path) -> None:
    settings = ("training.max_epochs=6", "training.checkpoints.keep_last=1")
    run = train(tmp_path, *FAST, *settings, "training.checkpoints.keep_best=3").run
    history = dict(read_history(run.path / METRICS)["val/loss"])
    best = sorted(history, key=lambda step: history[step])[:3]
    assert set(kept(run)) == {*best, 30}


def test_the_best_checkpoint_is_what_is_scored_and_saved(tmp_path: Path) -> None:
    settings = ("training.max_epochs=8", "training.learning_rate=0.5", "training.optimizer=adam")
    run = train(tmp_path, *FAST, *settings, "training.gradient_clip=null").run
    history = [value for _, value in read_history(run.path / METRICS)["val/loss"]]
    assert min(history) < history[-1]  # it got worse again
    module = TinyModule(tiny(*settings), [0.0] * 8, lambda module, batch: None)
    module.load_state_dict(weights(run))
    module.eval()
    with torch.inference_mode():
        loss = float(module.loss(sample(40, 2)))
    assert loss == pytest.approx(min(history), rel=1e-5)


def test_compile_runs_the_network_through_the_compiler(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler")
    compiled: list[bool] = []

    def look(module: TinyModule, batch: Batch) -> None:
        compiled.append(module.network._compiled_call_impl is not None)

    small = ("training.max_steps=2", "model.dropout=0")
    run = train(tmp_path, *FAST, *small, "training.compile=true", on_step=look).run
    plain = train(tmp_path, *FAST, *small).run
    assert compiled == [True, True]
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(run)[name], value)


def test_an_automatic_batch_size_is_written_down_and_used(tmp_path: Path) -> None:
    sizes: list[int] = []
    look: Callable[[TinyModule, Batch], None] = lambda module, batch: sizes.append(len(batch[1]))  # noqa: E731
    run = train(tmp_path, *AUTO, "training.max_epochs=1", on_step=look).run
    choice = json.loads((run.path / "batch_size.json").read_text())
    assert choice["size"] in (8, 16)
    assert max(sizes) == choice["size"]
    assert [row["size"] for row in choice["table"]] == [8, 16]


def test_a_resumed_run_keeps_its_automatic_batch_size(tmp_path: Path) -> None:
    settings = (*AUTO, "training.checkpoints.every_n_steps=2", "run.policy=resume_if_incomplete")
    error = crash_at(3, RuntimeError("lightning struck"))
    with pytest.raises(RunFailedError, match="lightning struck"):
        train(tmp_path, *settings, on_step=lambda m, b: error(m, b) if m._trainer else None)
    (run,) = RunStore(tmp_path).runs()
    before = (run.path / "batch_size.json").read_bytes()
    resumed = train(tmp_path, *settings).run
    assert (resumed.path / "batch_size.json").read_bytes() == before
    fixed = train(tmp_path / "fixed", *FAST, f"training.batch_size={json.loads(before)['size']}")
    assert same_bits(resumed, fixed.run)
