"""`tutelage runs export` writes real runs as tables that spreadsheets and data frames read."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pyarrow import parquet

from made_runs import KNOWN, SCORES, finish_run, make_run
from tutelage.cli.runs_export import export_runs
from tutelage.core.errors import RequestError
from tutelage.core.store import RunStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "runs"))
    return RunStore.default()


def test_a_row_holds_a_runs_scores_baselines_and_what_it_differs_by(
    store: RunStore, tmp_path: Path
) -> None:
    first = finish_run(store, "model.hidden=16", "run.tags.purpose=paper")
    second = make_run(store, "model.hidden=32", parent=first)
    export_runs(tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        one, other = csv.DictReader(file)
    assert (one["run"], other["run"]) == (first.id, second.id)
    assert (one["status"], other["status"]) == ("finished", "created")
    assert (one["model.hidden"], other["model.hidden"]) == ("16", "32")
    assert "model.layers" not in one  # the same in both
    assert one["tag purpose"] == "paper"
    assert float(one[f"{KNOWN}/f1"]) == SCORES[f"{KNOWN}/f1"]
    assert float(one[f"unseen-id: {KNOWN}/f1"]) == 0.6
    assert other[f"{KNOWN}/f1"] == ""
    assert other["parents"] == f"initial weights={first.id}"


def test_a_parquet_file_says_the_same_with_types_and_leaves_trials_folds_out(
    store: RunStore, tmp_path: Path
) -> None:
    run = finish_run(store)
    finish_run(store, "run.tags.purpose=trial-fold", fingerprint="of a fold")
    export_runs(tmp_path / "runs.parquet")
    (row,) = parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert row["run"] == run.id
    assert row[f"{KNOWN}/f1"] == SCORES[f"{KNOWN}/f1"]


def test_curves_have_a_row_for_each_logged_value(store: RunStore, tmp_path: Path) -> None:
    run = finish_run(store)
    export_runs(tmp_path / "curves.csv", [run.id], curves=True)
    with (tmp_path / "curves.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"run": run.id, "metric": "train/loss", "step": "1", "value": "1.0"}
    assert {row["metric"] for row in rows} == {"train/loss", "val/f1"}
    assert len(rows) == 23


def test_another_kind_of_file_and_an_empty_store_are_refused(
    store: RunStore, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=r"there are no runs in .*\n  `tutelage train`"):
        export_runs(tmp_path / "runs.csv")
    finish_run(store)
    with pytest.raises(RequestError, match=r"runs\.xlsx: .*\n.*\.csv or \.parquet"):
        export_runs(tmp_path / "runs.xlsx")
