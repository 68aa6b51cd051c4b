"""What a person sees: a line an epoch in the log, a bar on terminals, events for TensorBoard."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path

import pytest
from lightning.pytorch import Callback
from rich.console import Console
from tiny_task import Batch, TinyModule, TinyTask, crash_at, tiny, train

from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.logs import read_log
from tutelage.core.store import LOG, METRICS, RunStore
from tutelage.report.curves import read_history
from tutelage.training.callbacks import EpochHeartbeat, TimeBudget, without_empty_hooks
from tutelage.training.launch import launch
from tutelage.training.loggers import build_loggers
from tutelage.training.metrics import MetricsCollector
from tutelage.training.profiler import NoProfiler

FAST = ("training.accelerator=cpu",)
NUMBER = r"([\d.e-]+)"
LINE = re.compile(
    rf"epoch (\d)/3 loss={NUMBER} val/loss={NUMBER} val/accuracy={NUMBER} ([\d.]+) s$"
)


def test_the_log_has_one_line_an_epoch_with_its_numbers(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST).run
    lines = [m for entry in read_log(run.path / LOG) if (m := LINE.search(entry.message))]
    assert [m.group(1) for m in lines] == ["1", "2", "3"]
    history = read_history(run.path / METRICS)
    for group, name in ((2, "epoch/loss"), (3, "val/loss"), (4, "val/accuracy")):
        assert [m.group(group) for m in lines] == [f"{value:.4g}" for _, value in history[name]]


def draw(home: Path, terminal: bool, task: TinyTask) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    launch(task, tiny(*FAST), RunStore(home), console)
    return file.getvalue()


def test_a_terminal_shows_a_bar_and_a_file_shows_none(tmp_path: Path) -> None:
    shown = draw(tmp_path / "terminal", True, TinyTask())
    assert re.search(r"\d+/15 steps", shown)
    assert "epoch 1/3" in shown and "loss " in shown
    assert draw(tmp_path / "file", False, TinyTask()) == ""


def test_the_bar_is_cleared_when_the_run_fails(tmp_path: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120)
    task = TinyTask(crash_at(7, ValueError("lightning struck")))
    with pytest.raises(RunFailedError):
        launch(task, tiny(*FAST), RunStore(tmp_path), console)
    assert file.getvalue().count("\x1b[?25h") == 1  # the cursor is shown again


def test_the_bar_shows_the_loss_of_a_batch_whatever_is_accumulated(tmp_path: Path) -> None:
    losses: list[str] = []
    for accumulate in (1, 4):
        file = io.StringIO()
        console = Console(file=file, force_terminal=True, width=120)
        config = tiny(*FAST, f"training.accumulate={accumulate}")
        launch(TinyTask(), config, RunStore(tmp_path), console)
        found = re.search(r"loss (\d\.\d+)", file.getvalue())
        assert found
        losses.append(found.group(1))
    assert losses[0] == losses[1]  # of the first batch, before any step


def test_only_empty_hooks_are_dropped(tmp_path: Path) -> None:
    class Watcher(Callback):
        def on_train_batch_end(self, *args: object) -> None:
            self.seen = True

    watcher = without_empty_hooks(Watcher())
    assert watcher.on_train_batch_start is None and watcher.on_before_zero_grad is None
    assert callable(watcher.on_train_batch_end) and callable(watcher.on_train_epoch_end)
    collector = MetricsCollector(tmp_path / "metrics.csv", 1)
    beat = without_empty_hooks(EpochHeartbeat(collector))
    assert beat.on_train_batch_end is None and callable(beat.on_train_epoch_end)


def test_training_runs_under_a_profiler_that_costs_nothing(tmp_path: Path) -> None:
    seen: list[object] = []

    def look(module: TinyModule, batch: Batch) -> None:
        profiler = module.trainer.profiler
        with profiler.profile("outer") as one, profiler.profile("inner") as other:
            seen.append((type(profiler), one, other, profiler.summary()))

    train(tmp_path, *FAST, "training.max_steps=1", on_step=look)
    assert seen == [(NoProfiler, None, None, "")]


def test_tensorboard_gets_the_runs_own_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = ("training.loggers=[tensorboard]", "training.log_every_n_steps=5")
    run = train(tmp_path, *FAST, *loggers).run
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    history = read_history(run.path / METRICS)
    for name in ("train/loss", "epoch/loss", "learning_rate"):
        logged = [(event.step, event.value) for event in events.Scalars(name)]
        assert logged == [(step, pytest.approx(value)) for step, value in history[name]]
    values = [event.value for event in events.Scalars("val/loss")]
    assert values == pytest.approx([value for _, value in history["val/loss"]])


def test_without_loggers_there_are_no_events(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.max_epochs=1").run
    assert not (run.path / "tensorboard").exists()
    assert build_loggers((), run) == []


def test_wandb_writes_offline_or_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*FAST, "training.max_epochs=1", "training.loggers=[wandb]")
    if importlib.util.find_spec("wandb") is None:
        with pytest.raises(ConfigError, match=re.escape("'tutelage[wandb]'")):
            train(tmp_path, *settings)
        return
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = train(tmp_path, *settings).run
    assert list((run.path / "wandb").glob("offline-run-*"))


def test_a_heartbeat_says_that_a_long_epoch_moves_on(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.heartbeat_seconds=1e-9").run
    said = re.findall(r"alive: epoch (\d), step (\d+)/15, loss=", (run.path / LOG).read_text())
    assert said == [(str(step // 5 + 1), str(step + 1)) for step in range(15)]


def test_no_heartbeat_is_heard_where_none_is_due(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST).run
    assert "alive" not in (run.path / LOG).read_text()


def test_a_spent_time_budget_ends_the_run_with_a_validation(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.time_budget=1e-9").run
    history = read_history(run.path / METRICS)
    assert run.status == "finished"
    assert [step for step, _ in history["val/loss"]] == [1]
    assert "time budget" in (run.path / LOG).read_text()


def test_time_spent_before_an_interruption_counts() -> None:
    budget = TimeBudget(100.0)
    budget.load_state_dict({"spent": 60.0})
    budget.on_train_start(None, None)  # type: ignore[arg-type]
    assert 60.0 <= budget.spent < 100.0
    assert budget.state_dict()["spent"] >= 60.0
