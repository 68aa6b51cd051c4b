"""A fold trains on the rest and is scored alone; `all` trains on everything, up to an epoch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from tiny_task import (
    TinyDataModule,
    TinyTask,
    crash_at,
    fold_units,
    same_bits,
    sample,
    tiny,
    train,
    weights,
)

from tutelage.core.errors import ConfigError, DataError, RunFailedError
from tutelage.core.folds import Split, write_split
from tutelage.core.store import METRICS, WEIGHTS, Run, RunStore
from tutelage.report.curves import read_history
from tutelage.task import Task, fold_split
from tutelage.training.checkpoint_files import (
    TutelageCheckpointIO,
    list_checkpoints,
    read_marker,
)
from tutelage.training.contracts import AnomalyScorer
from tutelage.training.launch import launch
from tutelage.training.restore import restore_module

FAST = ("training.accelerator=cpu",)
RESUME = "run.policy=resume_if_incomplete"
POOL = torch.cat([sample(70, 1)[0], sample(40, 2)[0]])


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("split")
    return fold_split(TinyTask(), tiny(), folder, "stratified", folds=3, repeats=2, seed=4)


@pytest.fixture
def split_file(tmp_path: Path, split: Split) -> Path:
    write_split(split, tmp_path / "split.json")
    return tmp_path / "split.json"


def fold(file: Path, number: int | str, *more: str) -> tuple[str, ...]:
    return (*FAST, f"data.split_file={file}", f"data.fold={number}", *more)


def seen(home: Path, *settings: str) -> tuple[Run, set[int]]:
    """A run, and the numbers of the samples of the pool that its steps were shown."""
    shown: list[torch.Tensor] = []
    run = train(home, *settings, on_step=lambda module, batch: shown.append(batch[0])).run
    same = (torch.cat(shown)[:, None] == POOL[None]).all(2)
    assert same.any(1).all()
    return run, set(same.any(0).nonzero().flatten().tolist())


def test_each_fold_trains_on_all_but_its_own_units(
    tmp_path: Path, split: Split, split_file: Path
) -> None:
    names = fold_units(tiny().data).ids
    trained = [seen(tmp_path, *fold(split_file, number)) for number in range(6)]
    for number, (run, shown) in enumerate(trained):
        assert {names[n] for n in range(110) if n not in shown} == split.held_out(number)
        assert set(run.metrics) == {"held_out/accuracy", "held_out/loss"}
    assert len({frozenset(shown) for _, shown in trained}) == 6
    assert len({run.record.fingerprints.run for run, _ in trained}) == 6


def test_what_a_fold_learns_before_training_is_learned_from_its_own_training_part(
    tmp_path: Path, split: Split, split_file: Path
) -> None:
    run = train(tmp_path, *fold(split_file, 1)).run
    held = split.held_out(1)
    rest = [n for n, name in enumerate(fold_units(tiny().data).ids) if name not in held]
    torch.testing.assert_close(weights(run)["mean"], POOL[rest].mean(0))


def test_a_fold_does_not_read_the_tests_and_all_does(tmp_path: Path, split_file: Path) -> None:
    train(tmp_path, *fold(split_file, 0, "data.testable=false"))
    with pytest.raises(DataError, match="test split"):
        train(tmp_path, *FAST, "data.fold=all", "data.testable=false")


def test_a_fold_keeps_what_it_says_of_the_units_that_it_never_saw(
    tmp_path: Path, split: Split, split_file: Path
) -> None:
    run = train(tmp_path, *fold(split_file, 2)).run
    rows = pq.read_table(run.path / "out_of_fold.parquet")
    assert rows.column_names == ["fold_unit", "table", "score"]
    units, tables, scores = (column.to_pylist() for column in rows.columns)
    assert set(units) == split.held_out(2) and len(rows) == len(split.held_out(2))
    assert set(tables) == {"held_out"} and all(0 <= score <= 1 for score in scores)
    assert "out_of_fold.parquet" in run.record.artifacts
    run.verify_artifacts()
    assert not (train(tmp_path, *FAST, "data.fold=all").run.path / "out_of_fold.parquet").exists()


def test_the_folds_decide_which_run_it_is_and_not_where_their_file_lies(
    tmp_path: Path, split_file: Path
) -> None:
    first = train(tmp_path, *fold(split_file, 0))
    moved = split_file.with_name("moved.json")
    shutil.copy(split_file, moved)
    assert train(tmp_path, *fold(moved, 0)).run.id == first.run.id
    other = fold_split(TinyTask(), tiny(), tmp_path, "stratified", folds=3, repeats=2, seed=5)
    write_split(other, split_file)
    again = train(tmp_path, *fold(split_file, 0))
    assert again.origin == "new" and not same_bits(again.run, first.run)
    assert again.run.record.fingerprints.split == other.digest


def test_all_trains_on_the_whole_pool_to_the_last_epoch_and_is_tested(tmp_path: Path) -> None:
    run, shown = seen(tmp_path, *FAST, "data.fold=all", "training.max_epochs=3")
    assert shown == set(range(110))
    history = read_history(run.path / METRICS)
    assert len(history["epoch/loss"]) == 3 and not [name for name in history if "val/" in name]
    assert set(run.metrics) == {"test/accuracy", "test/loss"}
    assert run.record.best_epoch == 3
    last = list_checkpoints(run.checkpoints)[-1]
    assert read_marker(last).metric is None and read_marker(last).epoch == 2


@pytest.mark.parametrize(
    "needs",
    [
        "training.early_stopping.patience=2",
        "training.scheduler.name=plateau",
        "training.monitor=val/loss",
    ],
)
def test_what_decides_by_held_out_data_is_refused_where_there_are_none(
    tmp_path: Path, needs: str
) -> None:
    with pytest.raises(ConfigError, match=f"holds nothing out, which {needs.partition('=')[0]}"):
        train(tmp_path, *FAST, "data.fold=all", needs)
    assert not RunStore(tmp_path).runs()


@pytest.mark.parametrize("which", [0, "all"])
def test_a_threshold_is_set_by_what_trained_and_not_by_what_is_scored(
    tmp_path: Path, split_file: Path, which: int | str
) -> None:
    detector = ("mode=autoencoder", "model=reconstructor", "mode.threshold_quantile=0.8")
    settings = fold(split_file, which, *detector)
    run = train(tmp_path, *settings).run
    module, data = restore_module(TinyTask(), run), TinyTask().datamodule(tiny(*settings), tmp_path)
    data.setup("fit")
    TinyTask().normal_data(data)
    assert isinstance(module, AnomalyScorer) and isinstance(data, TinyDataModule)
    with torch.inference_mode():
        scores = module.anomaly_scores(data.train)
    assert float(module.threshold) == pytest.approx(float(scores.quantile(0.8)), rel=1e-5)


@pytest.mark.parametrize(
    "mode", [("mode=autoencoder",), ("mode=curriculum", "mode.measure=length", "mode.stages=2")]
)
def test_other_modes_train_on_all_too(tmp_path: Path, mode: tuple[str, ...]) -> None:
    run, shown = seen(tmp_path, *FAST, *mode, "data.fold=all", "training.max_epochs=4")
    assert run.record.best_epoch == 4 and max(shown) > 70


class Foldless(Task):
    name = "tiny"
    models = TinyTask.models
    config_type = TinyTask.config_type
    data_fingerprint = datamodule = build = evaluate = predict = audit = None


def test_a_task_without_folds_says_so_before_any_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this task's data have no folds"):
        launch(Foldless(), tiny("data.fold=all"), RunStore(tmp_path))
    with pytest.raises(ConfigError, match="can't be dealt into folds"):
        fold_split(Foldless(), tiny(), tmp_path)


def test_a_fold_that_is_not_there_or_is_of_other_data_leaves_no_run(
    tmp_path: Path, split_file: Path
) -> None:
    with pytest.raises(ConfigError, match="there is no fold 6"):
        train(tmp_path, *fold(split_file, 6))
    with pytest.raises(DataError, match="dealt from other data"):
        train(tmp_path, *fold(split_file, 0, "data.samples=60"))
    assert not RunStore(tmp_path).runs()


def test_a_guide_of_the_same_fold_saw_the_same_data_and_one_of_another_fold_did_not(
    tmp_path: Path, split_file: Path
) -> None:
    mine, other = (train(tmp_path, *fold(split_file, number)).run for number in (0, 1))
    moved = split_file.with_name("moved.json")
    shutil.copy(split_file, moved)
    curriculum = (*fold(moved, 0), "mode=curriculum", "mode.stages=2")
    taught = train(tmp_path, *curriculum, f"mode.guide={mine.id}").run.record
    assert [parent.same_data for parent in taught.parents] == [True]
    assert taught.audit is not None and taught.audit.verdict == "clean"
    warned = train(tmp_path, *curriculum, f"mode.guide={other.id}").run.record
    assert [parent.same_data for parent in warned.parents] == [False]
    assert warned.audit is not None and warned.audit.verdict == "warnings"


# ---- stopping at an epoch on the schedule of more


def rates(run: Run) -> list[float]:
    return [rate for _, rate in read_history(run.path / METRICS)["learning_rate"]]


def test_a_run_that_stops_at_an_epoch_has_the_rates_and_weights_of_the_longer_one(
    tmp_path: Path,
) -> None:
    settings = (*FAST, "data.fold=all", "training.max_epochs=5")
    longer = train(tmp_path, *settings, "training.checkpoints.keep_last=5").run
    stopped = train(tmp_path, *settings, "training.stop_epoch=3").run
    assert rates(stopped) == rates(longer)[:3]
    assert stopped.record.best_epoch == 3
    third = list_checkpoints(longer.checkpoints)[2]
    assert read_marker(third).epoch == 2
    state = TutelageCheckpointIO().load_checkpoint(third)["state_dict"]
    mine = weights(stopped)
    assert all(torch.equal(mine[name], state[name]) for name in mine)


def test_it_can_not_stop_after_its_last_epoch() -> None:
    with pytest.raises(ConfigError, match="stop_epoch=4 is beyond max_epochs=3"):
        tiny("training.max_epochs=3", "training.stop_epoch=4")


def test_the_best_epoch_is_that_of_the_best_validation(tmp_path: Path) -> None:
    run = train(tmp_path, *FAST, "training.max_epochs=6", "training.learning_rate=0.3").run
    losses = [loss for _, loss in read_history(run.path / METRICS)["val/loss"]]
    assert run.record.best_epoch == 1 + losses.index(min(losses))


# ---- broken runs


@pytest.mark.parametrize("crash", [2, 5, 9])
@pytest.mark.parametrize("what", ["fold", "all"])
def test_a_broken_fold_goes_on_to_the_same_bits(
    tmp_path: Path, split_file: Path, what: str, crash: int
) -> None:
    chosen = fold(split_file, 1) if what == "fold" else (*FAST, "data.fold=all")
    stop = ("training.max_epochs=4", "training.stop_epoch=2", "training.averaging.name=ema")
    settings = (*chosen, *stop, "training.checkpoints.every_n_steps=2", RESUME)
    whole = train(tmp_path / "whole", *settings).run
    with pytest.raises(RunFailedError, match="struck"):
        train(tmp_path, *settings, on_step=crash_at(crash, RuntimeError("lightning struck")))
    resumed = train(tmp_path, *settings)
    assert resumed.origin == "resumed" and same_bits(resumed.run, whole)
    assert resumed.run.metrics == whole.metrics
    assert resumed.run.record.best_epoch == whole.record.best_epoch
    if what == "fold":
        kept = [(run.path / "out_of_fold.parquet").read_bytes() for run in (whole, resumed.run)]
        assert kept[0] == kept[1]


class BrokenPrediction(TinyTask):
    def predict(self, *args: object) -> object:
        raise RuntimeError("no prediction")


@pytest.mark.parametrize("number", [0, "all"])
def test_a_run_that_fails_after_its_stop_epoch_trains_no_more(
    tmp_path: Path, split_file: Path, number: int | str
) -> None:
    settings = fold(split_file, number, "training.stop_epoch=2", RESUME)
    if number == "all":
        finished = train(tmp_path, *settings).run
        (finished.path / WEIGHTS).unlink()
        finished.update(status="interrupted")
    else:
        with pytest.raises(RunFailedError, match="no prediction"):
            launch(BrokenPrediction(), tiny(*settings), RunStore(tmp_path))
    trained: list[int] = []
    resumed = train(tmp_path, *settings, on_step=lambda module, batch: trained.append(1))
    assert resumed.origin == "resumed" and not trained
    whole = train(tmp_path / "whole", *settings).run
    assert same_bits(resumed.run, whole)
    assert resumed.run.record.best_epoch == whole.record.best_epoch


def test_what_a_scorer_is_asked_for_can_be_seen_without_its_buffers() -> None:
    """`isinstance` of a protocol sees methods alone alike in every Python; buffers it does not."""
    assert not AnomalyScorer.__annotations__
