"""Calibrated verdicts: blind to labels, silent about the beginning, with reasons for the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_captures import can_config, capture, write_drive

from tutelage.core.errors import ConfigError, DataError
from tutelage.tasks.can.baseline import Baseline
from tutelage.tasks.can.calibration import (
    LEARNED,
    MONITORS,
    CalibratedTest,
    log_error,
    log_odds,
)
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.datamodule import TestCapture as Judged
from tutelage.tasks.can.evaluation import evaluate
from tutelage.tasks.can.frames import ATTACK, Frames
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import build_graphs
from tutelage.tasks.can.modules import GATModule
from tutelage.tasks.can.rule_windows import capture_prefix
from tutelage.tasks.can.verdicts import MODEL
from tutelage.tasks.can.window_verdicts import window_table, window_tables

KNOWN, UNKNOWN = "test_01_known", "test_02_unknown"
SECONDS = "evaluation.calibration_seconds=4"
PREFIX = ("evaluation.calibration=prefix", SECONDS)

Scored = tuple[GATModule, CANGraphDataModule]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """A model before training, and drives of a vehicle that trains and of another one."""
    root = tmp_path_factory.mktemp("captures")
    write_drive(root / "train_01" / "drive.csv", 1, None)
    write_drive(root / "train_02" / "DoS.csv", 2, "dos")
    write_drive(root / KNOWN / "spoofing.csv", 3, "rpm_spoofing")
    write_drive(root / UNKNOWN / "fuzzing.csv", 4, "fuzzing", vehicle="pickup")
    config = can_config(f"data.root={root}")
    data = CANGraphDataModule(config, tmp_path_factory.mktemp("cache"))
    data.setup("fit")
    torch.manual_seed(0)
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.fit_module(module)
    return module, data


def judged_by(data: CANGraphDataModule, *overrides: str) -> CANGraphDataModule:
    """The same data under other settings of evaluation; nothing is learned anew."""
    config = can_config(f"data.root={data.config.data.root}", *overrides)
    other = CANGraphDataModule(config, data.cache, data.learned)
    other.setup("test")
    return other


def calibrate(data: CANGraphDataModule, test: Judged, *overrides: str) -> CalibratedTest:
    config = can_config(*overrides)
    return CalibratedTest.of(test, data.learned, config.evaluation)


def test_every_detector_is_scored_on_the_windows_after_the_beginning(scored: Scored) -> None:
    module, data = scored
    found = evaluate(module, judged_by(data, *PREFIX))
    rows = {LEARNED, MONITORS, "unseen_id_count", "two_gap", "payload", "always_alarm"}
    assert set(found.baselines) == rows
    for split in (KNOWN, UNKNOWN):
        (test,) = data.tests[split]
        beginning = len(capture_prefix(test.capture.frames, 4.0))
        after = int((test.store.first_row[test.windows] >= beginning).sum())
        assert 0 < after < len(test.windows)
        for scores in (found.metrics, *found.baselines.values()):
            assert scores[f"{split}/windows"] == after
    assert not found.tables  # thresholds of held-out windows are those of uncalibrated scores


def test_monitors_find_attacks_on_a_vehicle_that_never_trained(scored: Scored) -> None:
    module, data = scored
    found = evaluate(module, judged_by(data, *PREFIX)).baselines
    assert found[MONITORS][f"{UNKNOWN}/f1"] > 0.95
    assert found[MONITORS][f"{KNOWN}/f1"] > 0.95
    plain = evaluate(module, judged_by(data)).baselines
    assert plain["unseen_id_count"][f"{UNKNOWN}/false_alarms_per_hour"] > 1000
    assert found["unseen_id_count"][f"{UNKNOWN}/false_alarms_per_hour"] < 1000


def relabelled(test: Judged, label: np.ndarray) -> Judged:
    frames = replace(test.capture.frames, label=label.astype(np.int8))
    return replace(test, capture=replace(test.capture, frames=frames))


@pytest.mark.parametrize("calibration", ["prefix", "drives"])
@pytest.mark.parametrize("split", [KNOWN, UNKNOWN])
def test_labels_of_the_capture_are_never_read(scored: Scored, split: str, calibration: str) -> None:
    module, data = scored
    asked = judged_by(data, f"evaluation.calibration={calibration}", SECONDS)
    (test,) = asked.tests[split]
    n = len(test.capture.frames)
    random = np.random.default_rng(0).integers(-1, 2, n)
    tables = [
        window_table(module, asked, each)
        for each in (
            test,
            relabelled(test, np.full(n, ATTACK)),
            relabelled(test, random),
        )
    ]
    assert sum(row[5] for row in tables[0].rows) > 0  # type: ignore[misc]
    assert tables[0] == tables[1] == tables[2]


def test_drives_are_the_baseline_of_a_vehicle_that_is_known(scored: Scored) -> None:
    _, data = scored
    (known,), (unknown,) = data.tests[KNOWN], data.tests[UNKNOWN]
    drives = ("evaluation.calibration=drives", SECONDS)
    assert calibrate(data, known, *drives).baseline is data.learned.vehicles[0]
    own = calibrate(data, known, *PREFIX).baseline
    assert own.to_json() != data.learned.vehicles[0].to_json()
    by_drives, by_prefix = (calibrate(data, unknown, *how).baseline for how in (drives, PREFIX))
    assert by_drives.to_json() == by_prefix.to_json()


def test_the_beginning_is_judged_too_where_other_drives_calibrate(scored: Scored) -> None:
    module, data = scored
    asked = judged_by(data, "evaluation.calibration=drives", SECONDS)
    (known,), (unknown,) = asked.tests[KNOWN], asked.tests[UNKNOWN]
    metrics = evaluate(module, asked).metrics
    assert metrics[f"{KNOWN}/windows"] == len(known.windows)
    assert metrics[f"{UNKNOWN}/windows"] < len(unknown.windows)
    assert window_table(module, asked, known).rows[0][0] == 0


def test_drives_that_are_named_take_the_place_of_those_that_trained(
    scored: Scored, tmp_path: Path
) -> None:
    module, data = scored
    write_drive(tmp_path / "some.csv", 11, None, vehicle="pickup")
    write_drive(tmp_path / "other.csv", 12, "dos", vehicle="pickup")
    asked = judged_by(data, "evaluation.calibration=drives", SECONDS,
                      f"evaluation.drives={tmp_path}")  # fmt: skip
    assert [drive.name for drive in asked.drives] == ["other", "some"]
    (known,), (unknown,) = asked.tests[KNOWN], asked.tests[UNKNOWN]
    named = CalibratedTest.of(unknown, data.learned, asked.config.evaluation, asked.drives)
    every = [drive.frames for drive in asked.drives]
    assert named.baseline.to_json() == Baseline.fit(every, 100).to_json()
    metrics = evaluate(module, asked)
    assert metrics.metrics[f"{UNKNOWN}/windows"] == len(unknown.windows)
    assert metrics.metrics[f"{KNOWN}/windows"] < len(known.windows)
    assert metrics.baselines[MONITORS][f"{UNKNOWN}/f1"] > 0.95
    assert len(window_table(module, asked, unknown).rows) == len(unknown.windows)


def test_ids_of_an_unknown_vehicle_are_unknown_and_those_of_a_known_one_keep_their_token(
    scored: Scored,
) -> None:
    _, data = scored
    (known,), (unknown,) = data.tests[KNOWN], data.tests[UNKNOWN]
    for how in ("prefix", "drives"):
        made = calibrate(data, known, f"evaluation.calibration={how}", SECONDS)
        assert torch.equal(made.test.store.id_index, known.store.id_index)
    frames = known.capture.frames
    moved = np.isin(frames.arbitration_id, data.learned.profile.ids[::2])
    ids = np.where(moved, frames.arbitration_id + np.uint32(0x10000), frames.arbitration_id)
    stranger = replace(known.capture, frames=replace(frames, arbitration_id=ids))
    for test in (unknown, replace(known, capture=stranger)):  # the latter shares half of its ids
        assert not calibrate(data, test, *PREFIX).test.store.id_index.any()


def test_the_length_of_the_beginning_acts(scored: Scored) -> None:
    module, data = scored
    counts = []
    for seconds in (2, 4):
        asked = judged_by(data, "evaluation.calibration=prefix",
                          f"evaluation.calibration_seconds={seconds}")  # fmt: skip
        (test,) = asked.tests[KNOWN]
        first = window_table(module, asked, test).rows[0]
        begin = test.capture.frames.timestamp[0]
        assert seconds <= first[2] - begin < seconds + 0.1  # type: ignore[operator]
        counts.append(evaluate(module, asked).metrics[f"{KNOWN}/windows"])
    assert counts[0] > counts[1]


def test_the_budget_of_false_alarms_acts_on_monitors_and_model(scored: Scored) -> None:
    module, data = scored
    found = [
        evaluate(module, judged_by(data, *PREFIX, f"evaluation.false_alarms_per_hour={rate}"))
        for rate in (10, 1e-9)
    ]
    monitors = [each.baselines[MONITORS][f"{UNKNOWN}/tp"] for each in found]
    assert monitors[0] > 0
    assert monitors[1] < monitors[0]
    learned = [each.baselines[LEARNED][f"{UNKNOWN}/tp"] for each in found]
    assert learned[1] < learned[0]


@pytest.mark.parametrize("setting", [
    "calibration=always", "calibration_seconds=0", "calibration_seconds=-1",
    "false_alarms_per_hour=0",
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        can_config(f"evaluation.{setting}")


@pytest.mark.parametrize("calibration", ["none", "prefix"])
def test_drives_are_refused_where_they_would_not_be_read(calibration: str) -> None:
    with pytest.raises(ConfigError, match=f"not read with evaluation.calibration={calibration}"):
        can_config("evaluation.drives=quiet", f"evaluation.calibration={calibration}")
    assert can_config("evaluation.drives=quiet", "evaluation.calibration=drives").evaluation.drives


def test_k_of_n_acts_on_calibrated_verdicts(scored: Scored) -> None:
    module, data = scored
    every, strict = (
        evaluate(module, judged_by(data, *PREFIX, *more)).baselines[MONITORS]
        for more in ((), ("evaluation.k=2", "evaluation.n=2"))
    )
    for split in (KNOWN, UNKNOWN):
        assert 0 < strict[f"{split}/tp"] < every[f"{split}/tp"]


def test_a_reason_stands_where_the_monitors_alarm_and_nowhere_else(scored: Scored) -> None:
    module, data = scored
    asked = judged_by(data, *PREFIX)
    (test,) = asked.tests[UNKNOWN]
    table = window_table(module, asked, test)
    assert table.columns[-2:] == ("alarm", "reason")
    made = calibrate(data, test, *PREFIX)
    score, level = made.evidence.score, made.baseline.monitors.level(8)  # a fifth is the model's
    for row in table.rows:
        first, alarm, reason = int(row[1]), row[5], row[6]  # type: ignore[arg-type]
        inside = score[first : first + 100]
        odd = float(inside.max()) > level
        assert bool(reason) == odd
        if odd:
            assert alarm == 1 and reason == made.evidence.reason(first + int(inside.argmax()))
    assert any("never seen before" in str(row[6]) for row in table.rows)
    assert "reason" not in window_table(module, judged_by(data), test).columns


@pytest.mark.parametrize(("window", "stride"), [(40, 40), (64, 16), (50, 130)])
def test_windows_of_other_lengths_and_strides_are_judged(
    scored: Scored, window: int, stride: int, tmp_path: Path
) -> None:
    config = can_config(f"data.root={scored[1].config.data.root}", f"data.window={window}",
                        f"data.stride={stride}", *PREFIX)  # fmt: skip
    data = CANGraphDataModule(config, tmp_path)
    data.setup("fit")
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.fit_module(module)
    found = evaluate(module, data)
    assert found.baselines[MONITORS][f"{UNKNOWN}/f1"] > 0.9
    (test,) = data.tests[UNKNOWN]
    rows = window_table(module, data, test).rows
    assert all(int(row[1]) == int(row[0]) * stride for row in rows)  # type: ignore[arg-type]
    beginning = len(capture_prefix(test.capture.frames, 4.0))
    assert int(rows[0][1]) - stride < beginning <= int(rows[0][1])  # type: ignore[arg-type]


def test_where_the_end_of_a_capture_tests_its_beginning_calibrates(
    scored: Scored, tmp_path: Path
) -> None:
    write_drive(tmp_path / "one.csv", 7, "dos", seconds=12)
    write_drive(tmp_path / "two.csv", 8, None, seconds=12)
    config = can_config(f"data.root={tmp_path}", "data.embargo_seconds=0.1", *PREFIX)
    data = CANGraphDataModule(config, tmp_path / "cache")
    data.setup("fit")
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.fit_module(module)
    tests = [test for tests in data.tests.values() for test in tests]
    for test in tests:
        assert len(calibrate(data, test, *PREFIX).test.windows) == len(test.windows)
    assert evaluate(module, data).metrics["test/windows"] == sum(len(t.windows) for t in tests)


def test_a_beginning_as_long_as_the_capture_is_refused(scored: Scored) -> None:
    module, data = scored
    asked = judged_by(data, "evaluation.calibration=prefix")
    with pytest.raises(DataError, match="no window is left after the first 10 s") as refused:
        evaluate(module, asked)
    assert refused.value.where and refused.value.where.endswith(".csv")
    assert "calibration_seconds" in str(refused.value.hint)
    assert "1 more can't be calibrated either" in refused.value.problem


def with_a_short_capture(data: CANGraphDataModule, *splits: str) -> Judged:
    """A capture as long as a calibration, in the given splits."""
    (test,) = data.tests[KNOWN]
    frames = capture_prefix(test.capture.frames, 3.9)
    short = Judged(capture(KNOWN, "short", frames), test.store, torch.arange(len(frames) // 100))
    for split in splits:
        data.tests = {**data.tests, split: [short, *data.tests.get(split, ())]}
    return short


def test_a_capture_that_is_too_short_is_named_and_the_others_are_scored(scored: Scored) -> None:
    module, data = scored
    whole = evaluate(module, judged_by(data, *PREFIX))
    asked = judged_by(data, *PREFIX)
    short = with_a_short_capture(asked, KNOWN, "test_03_short")
    found = evaluate(module, asked)
    same = {k: v for k, v in found.metrics.items() if not k.startswith("test_03")}
    assert same == whole.metrics == found.metrics
    (table,) = found.tables
    assert [row[0] for row in table.rows] == [short.capture.label] * 2
    assert "no window is left after the first 4 s" in str(table.rows[0][1])
    assert "2 of 4 captures are in none of the scores" in table.note
    assert not whole.tables


def test_predictions_leave_out_a_capture_that_is_too_short(scored: Scored) -> None:
    module, data = scored
    asked = judged_by(data, *PREFIX)
    with_a_short_capture(asked, KNOWN)
    tables = window_tables(module, asked)
    titles = {test.capture.label for tests in data.tests.values() for test in tests}
    assert {table.title for table in tables} == titles


def test_a_beginning_shorter_than_a_window_is_refused(scored: Scored) -> None:
    _, data = scored
    (test,) = data.tests[UNKNOWN]
    late = test.capture.frames.timestamp.copy()
    late[20:] += 30  # silent for seconds
    frames = replace(test.capture.frames, timestamp=late)
    silent = replace(test, capture=replace(test.capture, frames=frames))
    for how in ("prefix", "drives"):
        with pytest.raises(DataError, match="the first 4 s hold 20 frames, fewer than a window"):
            calibrate(data, silent, f"evaluation.calibration={how}", SECONDS)


def verdicts_of(
    scored: Scored, learned: list[float], beginning: list[float], threshold: float
) -> dict[str, np.ndarray]:
    """Alarms of a calibrated capture whose monitors are silent, by given learned scores."""
    _, data = scored
    (test,) = data.tests[UNKNOWN]
    quiet = replace(test, capture=replace(test.capture, frames=test.capture.frames[:3000]))
    quiet = replace(quiet, windows=torch.arange(30))
    made = calibrate(data, quiet, "evaluation.calibration=prefix",
                     "evaluation.calibration_seconds=0.5")  # fmt: skip
    made.evidence.score[:] = 0
    made = replace(made, test=replace(made.test, windows=made.test.windows[: len(learned)]))
    found = made.judge(np.array(learned), np.array(beginning), threshold, 10.0)
    assert ((found[MODEL].score > 1) == found[MODEL].alarm).all()
    return {name: verdict.alarm.tolist() for name, verdict in found.items()}


def test_the_learned_detector_has_to_leave_the_scores_of_the_beginning(scored: Scored) -> None:
    learned = [0.5, 2.0, 9.0]
    calm = [-5.0, -5.1, -4.9, -5.0]
    assert verdicts_of(scored, learned, calm, 1.0)[LEARNED] == [False, True, True]
    assert verdicts_of(scored, learned, calm, 5.0)[LEARNED] == [False, False, True]
    high = [1.9, 2.0, 2.1, 2.2, 1.8]  # benign windows of this vehicle look like attacks
    found = verdicts_of(scored, learned, high, 1.0)
    assert found[LEARNED] == found[MODEL] == [False, False, True]
    assert verdicts_of(scored, [7.0, 7.0], [7.0] * 4, 1.0)[MODEL] == [False, False]


def test_the_score_of_both_is_the_larger_share_of_what_an_alarm_takes(scored: Scored) -> None:
    _, data = scored
    (test,) = data.tests[UNKNOWN]
    made = calibrate(data, test, *PREFIX)
    n = len(made.test.windows)
    found = made.judge(np.full(n, 1.5), np.zeros(5), 2.0, 10.0)
    monitored = found[MONITORS].score / made.baseline.monitors.level(8.0)
    assert found[MODEL].score == pytest.approx(np.maximum(0.75, monitored))
    assert found[MODEL].alarm.tolist() == found[MONITORS].alarm.tolist()
    assert found[MODEL].alarm.any() and not found[MODEL].alarm.all()


def test_a_learned_detector_that_alarms_all_the_time_adds_one_alarm(scored: Scored) -> None:
    _, data = scored
    (test,) = data.tests[UNKNOWN]
    made = calibrate(data, test, *PREFIX)
    n = len(made.test.windows)
    found = made.judge(np.full(n, 3.0), np.zeros(5), 2.0, 10.0)
    added = np.flatnonzero(found[MODEL].alarm & ~found[MONITORS].alarm)
    assert found[LEARNED].alarm.all() and len(added) == 1
    assert added[0] == np.flatnonzero(~found[MONITORS].alarm)[0]
    assert (found[MODEL].alarm >= found[MONITORS].alarm).all()
    assert ((found[MODEL].score > 1) == found[MODEL].alarm).all()


def test_scores_at_their_bounds_stay_finite() -> None:
    values = np.array([0.0, 0.5, 1.0], np.float32)
    odds, error = log_odds(values), log_error(values)
    assert np.isfinite(odds).all() and np.isfinite(error).all()
    assert odds[1] == 0 and odds[0] == pytest.approx(-odds[2]) and error[2] == 0


def odd_capture(name: str) -> Frames:
    """Two thousand frames of 20 identifiers, odd in one way."""
    n, random = 2000, np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {
        "timestamp": np.arange(n) / 500,
        "arbitration_id": (0x100 + np.arange(n) % 20).astype(np.uint32),
        "dlc": np.full(n, 8, np.uint8),
        "payload": random.integers(0, 256, (n, 8)).astype(np.uint8),
        "label": np.zeros(n, np.int8),
    }
    changes = {
        "one id": {"arbitration_id": np.full(n, 0x18DAF110, np.uint32)},
        "no cycle": {"arbitration_id": random.integers(0, 2048, n).astype(np.uint32)},
        "equal times": {"timestamp": np.round(np.arange(n) / 500, 0)},
        "time steps back": {"timestamp": np.arange(n) / 500 - 3.0 * (np.arange(n) > 1800)},
        "seconds since 1970": {"timestamp": np.arange(n) / 500 + 1.5e9},
        "no payload": {"dlc": np.zeros(n, np.uint8), "payload": np.zeros((n, 8), np.uint8)},
        "attacks alone": {"label": np.ones(n, np.int8)},
    }
    return Frames(**(columns | changes[name]))


@pytest.mark.parametrize("name", [
    "one id", "no cycle", "equal times", "time steps back", "seconds since 1970", "no payload",
    "attacks alone",
])  # fmt: skip
def test_odd_captures_are_judged_in_finite_numbers(scored: Scored, name: str) -> None:
    module, data = scored
    asked = judged_by(data, "evaluation.calibration=prefix", "evaluation.calibration_seconds=1")
    found = capture(KNOWN, name, odd_capture(name))
    graphs = build_graphs(found.frames, data.learned.profile)
    test = Judged(found, GraphStore.from_graphs([graphs]), torch.arange(20))
    rows = window_table(module, asked, test).rows
    assert rows and all(np.isfinite(float(row[4])) for row in rows)  # type: ignore[arg-type]
