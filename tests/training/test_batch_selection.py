"""The choice among measured sizes and the memory model, on tables written by hand."""

from __future__ import annotations

import pytest

from tutelage.core.errors import RunFailedError
from tutelage.training.batch_selection import (
    MemoryModel,
    SizeRow,
    has_plateaued,
    select,
    summarise,
)
from tutelage.training.probe import Probe


def row(size: int, throughput: float, peak: int = 100, out: bool = False) -> SizeRow:
    return SizeRow(size, size, 20, size / throughput, throughput, peak, out)


def test_the_smallest_size_within_the_tolerance_of_the_peak_is_taken() -> None:
    rows = [row(32, 900), row(64, 949), row(128, 951), row(256, 1000), row(512, 990)]
    chosen = select(rows, tolerance=0.05, limit=1e9)
    assert chosen is not None
    assert chosen.size == 128


def test_no_tolerance_takes_the_peak_itself() -> None:
    chosen = select([row(8, 99), row(16, 100), row(32, 100)], tolerance=0.0, limit=1e9)
    assert chosen is not None
    assert chosen.size == 16


def test_a_size_over_the_memory_limit_neither_wins_nor_sets_the_peak() -> None:
    rows = [row(8, 500, peak=10), row(16, 600, peak=20), row(32, 1000, peak=40)]
    chosen = select(rows, tolerance=0.05, limit=30)
    assert chosen is not None
    assert chosen.size == 16


def test_a_size_that_ran_out_of_memory_is_never_taken() -> None:
    assert select([row(8, 1, peak=0, out=True)], tolerance=0.05, limit=1e9) is None


def test_a_few_slow_steps_do_not_move_the_measured_throughput() -> None:
    calm = Probe(10, 10, (0.1,) * 20, 50)
    noisy = Probe(10, 10, (0.1,) * 8 + (3.0,) * 12, 70)
    assert summarise([calm, noisy]).throughput == pytest.approx(100.0)
    assert summarise([calm, noisy]).steps == 40
    assert summarise([calm, noisy]).peak_bytes == 50


def test_each_typical_batch_counts_with_its_own_fastest_step() -> None:
    first = Probe(12, 900, (0.1, 0.3, 0.9, 0.2, 0.2), 50)
    second = Probe(12, 900, (0.5, 0.4, 0.3), 50)
    summary = summarise([first, second])
    assert summary.step_seconds == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    assert summary.throughput == pytest.approx(12 / 0.2)


def test_one_visit_out_of_memory_rules_a_size_out() -> None:
    summary = summarise([Probe(4, 4, (0.1,) * 3, 5), Probe(4, 4, (), 0, out_of_memory=True)])
    assert summary.out_of_memory
    assert summary.throughput == 0.0
    assert summary.step_seconds is None


def test_growth_ends_after_three_sizes_without_gain() -> None:
    rows = [row(8, 100), row(16, 101), row(32, 100), row(64, 99)]
    assert has_plateaued(rows, 0.05)
    assert not has_plateaued(rows[:3], 0.05)
    assert not has_plateaued([*rows[:3], row(64, 120)], 0.05)


def test_the_memory_model_finds_the_line() -> None:
    model = MemoryModel.fit([row(size, 1.0, peak=1000 + 7 * size) for size in (2, 4, 8, 16)])
    assert model.predict(32) == pytest.approx(1000 + 7 * 32, abs=2)
    assert model.largest_inside(1000 + 7 * 20 + 3) == 20


def test_the_memory_model_refuses_to_look_further_than_twice_a_probe() -> None:
    model = MemoryModel.fit([row(4, 1.0, peak=40), row(8, 1.0, peak=80)])
    assert model.predict(16) == pytest.approx(160, abs=2)
    with pytest.raises(RunFailedError, match="not trusted beyond twice"):
        model.predict(17)
    assert model.largest_inside(1e9) == 16


def test_the_memory_model_never_predicts_less_than_was_measured() -> None:
    peaks = {2: 100, 4: 300, 8: 250, 16: 700}
    model = MemoryModel.fit([row(size, 1.0, peak=peak) for size, peak in peaks.items()])
    assert all(model.predict(size) >= peak - 1 for size, peak in peaks.items())


def test_a_memory_model_of_one_size_is_refused() -> None:
    with pytest.raises(RunFailedError, match="two measured"):
        MemoryModel.fit([row(8, 1.0), row(16, 1.0, out=True)])
