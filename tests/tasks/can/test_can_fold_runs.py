"""Runs of folds of captures: their predictions, the modes that train them, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from made_captures import SMALL, can_config, write_drive

from tutelage import api
from tutelage.core.errors import ConfigError
from tutelage.core.folds import read_split, write_split
from tutelage.core.store import Run, RunStore
from tutelage.task import fold_split
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.pool import read_pool

TRAIN, TEST = "train_02_with_attacks", "test_01_known_vehicle_known_attack"
FAST = (*SMALL, "data.embargo_seconds=0.2", "training.max_epochs=1", "training.accelerator=cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three captures that train and one that tests."""
    folder = tmp_path_factory.mktemp("captures")
    write_drive(folder / "train_01_attack_free" / "attack-free.csv", 1, None)
    write_drive(folder / TRAIN / "DoS.csv", 2, "dos")
    write_drive(folder / TRAIN / "fuzzing.csv", 3, "fuzzing")
    write_drive(folder / TEST / "DoS.csv", 4, "dos")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def split_file(root: Path, home: Path) -> Path:
    """Two stratified folds."""
    config = can_config(f"data.root={root}", "data.embargo_seconds=0.2")
    cache = RunStore(home).cache("can")
    path = home / "split.json"
    write_split(fold_split(CANTask(), config, cache, "stratified", 2, seed=1), path)
    return path


def trained(home: Path, root: Path, split: Path, fold: object, *more: str) -> Run:
    folds = (f"data.split_file={split}", f"data.fold={fold}")
    return api.train("can", f"data.root={root}", *FAST, *folds, *more, home=home)


@pytest.fixture(scope="module")
def folds(root: Path, home: Path, split_file: Path) -> list[Run]:
    """A run of each fold."""
    return [trained(home, root, split_file, fold) for fold in range(2)]


def test_predictions_of_all_folds_tell_of_each_window_once(
    root: Path, home: Path, split_file: Path, folds: list[Run]
) -> None:
    split, told = read_split(split_file), Counter[tuple[str, int]]()
    units = Counter[str]()
    for fold, run in enumerate(folds):
        assert set(run.record.artifacts) >= {"out_of_fold.parquet"}
        rows = parquet.read_table(run.path / "out_of_fold.parquet").to_pylist()
        assert {row["fold_unit"] for row in rows} == split.held_out(fold)
        told.update((row["table"], row["window"]) for row in rows)
        units.update(row["fold_unit"] for row in rows)
    data = can_config(f"data.root={root}", "data.embargo_seconds=0.2").data
    pool = read_pool(data, RunStore(home).cache("can"))
    assert set(told.values()) == {1}
    assert units == {piece.id: piece.size for piece in pool.pieces}
    assert {label.split("/")[0] for label, _ in told} == {"train_01_attack_free", TRAIN}


def test_predictions_of_a_fold_are_what_predict_says(
    root: Path, home: Path, folds: list[Run]
) -> None:
    for run in folds:
        kept = parquet.read_table(run.path / "out_of_fold.parquet").to_pylist()
        held = {(row["table"], row["window"]): row["score"] for row in kept}
        found = 0
        for table in api.predict(run, root / TRAIN, home=home):
            for row in table.rows:
                said = dict(zip(table.columns, row, strict=True))
                if (place := (table.title, int(said["window"] or 0))) in held:
                    assert held[place] == pytest.approx(said["score"], abs=1e-6)
                    found += 1
        assert found == sum(label.startswith(TRAIN) for label, _ in held)


def test_a_fold_evaluated_again_has_its_own_scores_and_other_data_are_no_fold(
    root: Path, home: Path, folds: list[Run]
) -> None:
    again = api.evaluate(folds[0], home=home).evaluation.metrics
    own = {name: value for name, value in folds[0].metrics.items() if "@" not in name}
    assert {name: again[name] for name in own} == pytest.approx(own)
    elsewhere = api.evaluate(folds[0], f"data.root={root}", home=home).evaluation.metrics
    assert {name.split("/")[0] for name in elsewhere} == {TEST}


def test_a_curriculum_and_an_autoencoder_train_on_folds(
    root: Path, home: Path, split_file: Path
) -> None:
    detector = ("mode=autoencoder", "model=vgae", "model.latent=4")
    guide = trained(home, root, split_file, 0, *detector)
    assert "held_out/auroc" in guide.metrics
    whole = trained(home, root, split_file, "all", *detector)
    assert f"{TEST}/f1" in whole.metrics
    guided = (f"mode.guide={guide.id}", "mode.stages=2", "training.max_epochs=2")
    run = trained(home, root, split_file, 0, "mode=curriculum", *guided)
    assert "held_out/f1" in run.metrics and run.record.parents[0].same_data


def test_a_student_of_a_fold_learns_from_a_teacher_of_that_fold_alone(
    root: Path, home: Path, split_file: Path, folds: list[Run]
) -> None:
    student = ("mode=distillation", "model.hidden=2")
    run = trained(home, root, split_file, 0, *student, f"mode.teacher={folds[0].id}")
    assert run.record.parents[0].same_data and "held_out/f1" in run.metrics
    with pytest.raises(ConfigError, match="profile differ") as refused:
        trained(home, root, split_file, 0, *student, f"mode.teacher={folds[1].id}")
    assert "Take a teacher of the same fold" in str(refused.value)


def test_a_fusion_of_a_fold_is_refused(
    root: Path, home: Path, split_file: Path, folds: list[Run]
) -> None:
    experts = ",".join(run.id for run in folds)
    folded = (f"data.root={root}", f"data.split_file={split_file}", "data.fold=0")
    with pytest.raises(ConfigError, match="fusion .*no folds"):
        api.train(
            "can", *folded, "mode=fusion", "model=mean", f"mode.experts=[{experts}]", home=home
        )
