"""One budget of false alarms: limits from few scores, and a ration for what no monitor confirms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_captures import noise

from tutelage.core.chance import student_t
from tutelage.tasks.can.evidence import Monitors
from tutelage.tasks.can.limits import Limits, Ration

HOUR = 3600.0


@pytest.fixture(scope="module")
def monitors() -> Monitors:
    return Monitors.calibrated(noise(4.0))


def limits_of(scores: np.ndarray, monitors: Monitors, per_hour: float = 10.0) -> Limits:
    """Limits by scores of windows of 0.1 s that follow each other."""
    start = np.arange(len(scores)) / 10.0
    return Limits.of(scores, start, start + 0.1, -np.inf, per_hour, monitors)


def test_the_budget_is_shared_out_to_the_model_and_every_monitor(monitors: Monitors) -> None:
    found = limits_of(np.zeros(50), monitors, per_hour=10.0)
    assert found.per_hour == 2.0
    assert found.level == monitors.level(8.0)


def test_scores_to_come_stay_below_the_limit_as_often_as_the_budget_asks(
    monitors: Monitors,
) -> None:
    random = np.random.default_rng(0)
    over = []
    for _ in range(200):
        limit = limits_of(random.normal(size=100), monitors, per_hour=1800.0).learned
        over.append(float((random.normal(size=2000) > limit).mean()))
    assert np.mean(over) < 360 / 36000  # 360 alarms an hour of 36,000 windows


def test_few_scores_set_a_limit_further_off_than_many(monitors: Monitors) -> None:
    quantiles = (np.arange(1, 161) - 0.5) / 160
    many = np.log(quantiles / (1 - quantiles))
    limits = [limits_of(many[step // 2 :: step], monitors).learned for step in (1, 16, 40)]
    assert limits == sorted(limits) and limits[-1] > 2 * limits[0]


def test_the_spread_limit_is_students_prediction_interval(monitors: Monitors) -> None:
    scores = np.linspace(-1.0, 1.0, 11)  # nothing falls off slowly, so that the spread decides
    share = 2.0 / (HOUR * 11 / 1.1)
    deviation = 0.8 / 1.2816
    expected = student_t(10, 1 - 2 * share) * deviation * np.sqrt(12 / 11)
    assert limits_of(scores, monitors).learned == pytest.approx(expected)


def test_a_threshold_of_training_is_never_undercut(monitors: Monitors) -> None:
    spans = np.arange(20.0), np.arange(20.0) + 1
    assert Limits.of(np.zeros(20), *spans, 3.0, 10.0, monitors).learned == 3.0


PLAIN = Limits(middle=0.0, learned=1.0, level=1.0, per_hour=2.0)


def test_unconfirmed_alarms_come_one_at_once_and_then_at_the_pace_of_the_budget() -> None:
    time = np.arange(0.0, 3 * HOUR, 60.0)
    alarm = Ration(PLAIN).together(np.full(len(time), 2.0), np.zeros(len(time)), time) > 1
    assert time[alarm].tolist() == [0.0, 0.5 * HOUR, HOUR, 1.5 * HOUR, 2 * HOUR, 2.5 * HOUR]


def test_what_was_not_used_may_be_used_later() -> None:
    time = np.array([0.0, HOUR, HOUR + 1, HOUR + 2, HOUR + 3])
    learned = np.array([0.0, 2.0, 2.0, 2.0, 2.0])
    score = Ration(PLAIN).together(learned, np.zeros(5), time)
    assert score.tolist() == [0.0, 2.0, 2.0, 2.0, 1.0]


def test_alarms_that_a_monitor_confirms_cost_nothing() -> None:
    time = np.arange(100.0)
    monitored = np.where(np.arange(100) < 90, 1.5, 0.0)
    score = Ration(PLAIN).together(np.full(100, 2.0), monitored, time)
    assert np.flatnonzero(score > 1).tolist() == list(range(91))
    assert score[:91].tolist() == [2.0] * 91


windows = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 2), st.floats(-1.0, 2000.0)), min_size=1, max_size=40
)


@given(windows, st.lists(st.integers(0, 40), max_size=4))
def test_a_capture_cut_in_pieces_is_judged_as_the_whole(
    drawn: list[tuple[float, float, float]], cuts: list[int]
) -> None:
    learned, monitored, gaps = (np.array(column) for column in zip(*drawn, strict=True))
    columns = learned, monitored.astype(np.float32), np.cumsum(gaps)
    whole = Ration(PLAIN).together(*columns)
    pieces = Ration(PLAIN)
    places = sorted(min(cut, len(drawn)) for cut in cuts)
    parts = zip(*(np.split(column, places) for column in columns), strict=True)
    assert np.concatenate([pieces.together(*part) for part in parts]).tolist() == whole.tolist()
    hours = float(np.maximum.accumulate(columns[2])[-1] - columns[2][0]) / HOUR
    added = int(((whole > 1) & (columns[1] <= 1)).sum())
    assert added <= 1 + 2.0 * hours
