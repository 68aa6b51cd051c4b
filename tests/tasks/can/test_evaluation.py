"""Scores against hand computation; a ratio whose denominator is empty is left out."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from made_captures import can_config, write_drive

from agreeing_blocks import assert_blocks_agree
from tutelage.core.errors import ConfigError, DataError
from tutelage.tasks.can.datamodule import CANGraphDataModule
from tutelage.tasks.can.evaluation import evaluate
from tutelage.tasks.can.events import EventScores
from tutelage.tasks.can.modules import GATModule
from tutelage.tasks.can.simulator import simulate_capture, write_csv
from tutelage.tasks.can.verdicts import Verdicts
from tutelage.tasks.can.window_verdicts import model_scores, window_table

KNOWN, SUPPRESS, BLANK = "test_01_known", "test_05_suppress", "test_09_unlabelled"
COUNTS = {"windows", "tp", "fp", "fn", "tn", "events"}
NO_EVENTS = EventScores(0, 0, np.zeros(0), 0, 0.0, 0.0)


def verdicts(score: list[float], truth: list[int], seconds: float = 0.5) -> Verdicts:
    values = np.array(score, np.float32)
    length = np.full(len(score), seconds)
    return Verdicts(values, values > 0.5, np.array(truth, bool), length, NO_EVENTS)


def naive_auroc(score: list[float], truth: list[int]) -> float:
    """The share of pairs in which the attack scores higher; a tie counts half."""
    attacks = [s for s, t in zip(score, truth, strict=True) if t]
    benign = [s for s, t in zip(score, truth, strict=True) if not t]
    won = [(a > b) + 0.5 * (a == b) for a, b in product(attacks, benign)]
    return sum(won) / len(won)


def naive_average_precision(score: list[float], truth: list[int]) -> float:
    """The sum of precision over each step of recall."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        called = [t for s, t in zip(score, truth, strict=True) if s >= threshold]
        recall = sum(called) / sum(truth)
        total += (recall - before) * sum(called) / len(called)
        before = recall
    return total


def test_scores_equal_those_computed_by_hand() -> None:
    score = [0.9, 0.8, 0.7, 0.6, 0.4, 0.4, 0.3, 0.2, 0.1, 0.55]
    truth = [1, 1, 0, 1, 1, 0, 0, 0, 0, 0]
    found = verdicts(score, truth).metrics()
    assert (found["tp"], found["fp"], found["fn"], found["tn"]) == (3, 2, 1, 4)
    assert found["windows"] == 10
    assert found["accuracy"] == 7 / 10
    assert found["precision"] == 3 / 5
    assert found["recall"] == 3 / 4
    assert found["f1"] == pytest.approx(2 * 0.6 * 0.75 / 1.35)
    assert found["false_alarms_per_hour"] == pytest.approx(2 / (6 * 0.5 / 3600))
    assert found["auroc"] == pytest.approx(naive_auroc(score, truth))
    assert found["auprc"] == pytest.approx(naive_average_precision(score, truth))


@pytest.mark.parametrize(("score", "truth", "absent"), [
    ([0.9, 0.1, 0.2], [0, 0, 0], {"recall", "f1", "auroc", "auprc"}),
    ([0.4, 0.1, 0.2], [0, 0, 0], {"precision", "recall", "f1", "auroc", "auprc"}),
    ([0.9, 0.1, 0.2], [1, 1, 1], {"false_alarms_per_hour", "auroc", "auprc"}),
    ([0.4, 0.1, 0.2], [1, 0, 0], {"precision"}),
], ids=["no-attack", "nothing-at-all", "no-benign", "no-alarm"])  # fmt: skip
def test_a_ratio_without_a_denominator_is_left_out(
    score: list[float], truth: list[int], absent: set[str]
) -> None:
    whole = {"accuracy", "precision", "recall", "f1", "false_alarms_per_hour", "auroc", "auprc"}
    assert set(verdicts(score, truth).metrics()) == (whole - absent) | COUNTS


def test_large_scores_stay_apart_and_none_is_above_one() -> None:
    score = [*np.linspace(20, 40, 1001), *np.linspace(60, 90, 333)]
    found = verdicts(score, [0] * 1001 + [1] * 333).metrics()
    assert (found["auroc"], found["auprc"]) == (1.0, 1.0)


def test_windows_that_overlap_count_their_time_once(
    scored: tuple[GATModule, CANGraphDataModule], tmp_path: Path
) -> None:
    module, data = scored
    config = can_config(f"data.root={data.config.data.root}", "data.stride=50")
    dense = CANGraphDataModule(config, tmp_path, data.learned)
    dense.setup("test")
    key = f"{KNOWN}/attack-free/false_alarms_per_hour"
    sparse = evaluate(module, data).baselines["always_alarm"][key]
    assert evaluate(module, dense).baselines["always_alarm"][key] == pytest.approx(
        2 * sparse, rel=0.05
    )


def test_missing_every_attack_scores_zero() -> None:
    found = verdicts([0.4, 0.1, 0.2], [1, 0, 0]).metrics()
    assert (found["f1"], found["recall"]) == (0.0, 0.0)


def test_a_clock_that_steps_back_gives_no_negative_hours() -> None:
    found = verdicts([0.9, 0.1], [0, 0], seconds=-0.001).metrics()
    assert "false_alarms_per_hour" not in found


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[GATModule, CANGraphDataModule]:
    """A model before training, and captures with and without attacks and labels."""
    root = tmp_path_factory.mktemp("captures")
    write_drive(root / "train_02" / "DoS.csv", 1, "dos")
    write_drive(root / KNOWN / "DoS.csv", 2, "dos", seconds=4)
    write_drive(root / KNOWN / "fuzzing.csv", 3, "fuzzing", seconds=4)
    write_drive(root / KNOWN / "attack-free.csv", 4, None, seconds=2)
    write_drive(root / SUPPRESS / "suppress.csv", 5, "suppression", seconds=4)
    frames = simulate_capture("estate", seed=6, seconds=2).frames
    frames.label[:] = -1
    (root / BLANK).mkdir()
    write_csv(frames, root / BLANK / "drive.csv")
    header, rest = (root / BLANK / "drive.csv").read_text().split("\n", 1)
    lines = [header, *rest.splitlines()]
    (root / BLANK / "drive.csv").write_text(
        "\n".join(line.rpartition(",")[0] for line in lines) + "\n"
    )
    config = can_config(f"data.root={root}")
    data = CANGraphDataModule(config, tmp_path_factory.mktemp("cache"))
    data.setup("fit")
    torch.manual_seed(0)
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    data.fit_module(module)
    module.threshold.fill_(float(np.median(model_scores(module, data.tests[KNOWN][0])[0])))
    return module, data


def test_each_split_is_scored_whole_and_by_attack_beside_the_rules(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = scored
    found = evaluate(module, data)
    assert set(found.baselines) == {"unseen_id_count", "two_gap", "payload", "always_alarm"}
    always = found.baselines["always_alarm"]
    assert always[f"{KNOWN}/recall"] == 1.0 and always[f"{KNOWN}/auroc"] == 0.5
    assert always[f"{KNOWN}/tn"] == 0
    for scores in (found.metrics, *found.baselines.values()):
        for split, attacks in ((KNOWN, ("DoS", "fuzzing", "attack-free")), (SUPPRESS, ())):
            whole = scores[f"{split}/windows"]
            parts = [scores[f"{split}/{attack}/windows"] for attack in attacks]
            assert whole == sum(parts) or not attacks
        for count in COUNTS:
            parts = [scores[f"{KNOWN}/{a}/{count}"] for a in ("DoS", "fuzzing", "attack-free")]
            assert scores[f"{KNOWN}/{count}"] == sum(parts)
    assert_blocks_agree(found, f"{KNOWN}/f1")
    shared = {key for key in found.metrics if key.rpartition("/")[2] in ("windows",)}
    for rule in found.baselines.values():
        assert {k: rule[k] for k in shared} == {k: found.metrics[k] for k in shared}


def test_a_suppression_without_attack_labels_has_derived_events_and_no_score_of_labels(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    found = evaluate(*scored)
    for scores in (found.metrics, *found.baselines.values()):
        names = {key.rpartition("/")[2] for key in scores if key.startswith(SUPPRESS)}
        assert {"accuracy", "windows", "false_alarms_per_hour", "alarm_duty"} <= names
        assert not names & {"f1", "recall", "auroc", "auprc"}
        derived = scores[f"{SUPPRESS}/derived_events"]
        assert derived == scores[f"{SUPPRESS}/events"] >= 1
    assert found.baselines["always_alarm"][f"{SUPPRESS}/event_recall"] == 1.0


def test_unlabelled_windows_are_left_out_of_every_score(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = scored
    assert BLANK in data.tests
    found = evaluate(module, data)
    assert not [key for key in found.metrics if key.startswith(BLANK)]


def test_the_model_is_scored_by_its_own_threshold(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = scored
    (test,) = [t for t in data.tests[KNOWN] if t.capture.name == "DoS"]
    score, alarm = model_scores(module, test)
    truth = (test.store.y[test.windows] == 1).numpy()
    assert alarm.any() and not alarm.all()
    assert (alarm == (score > module.threshold.item())).all()
    metrics = evaluate(module, data).metrics
    assert metrics[f"{KNOWN}/DoS/tp"] == int((alarm & truth).sum())
    assert metrics[f"{KNOWN}/DoS/fp"] == int((alarm & ~truth).sum())
    assert metrics[f"{KNOWN}/DoS/auroc"] == pytest.approx(
        naive_auroc(score.tolist(), truth.tolist()), abs=1e-6
    )


def test_the_rules_are_scored_on_the_same_windows(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = scored
    (test,) = [t for t in data.tests[KNOWN] if t.capture.name == "DoS"]
    truth = (test.store.y[test.windows] == 1).numpy()
    verdict = data.learned.rules["unseen_id_count"].windows(test.capture.frames, 100, 100)
    assert (verdict.alarm & truth).any()
    rule = evaluate(module, data).baselines["unseen_id_count"]
    assert rule[f"{KNOWN}/DoS/tp"] == int((verdict.alarm & truth).sum())
    assert rule[f"{KNOWN}/DoS/fp"] == int((verdict.alarm & ~truth).sum())


def test_a_table_has_a_row_for_each_window(scored: tuple[GATModule, CANGraphDataModule]) -> None:
    module, data = scored
    (test,) = data.tests[BLANK]
    table = window_table(module, data, test)
    frames = test.capture.frames
    assert table.title == f"{BLANK}/drive"
    assert len(table.rows) == len(frames) // 100
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    for k, row in enumerate(rows):
        assert (row["window"], row["first_frame"]) == (k, 100 * k)
        assert row["start_time"] == frames.timestamp[100 * k]
        assert row["end_time"] == frames.timestamp[100 * k + 99]
        assert row["alarm"] == int(row["score"] > module.threshold.item())


def test_data_without_any_label_can_not_be_scored(
    scored: tuple[GATModule, CANGraphDataModule], tmp_path: Path
) -> None:
    module, data = scored
    blank = Path(str(data.config.data.root)) / BLANK
    config = can_config(f"data.root={blank}")
    unlabelled = CANGraphDataModule(config, tmp_path, data.learned)
    unlabelled.setup("test")
    with pytest.raises(DataError, match="no window is labelled"):
        evaluate(module, unlabelled)


def with_evaluation(data: CANGraphDataModule, *overrides: str) -> CANGraphDataModule:
    """The same data under other settings of evaluation; nothing is learned anew."""
    config = can_config(f"data.root={data.config.data.root}", *overrides)
    other = CANGraphDataModule(config, data.cache, data.learned)
    other.setup("test")
    return other


def test_events_are_scored_for_the_model_and_every_rule(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = scored
    found = evaluate(module, data)
    always = found.baselines["always_alarm"]
    events = always[f"{KNOWN}/events"]
    assert events >= 2 and always[f"{KNOWN}/event_recall"] == 1.0
    assert always[f"{KNOWN}/alarm_duty"] == 1.0
    assert always[f"{KNOWN}/attack-free/events"] == 0
    assert f"{KNOWN}/attack-free/event_recall" not in always
    for scores in (found.metrics, *found.baselines.values()):
        assert scores[f"{KNOWN}/events"] == events
        assert 0 <= scores[f"{KNOWN}/alarm_duty"] <= 1
    rule = found.baselines["unseen_id_count"]
    assert rule[f"{KNOWN}/event_recall"] > 0 and rule[f"{KNOWN}/time_to_detection"] > 0


def test_a_longer_gap_joins_events(scored: tuple[GATModule, CANGraphDataModule]) -> None:
    module, data = scored
    counts = [
        evaluate(module, with_evaluation(data, f"evaluation.event_gap_seconds={gap}")).metrics[
            f"{KNOWN}/events"
        ]
        for gap in (0.0005, 2, 100)
    ]
    assert counts[0] > counts[1] >= counts[2] == 2


def test_k_of_n_acts_on_the_model_the_rules_and_the_table(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = scored
    strict = with_evaluation(data, "evaluation.k=3", "evaluation.n=3")
    (before, after) = evaluate(module, data), evaluate(module, strict)
    for name in ("unseen_id_count", "always_alarm"):
        alarms = [e.baselines[name][f"{KNOWN}/tp"] + e.baselines[name][f"{KNOWN}/fp"]
                  for e in (before, after)]  # fmt: skip
        assert 0 < alarms[1] < alarms[0]
    captures = len(data.tests[KNOWN])
    windows = before.metrics[f"{KNOWN}/windows"]
    always = after.baselines["always_alarm"]
    assert always[f"{KNOWN}/tp"] + always[f"{KNOWN}/fp"] == windows - 2 * captures
    (test,) = [t for t in strict.tests[KNOWN] if t.capture.name == "DoS"]
    rows = window_table(module, strict, test).rows
    over = [row[4] > module.threshold.item() for row in rows]  # type: ignore[operator]
    assert [bool(row[5]) for row in rows] == [all(over[i - 2 : i + 1]) and i > 1
                                              for i in range(len(over))]  # fmt: skip
    shown = sum(bool(row[5]) for row in rows)
    assert shown == after.metrics[f"{KNOWN}/DoS/tp"] + after.metrics[f"{KNOWN}/DoS/fp"]


def test_more_than_n_windows_can_not_be_asked_for() -> None:
    with pytest.raises(ConfigError, match="k=3 of the last n=2"):
        can_config("evaluation.k=3", "evaluation.n=2")


def test_derived_attacks_are_events_and_no_time_to_call_false_alarms_in(
    scored: tuple[GATModule, CANGraphDataModule],
) -> None:
    module, data = scored
    (test,) = data.tests[SUPPRESS]
    first = float(test.capture.frames.timestamp[0])
    attack = np.array([[first + 1.0, first + 2.0]])
    nothing = {test.capture.label: np.zeros((0, 2))}
    plain = evaluate(module, data, nothing).baselines["always_alarm"]
    found = evaluate(module, data, {test.capture.label: attack}).baselines["always_alarm"]
    assert plain[f"{SUPPRESS}/events"] == 0 and f"{SUPPRESS}/derived_events" not in plain
    assert found[f"{SUPPRESS}/events"] == found[f"{SUPPRESS}/derived_events"] == 1
    assert found[f"{SUPPRESS}/event_recall"] == 1.0
    left_out = plain[f"{SUPPRESS}/windows"] - found[f"{SUPPRESS}/windows"]
    assert 0 < left_out < plain[f"{SUPPRESS}/windows"]
    assert found[f"{SUPPRESS}/fp"] == found[f"{SUPPRESS}/windows"]
    assert {k: v for k, v in plain.items() if k.startswith(KNOWN)} == {
        k: v for k, v in found.items() if k.startswith(KNOWN)
    }


def test_vehicles_have_scores_of_their_own_where_a_split_has_several(tmp_path: Path) -> None:
    write_drive(tmp_path / "train_02" / "DoS.csv", 1, "dos")
    write_drive(tmp_path / "test_01" / "DoS-kia.csv", 2, "dos", seconds=3)
    write_drive(tmp_path / "test_01" / "fuzzing-sonata.csv", 3, "fuzzing", seconds=3)
    write_drive(tmp_path / "test_02" / "DoS-spark.csv", 4, "dos", seconds=3)
    config = can_config(f"data.root={tmp_path}")
    data = CANGraphDataModule(config, tmp_path / "cache")
    data.setup("fit")
    module = GATModule(config.model, config.training, len(data.learned.profile))  # type: ignore[arg-type]
    found = evaluate(module, data).metrics
    groups = {key.rpartition("/")[0] for key in found}
    vehicles = {"test_01/vehicle kia", "test_01/vehicle sonata"}
    assert groups == {"test_01", "test_01/DoS", "test_01/fuzzing", "test_02", "test_02/DoS"} | (
        vehicles
    )
    assert sum(found[f"{v}/windows"] for v in vehicles) == found["test_01/windows"]
