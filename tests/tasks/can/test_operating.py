"""Thresholds for N false alarms an hour come from held-out benign windows and go on the card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_captures import can_config, write_drive

from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.evaluation import evaluate
from tutelage.tasks.can.modules import GATModule
from tutelage.tasks.can.operating import OperatingPoints, operating_table, threshold_at
from tutelage.tasks.can.preprocessing import Preprocessing

POINTS = "evaluation.operating_points=[1, 3600, 1e6]"


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_threshold_lets_through_as_many_windows_as_the_rate_allows() -> None:
    benign = scores(1, 5, 3, 2, 4)
    assert threshold_at(benign, hours=0.5, per_hour=4) == 3  # two windows
    assert threshold_at(benign, hours=0.5, per_hour=1.9) == 5  # none
    assert (benign > threshold_at(benign, hours=0.5, per_hour=10)).all()


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.floats(0.01, 5), st.floats(0.1, 20)
)
def test_no_more_windows_pass_than_the_rate_allows_and_no_lower_threshold_would_do(
    values: list[int], hours: float, rate: float
) -> None:
    benign = scores(*values)
    threshold = threshold_at(benign, hours, rate)
    assert (benign > threshold).sum() <= rate * hours
    assert threshold < -1e38 or (benign > threshold - 0.5).sum() > rate * hours


def test_a_score_before_there_are_k_windows_is_no_threshold_of_its_own() -> None:
    assert np.isfinite(threshold_at(scores(-np.inf, -np.inf), 1.0, 1.0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[GATModule, CANGraphDataModule]:
    """A model before training, and captures that train and test."""
    root = tmp_path_factory.mktemp("captures")
    write_drive(root / "train_01" / "attack-free.csv", 1, None, seconds=12)
    write_drive(root / "train_02" / "DoS.csv", 2, "dos", seconds=8)
    write_drive(root / "val_01" / "DoS.csv", 5, "dos", seconds=8)
    write_drive(root / "test_01" / "DoS.csv", 3, "dos", seconds=4)
    write_drive(root / "test_02" / "fuzzing.csv", 4, "fuzzing", seconds=4)
    config = can_config(f"data.root={root}", POINTS)
    data = CANGraphDataModule(config, tmp_path_factory.mktemp("cache"))
    data.setup("fit")
    torch.manual_seed(0)
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.fit_module(module)
    return module, data


def test_what_is_held_out_is_what_validates(
    trained: tuple[GATModule, CANGraphDataModule],
) -> None:
    _, data = trained
    held = sum(len(part.windows) for part in data.held_out)
    assert held == len(data.validation_windows) > 0
    content = np.concatenate([p.store.content_digests()[p.windows] for p in data.held_out])
    assert np.array_equal(content, data.store.content_digests()[data.validation_windows])


def test_thresholds_rest_on_the_benign_windows_that_are_held_out_and_on_no_others(
    trained: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = trained
    evaluate(module, data)
    truth = torch.cat([part.store.y[part.windows] for part in data.held_out])
    times = [(part.store.end_time - part.store.start_time)[part.windows] for part in data.held_out]
    assert (truth == 1).any()
    assert data.learned.operating is not None
    benign = torch.cat(times)[truth == 0].sum().item()
    assert data.learned.operating.hours == pytest.approx(benign / 3600)


def test_each_point_is_scored_on_every_split_beside_what_came_out(
    trained: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = trained
    found = evaluate(module, data)
    for column in (found.metrics, found.baselines["two_gap"]):
        assert column["test_01/recall@1"] <= column["test_01/recall@3600"]
        assert column["test_01/recall@1e+06"] == column["test_01/event_recall@1e+06"] == 1.0
        assert column["test_01/false_alarms_per_hour@1e+06"] > 3600
    assert not [key for key in found.baselines["always_alarm"] if "@" in key]
    (table,) = found.tables
    assert len(table.columns) == 2 + 2 * 4 and "held out from training" in table.note
    assert {row[0] for row in table.rows} == {"test_01", "test_02"}


def test_no_test_window_moves_a_threshold(
    trained: tuple[GATModule, CANGraphDataModule], tmp_path: Path
) -> None:
    module, data = trained
    evaluate(module, data)
    root = Path(str(data.config.data.root))
    for split in ("train_01", "train_02", "val_01"):
        (tmp_path / split).mkdir()
        for file in (root / split).iterdir():
            (tmp_path / split / file.name).write_bytes(file.read_bytes())
    write_drive(tmp_path / "test_07" / "replay.csv", 9, "replay", seconds=5)
    other = CANGraphDataModule(can_config(f"data.root={tmp_path}", POINTS), tmp_path / "cache")
    other.setup("fit")
    evaluate(module, other)
    assert data.learned.operating is not None
    assert other.learned.operating == data.learned.operating


def test_the_card_carries_the_thresholds_to_other_data(
    trained: tuple[GATModule, CANGraphDataModule], tmp_path: Path
) -> None:
    module, data = trained
    before = evaluate(module, data)
    card = json.loads(json.dumps(data.preprocessing, allow_nan=False))
    later = CANGraphDataModule(data.config, tmp_path, Preprocessing.from_json(card))
    later.setup("test")
    assert not later.held_out
    assert evaluate(module, later) == before


def test_thresholds_of_other_k_of_n_alarms_are_not_used(
    trained: tuple[GATModule, CANGraphDataModule],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    module, data = trained
    evaluate(module, data)
    config = can_config(f"data.root={data.config.data.root}", "evaluation.n=2", POINTS)
    later = CANGraphDataModule(config, tmp_path, data.learned)
    later.setup("test")
    found = evaluate(module, later)
    assert not [key for key in found.metrics if "@" in key] and found.tables == ()
    assert "1, 3600, 1e+06 false alarms an hour and alarms of 1 of 1 windows" in caplog.text


def test_rates_that_the_held_out_time_can_not_tell_apart_share_a_row() -> None:
    points = OperatingPoints(1, 1, 0.01, (1.0, 10.0, 200.0), {"model": (5.0, 5.0, 4.0)})
    metrics = {"test/event_recall@1": 0.5, "test/event_recall@200": 0.75}
    rows = operating_table({"model": metrics}, ["test"], points).rows
    assert rows == (("test", "1, 10", 0.5, None), ("test", "200", 0.75, None))
