"""Means over seeds with Student's interval, and which runs differ by their seed alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_runs import KNOWN, RULE, SCORES, finish_run, make_run
from tutelage.core.chance import student_t
from tutelage.core.store import RunStore
from tutelage.report.page import render_page
from tutelage.report.seeds import interval, seed_table, seeds_of


@pytest.mark.parametrize(("degrees", "t"), [
    (1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423), (120, 1.9799),
])  # fmt: skip
def test_t_equals_the_printed_tables(degrees: int, t: float) -> None:
    assert student_t(degrees) == pytest.approx(t, abs=5e-5)


@pytest.mark.parametrize(("degrees", "t"), [(1, 6.3138), (2, 2.9200), (5, 2.0150), (10, 1.8125)])
def test_t_equals_the_printed_tables_at_another_level(degrees: int, t: float) -> None:
    assert student_t(degrees, level=0.9) == pytest.approx(t, abs=5e-5)


def test_an_interval_computed_by_hand() -> None:
    found = interval([0.9, 0.95, 0.94])
    assert (found.mean, found.n) == (pytest.approx(0.93), 3)
    assert found.half_width == pytest.approx(4.302653 * 0.0264575 / 3**0.5, rel=1e-5)
    assert (found.lowest, found.highest) == (0.9, 0.95)


def test_equal_values_are_their_mean_to_the_last_digit() -> None:
    found = interval([0.1, 0.1, 0.1])
    assert (found.mean, found.half_width) == (0.1, 0.0)


def test_a_single_value_has_no_interval() -> None:
    assert interval([0.5]).half_width is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20))
def test_an_interval_is_that_of_the_samples_own_deviation(values: list[float]) -> None:
    found = interval(values)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert found.half_width == pytest.approx(student_t(len(values) - 1) * error, abs=1e-9)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)


def test_the_interval_holds_the_true_mean_in_95_of_100_samples() -> None:
    draws = np.random.default_rng(0).normal(size=(4000, 3))
    held = [abs((one := interval(row)).mean) <= (one.half_width or 0) for row in draws.tolist()]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


def test_runs_of_one_configuration_and_other_seeds_differ_by_seed_alone(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    runs = [finish_run(store, f"training.seed={seed}", "run.policy=force_new") for seed in (0, 4)]
    runs.append(finish_run(store, "training.seed=7"))
    assert seeds_of(runs) == (0, 4, 7)


@pytest.mark.parametrize("overrides", [
    ("training.seed=0",), ("training.seed=1", "training.max_epochs=2"), ("data.stride=50",),
    ("training.seed=1", "data.simulated_seed=1"),
])  # fmt: skip
def test_other_runs_do_not(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    store = RunStore(tmp_path)
    assert seeds_of([finish_run(store), finish_run(store, *overrides)]) == ()


def test_unfinished_runs_and_runs_of_other_parents_do_not(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first = finish_run(store)
    assert seeds_of([first, make_run(store, "training.seed=1")]) == ()
    child = finish_run(store, "training.seed=1", parent=first)
    prints = child.record.fingerprints.model_copy(update={"parents": ("another",)})
    child.update(fingerprints=prints)
    assert seeds_of([first, child]) == ()


def test_the_table_has_mean_interval_and_range_beside_each_baseline(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    scores = [{**SCORES, f"{KNOWN}/f1": f1} for f1 in (0.97, 0.98, 0.99)]
    del scores[1][f"{KNOWN}/auroc"]
    runs = [finish_run(store, f"training.seed={i}", scores=s) for i, s in enumerate(scores)]
    table = seed_table([run.record for run in runs])
    assert table.columns[-2:] == ("unseen-id", "two-gap")
    rows = {row[0]: row[1:] for row in table.rows}
    f1 = rows[f"{KNOWN}/f1"]
    assert f1[:2] == (pytest.approx(0.98), pytest.approx(0.0248414, rel=1e-4))
    assert f1[2:5] == (0.97, 0.99, 3)
    assert f1[5:] == (pytest.approx(RULE[f"{KNOWN}/f1"]), None)
    assert rows[f"{KNOWN}/auroc"][4] == 2
    assert rows[f"{KNOWN}/windows"][0] == 120 and isinstance(rows[f"{KNOWN}/windows"][0], int)
    assert f"{KNOWN}/DoS/f1" not in rows
    assert "Mean of 3 seeds" in render_page(runs)
    assert "Mean of" not in render_page([runs[0], finish_run(store, "model=vgae")])
