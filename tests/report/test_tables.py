"""Tables put the model's scores beside each baseline's, a dash where one is undefined."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_runs import KNOWN, SCORES, UNKNOWN, finish_run, make_run
from tutelage.core.records import RunRecord, Table
from tutelage.core.store import RunStore
from tutelage.report import tables
from tutelage.task import load_task


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return finish_run(RunStore(tmp_path)).record


def test_results_have_a_row_a_split_and_a_column_a_detector(record: RunRecord) -> None:
    table = tables.results_table(record, "f1")
    assert table.columns == ("test split", "model", "unseen-id", "two-gap")
    assert table.rows == ((KNOWN, 0.975, 0.6, None), (UNKNOWN, None, None, None))


def test_many_detectors_are_rows_with_a_column_a_split(record: RunRecord) -> None:
    rivals = {f"rival-{number}": {f"{KNOWN}/f1": number / 10} for number in range(9)}
    wide = record.model_copy(update={"baselines": rivals})
    table = tables.results_table(wide, "f1")
    assert table.columns == ("", KNOWN, UNKNOWN)
    assert table.rows[0] == ("model", 0.975, None)
    assert table.rows[-1] == ("rival-8", 0.8, None) and len(table.rows) == 10
    assert (
        tables.results_table(wide.model_copy(update={"metrics": {}, "baselines": {}}), "f1").rows
        == ()
    )
    bare = {name: {} for name in rivals}
    empty = wide.model_copy(update={"metrics": {}, "baselines": bare})
    assert tables.results_table(empty, "f1").rows == ()


def test_the_model_has_a_table_of_the_metrics_that_its_task_names(record: RunRecord) -> None:
    table = tables.model_table(record, {"auroc": "AUROC", "false_alarms_per_hour": "per h"})
    assert table.columns == ("test split", "AUROC", "per h")
    assert table.rows == ((KNOWN, 0.999, 1234.5), (UNKNOWN, None, None))
    assert tables.model_table(record, {"recall": "recall"}).rows == ()
    assert tables.model_table(record, {}).rows == ()


def test_a_person_sees_the_headline_and_then_the_models_own_table(record: RunRecord) -> None:
    shown = tables.summary_tables(record, load_task("can"))
    assert [table.title for table in shown] == ["f1 by test split", "model by test split"]
    assert "false\nalarms/h" in shown[1].columns


def test_stages_stand_beneath_each_other_with_the_baselines_that_all_share(
    record: RunRecord,
) -> None:
    baselines = {"unseen-id": record.baselines["unseen-id"], "rival": {f"{KNOWN}/f1": 0.1}}
    last = record.model_copy(update={"metrics": {f"{KNOWN}/f1": 0.5}, "baselines": baselines})
    table = tables.stages_table({"teacher": record, "student": last}, "f1")
    assert table.columns == ("", KNOWN, UNKNOWN)
    assert table.rows == (
        ("teacher", 0.975, None),
        ("student", 0.5, None),
        ("unseen-id", 0.6, None),
    )


def test_attacks_have_rows_of_their_own(record: RunRecord) -> None:
    rows = tables.group_table(record, "f1").rows
    assert rows == (
        (f"{KNOWN}/DoS", 1.0, 0.7, None),
        (f"{KNOWN}/attack-free", None, None, None),
    )


def counted(split: str, tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    names = dict(zip(tables.CONFUSION, (tp, fp, fn, tn), strict=True))
    return {f"{split}/{name}": value for name, value in names.items()}


def test_a_row_of_dashes_has_its_reason_beneath_the_table(tmp_path: Path) -> None:
    benign, attacks = counted("benign", 0, 3, 0, 9), counted("flood", 5, 0, 1, 0)
    scores = {"benign/accuracy": 0.75, "flood/f1": 0.9, "odd/accuracy": 1.0}
    run = finish_run(RunStore(tmp_path), scores=benign | attacks | scores)
    record = run.update(baselines={"rule": counted("benign", 0, 0, 0, 12)})
    note = tables.results_table(record, "f1").note
    assert note == (
        "No attack in benign: f1, recall, auroc and auprc are not defined there. "
        "In odd: f1 is not defined there."
    )
    ranked = tables.results_table(record, "auroc").note
    assert "No benign sample in flood: auroc and auprc are not defined there." in ranked
    assert tables.results_table(record, "accuracy").note == (
        "In flood: accuracy is not defined there."
    )


def test_a_split_shows_each_metric_but_the_confusion_counts(record: RunRecord) -> None:
    rows = {row[0]: row[1:] for row in tables.split_table(record, KNOWN).rows}
    assert rows["f1"] == (0.975, 0.6, None)
    assert rows["windows"] == (120, None, None) and isinstance(rows["windows"][0], int)
    assert not set(rows) & {*tables.CONFUSION, "DoS/f1"}


def test_one_alarm_is_a_count_and_not_a_ratio(record: RunRecord) -> None:
    rows = tables.confusion_table(record).rows
    assert rows == ((KNOWN, "model", 40, 1, 1, 78), (KNOWN, "unseen-id", 30, None, None, None))
    assert all(isinstance(n, int) for n in rows[0][2:])


def test_a_comparison_gives_differences_from_the_first(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    lower = {**SCORES, f"{KNOWN}/f1": 0.875, f"{KNOWN}/windows": 100}
    runs = [finish_run(store), finish_run(store, scores=lower), make_run(store)]
    table = tables.comparison_table([run.record for run in runs])
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows[f"{KNOWN}/f1"] == (0.975, 0.875, None, pytest.approx(-0.1), None)
    assert rows[f"{KNOWN}/windows"] == (120, 100, None, -20, None)
    assert isinstance(rows[f"{KNOWN}/fp"][0], int) and isinstance(rows[f"{KNOWN}/f1"][0], float)
    assert len(table.columns) == 6


def test_a_record_without_scores_has_empty_tables(tmp_path: Path) -> None:
    record = make_run(RunStore(tmp_path)).record
    assert tables.results_table(record, "f1").rows == ()
    assert tables.headline_value(record, "f1") is None
    assert tables.splits_of(record) == []


def test_the_headline_is_the_tasks_own_or_the_first_metric(record: RunRecord) -> None:
    assert tables.headline_of(record) == "f1"
    assert tables.headline_of(record.model_copy(update={"task": "gone"})) == "accuracy"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0.97512, "0.9751"), (0.0, "0.0000"), (1.0, "1.0000"), (2e-5, "2.0e-05"),
        (-0.1, "-0.1000"), (12.345, "12.35"), (12345.6, "12346"), (7, "7"), ("a", "a"),
    ],
)  # fmt: skip
def test_a_cell_is_written_for_a_person(value: tables.Cell, text: str) -> None:
    assert tables.cell(value) == text


def test_a_person_sees_at_once_the_tables_that_the_task_puts_first(record: RunRecord) -> None:
    first = Table(title="by type", columns=("type",), rows=(("person",),), first=True)
    later = Table(title="errors", columns=("where",), rows=(("a:1",),))
    record = record.model_copy(update={"tables": (later, first)})
    shown = tables.summary_tables(record, load_task("can"))
    assert [table.title for table in shown][2:] == ["by type"]


def test_groups_are_called_what_the_task_calls_them(record: RunRecord) -> None:
    assert tables.group_table(record, "f1").columns[0] == "split / attack or vehicle"
    strange = record.model_copy(update={"task": "nothing-installed"})
    assert tables.group_table(strange, "f1").columns[0] == "split / group"
