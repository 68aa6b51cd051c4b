"""Finished runs of every kind are judged with calibration, in training and afterwards alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_captures import write_drive

from tutelage import api
from tutelage.core.errors import DataError
from tutelage.core.overrides import build_config
from tutelage.core.store import Run, RunStore
from tutelage.tasks.can import CANTask
from tutelage.tasks.can.config import CANConfig
from tutelage.training.launch import launch

FAST = ("training.max_epochs=1", "training.accelerator=cpu")
HELD = "data.validation_fraction=0.3"
SMALL = ("model.layers=1", "model.hidden=4", "model.heads=2")
PREFIX = ("evaluation.calibration=prefix", "evaluation.calibration_seconds=4")
RULES = {"unseen_id_count", "two_gap", "payload", "always_alarm"}
ALONE = {"learned_alone", "monitors_alone", *RULES}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "captures"
    write_drive(folder / "train_01" / "drive.csv", 1, None, seconds=10)
    write_drive(folder / "train_02" / "DoS.csv", 2, "dos", seconds=10)
    write_drive(folder / "train_02" / "fuzzing.csv", 4, "fuzzing", seconds=10)
    write_drive(folder / "test_01" / "fuzzing.csv", 3, "fuzzing", vehicle="pickup")
    return folder


@pytest.fixture(scope="module")
def home(root: Path) -> Path:
    return root.parent / "home"


def train(home: Path, root: Path, *settings: str) -> Run:
    config = build_config(CANConfig, [], (f"data.root={root}", HELD, *FAST, *settings))
    return launch(CANTask(), config, RunStore(home)).run


@pytest.fixture(scope="module")
def gat(home: Path, root: Path) -> Run:
    return train(home, root, *SMALL, *PREFIX)


@pytest.fixture(scope="module")
def vgae(home: Path, root: Path) -> Run:
    return train(home, root, *SMALL, "mode=autoencoder", "model=vgae")


def test_a_run_that_trained_with_calibration_is_evaluated_as_its_record_says(
    gat: Run, home: Path
) -> None:
    assert set(gat.record.baselines) == ALONE
    assert gat.metrics["test_01/f1"] > 0.95
    again = api.evaluate(gat, home=home).evaluation
    assert again.metrics == gat.record.metrics
    assert again.baselines == gat.record.baselines


def test_calibration_can_be_asked_for_and_left_out_after_training(
    gat: Run, vgae: Run, home: Path
) -> None:
    plain = api.evaluate(gat, "evaluation.calibration=none", home=home).evaluation
    assert set(plain.baselines) == RULES
    assert plain.metrics["test_01/windows"] > gat.metrics["test_01/windows"]
    later = api.evaluate(vgae, *PREFIX, home=home).evaluation
    assert set(later.baselines) == ALONE
    assert later.metrics["test_01/f1"] > 0.95
    assert later.baselines["monitors_alone"] == gat.record.baselines["monitors_alone"]
    assert later.metrics.keys() == gat.record.metrics.keys()


def test_a_fusion_is_judged_beside_the_monitors(
    gat: Run, vgae: Run, home: Path, root: Path
) -> None:
    experts = f"mode.experts=[{vgae.id},{gat.id}]"
    run = train(home, root, "mode=fusion", "model=mean", "mode.folds=2", experts, *PREFIX)
    assert set(run.record.baselines) == ALONE
    assert run.record.baselines["monitors_alone"] == gat.record.baselines["monitors_alone"]
    again = api.evaluate(run, home=home).evaluation
    assert again.metrics == run.record.metrics
    source = root / "test_01" / "fuzzing.csv"
    (table,) = api.predict(run, source, home=home)
    assert table.columns[-1] == "reason" and any(row[-1] for row in table.rows)


def test_other_data_are_judged_on_their_own_terms(gat: Run, home: Path, tmp_path: Path) -> None:
    write_drive(tmp_path / "test_02" / "replayed.csv", 5, "replay", vehicle="estate")
    found = api.evaluate(gat, f"data.root={tmp_path}", home=home).evaluation
    assert found.metrics["test_02/f1"] > 0.8
    assert found.baselines["monitors_alone"]["test_02/recall"] == 1.0
    longer = "evaluation.calibration_seconds=60"
    with pytest.raises(DataError, match="no window is left after the first 60 s"):
        api.evaluate(gat, f"data.root={tmp_path}", longer, home=home)


def test_predictions_say_why_and_begin_after_the_calibration(
    gat: Run, home: Path, root: Path
) -> None:
    source = root / "test_01" / "fuzzing.csv"
    (table,) = api.predict(gat, source, home=home)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert min(row["start_time"] for row in rows) > 4.0  # type: ignore[type-var, operator]
    assert all(np.isfinite(row["score"]) for row in rows)  # type: ignore[arg-type]
    said = [row["reason"] for row in rows if row["alarm"]]
    assert sum(map(bool, said)) > 5
    assert all(str(reason).startswith("0x") for reason in said if reason)
    (plain,) = api.predict(gat, source, "evaluation.calibration=none", home=home)
    assert "reason" not in plain.columns and len(plain.rows) > len(rows)
