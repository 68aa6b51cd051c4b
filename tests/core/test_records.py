"""Records hold finite scores and describe their surroundings."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from pydantic import ValidationError

from made_runs import KNOWN, finish_run
from tutelage.core.records import Environment, Evaluation, Table
from tutelage.core.store import RECORD, RunStore


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Evaluation(metrics={"test/f1": value})
    with pytest.raises(ValidationError, match="finite"):
        Evaluation(baselines={"rule": {"test/f1": value}})


def test_a_record_is_strict_json_and_reads_back_equal(tmp_path: Path) -> None:
    run = finish_run(RunStore(tmp_path))
    text = (run.path / RECORD).read_text()
    json.loads(text, parse_constant=pytest.fail)
    assert run.record == run.record.model_validate_json(text)


def test_a_table_may_hold_what_is_no_finite_number_and_its_json_says_null(tmp_path: Path) -> None:
    run = finish_run(RunStore(tmp_path))
    table = Table(title="t", columns=("a", "b"), rows=((float("nan"), 1), ("x", -float("inf"))))
    run.update(tables=(table,))
    json.loads((run.path / RECORD).read_text(), parse_constant=pytest.fail)
    assert run.record.tables[0].rows == ((None, 1), ("x", None))


def test_the_summary_has_the_keys_that_scripts_read(tmp_path: Path) -> None:
    run = finish_run(RunStore(tmp_path))
    summary = run.record.summary(run.path)
    names = ("run", "path", "status", "metrics", "baselines", "seconds", "parents")
    assert tuple(summary) == names
    assert summary["metrics"][f"{KNOWN}/f1"] == 0.975  # type: ignore[index]


def test_the_environment_lists_the_packages_that_decide_results() -> None:
    here = Environment.here()
    assert here.packages["numpy"] == metadata.version("numpy")
    assert here.packages["torch-geometric"] == metadata.version("torch-geometric")
    assert here.tutelage == metadata.version("tutelage")
