"""Events and episodes against hand computation, loops over windows, and real captures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_captures import noise

from tutelage.tasks.can.events import (
    AttackEvents,
    EventScores,
    WindowTimes,
    labelled_events,
    score_events,
)
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import read_frames


def attacked(times: list[float], attack: list[int]) -> Frames:
    """Frames at the given times, labelled as given."""
    frames = noise(len(times) / 500)
    frames.timestamp[:], frames.label[:] = times, attack
    return frames


def tiles(alarm: list[int], length: float = 1.0) -> tuple[np.ndarray, WindowTimes]:
    """Windows that lie side by side, each a second long with a little space after it."""
    start = np.arange(len(alarm)) * length
    end = start + 0.9 * length
    number = np.arange(len(alarm))
    return np.array(alarm, bool), WindowTimes(number, start, end, np.full(len(alarm), length))


def events(*intervals: tuple[float, float]) -> AttackEvents:
    return AttackEvents(np.array(intervals, float).reshape(-1, 2))


def test_attack_frames_are_joined_over_pauses_below_the_gap() -> None:
    frames = attacked([0, 1, 1.5, 2, 4, 5, 5.4, 9], [0, 1, 0, 1, 1, 0, 1, 0])
    assert labelled_events(frames, 2.0).intervals.tolist() == [[1, 2], [4, 5.4]]
    assert labelled_events(frames, 2.1).intervals.tolist() == [[1, 5.4]]
    assert labelled_events(frames, 0.1).intervals.tolist() == [[1, 1], [2, 2], [4, 4], [5.4, 5.4]]


def test_a_capture_without_attack_labels_has_no_event() -> None:
    assert len(labelled_events(attacked([0, 1, 2], [0, -1, 0]), 1.0)) == 0


def test_a_clock_that_steps_back_makes_no_new_event() -> None:
    frames = attacked([1.0, 1.0003, 0.9999, 1.2], [1, 1, 1, 1])
    assert labelled_events(frames, 1.0).intervals.tolist() == [[0.9999, 1.2]]


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=40), st.floats(0.1, 5))
def test_events_hold_every_attack_frame_and_stand_a_gap_apart(
    marks: list[tuple[float, bool]], gap: float
) -> None:
    marks.sort()
    frames = attacked([t for t, _ in marks], [int(a) for _, a in marks])
    found = labelled_events(frames, gap).intervals
    times = [t for t, a in marks if a]
    assert all(sum(a <= t <= b for a, b in found) == 1 for t in times)
    assert all(a in times and b in times and a <= b for a, b in found)
    assert (found[1:, 0] - found[:-1, 1] >= gap).all()
    inside = [[t for t in times if a <= t <= b] for a, b in found]
    assert all((np.diff(part) < gap).all() for part in inside)


def test_scores_equal_those_computed_by_hand() -> None:
    # seconds       0  1  2  3  4  5  6  7  8  9
    alarm, times = tiles([1, 1, 0, 0, 1, 1, 1, 0, 1, 0])
    found = score_events(alarm, times, events((3.5, 5.2), (7.1, 7.3)))
    assert (found.events, found.derived) == (2, 0)
    assert found.delays == pytest.approx([4.9 - 3.5])  # the first alarm it reaches ends at 4.9
    assert found.episodes == 2  # seconds 0 and 8; that of 4 begins in an attack
    assert found.free_seconds == 6  # all but 3, 4, 5 and 7
    assert found.alarm_seconds == 4  # 0, 1, 6, 8
    metrics = found.metrics()
    assert metrics["event_recall"] == 0.5
    assert metrics["time_to_detection"] == pytest.approx(1.4)
    assert metrics["false_alarm_episodes_per_hour"] == 2 * 3600 / 6
    assert metrics["alarm_duty"] == pytest.approx(4 / 6)


def test_an_alarm_that_never_ends_is_one_episode_and_shows_in_its_duty() -> None:
    alarm, times = tiles([1] * 10)
    found = score_events(alarm, times, events((3.5, 5.2)))
    assert (found.episodes, found.metrics()["alarm_duty"]) == (1, 1.0)
    assert found.metrics()["event_recall"] == 1.0


def test_an_event_outside_the_judged_windows_is_not_counted() -> None:
    alarm, times = tiles([0, 1, 0])
    found = score_events(alarm, times, events((-5, -1), (0.95, 0.97), (7, 8)))
    assert found.events == 0 and "event_recall" not in found.metrics()


def test_the_delay_of_an_event_under_way_counts_from_the_first_judged_window() -> None:
    alarm, times = tiles([0, 1, 0])
    assert score_events(alarm, times, events((-5, 2))).delays == pytest.approx([1.9])


def test_windows_left_out_between_two_alarms_make_two_episodes() -> None:
    alarm, times = tiles([1, 1])
    apart = WindowTimes(np.array([4, 8]), times.start, times.end, times.seconds)
    assert score_events(alarm, times, events()).episodes == 1
    assert score_events(alarm, apart, events()).episodes == 2


def test_an_event_that_touches_a_windows_edge_reaches_into_it() -> None:
    _, times = tiles([0, 0, 0])  # [0, 0.9], [1, 1.9], [2, 2.9]
    assert times.under(events((0.9, 1.0))).tolist() == [True, True, False]


def test_windows_of_a_clock_that_steps_back_are_reached_and_take_no_time() -> None:
    start, end = np.array([0.0, 1.0, 3.0, 3.2, 5.0]), np.array([0.9, 5.0, 2.9, 4.5, 6.0])
    times = WindowTimes(np.arange(5), start, end, end - start)
    found = score_events(np.ones(5, bool), times, events((4.7, 4.8)))
    assert found.delays == pytest.approx([5.0 - 4.7])
    assert found.free_seconds == pytest.approx(0.9 + 1.3 + 1.0)
    assert times.under(events((3.0, 3.0))).tolist() == [False, True, True, False, False]


def test_events_that_were_derived_are_marked() -> None:
    alarm, times = tiles([1, 0])
    derived = AttackEvents(np.array([[0.5, 0.6]]), derived=True)
    assert score_events(alarm, times, derived).metrics()["derived_events"] == 1
    assert "derived_events" not in score_events(alarm, times, events((0, 1))).metrics()


def test_no_window_gives_no_score() -> None:
    alarm, times = tiles([])
    assert score_events(alarm, times, events((0, 1))).metrics() == {"events": 0}


def naive(alarm: np.ndarray, times: WindowTimes, attacks: AttackEvents) -> EventScores:
    """The same by looking at every window and event."""
    spans = list(zip(times.start, times.end, strict=True))
    delays, count = [], 0
    for a, b in attacks.intervals:
        reached = [i for i, (s, e) in enumerate(spans) if s <= b and e >= a]
        count += bool(reached)
        hit = [i for i in reached if alarm[i]]
        if hit:
            delays.append(times.end[hit[0]] - max(a, times.start[0]))
    free = [not any(s <= b and e >= a for a, b in attacks.intervals) for s, e in spans]
    begins = [alarm[i] and not (i and alarm[i - 1]) for i in range(len(alarm))]
    return EventScores(
        count,
        0,
        np.array(delays),
        sum(f and b for f, b in zip(free, begins, strict=True)),
        sum(times.seconds[free]),
        sum(times.seconds[np.array(free, bool) & alarm]),
    )


@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(-4, 60), st.integers(0, 9)), max_size=6),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_scores_equal_those_of_a_loop_over_windows_and_events(
    marks: list[int], starts: list[tuple[int, int]], length: float
) -> None:
    alarm, times = tiles(marks, length)
    attacks = events(*((s / 2, (s + d) / 2) for s, d in sorted(starts)))
    found, wanted = score_events(alarm, times, attacks), naive(alarm, times, attacks)
    assert found.delays.tolist() == wanted.delays.tolist()
    for name in ("events", "episodes", "free_seconds", "alarm_seconds"):
        assert getattr(found, name) == getattr(wanted, name), name


@given(st.lists(st.integers(0, 1), min_size=1, max_size=25))
def test_more_alarms_never_find_fewer_events_nor_later(marks: list[int]) -> None:
    alarm, times = tiles(marks)
    attacks = events((2.5, 4), (7, 7.2), (11, 18))
    fewer, more = (
        score_events(alarm & (times.number % 3 > 0), times, attacks),
        score_events(alarm, times, attacks),
    )
    assert len(fewer.delays) <= len(more.delays)
    assert fewer.alarm_seconds <= more.alarm_seconds


def test_real_captures_hold_the_attacks_that_their_authors_made(shared_data: Path) -> None:
    folder = shared_data / "can" / "hcrl_sa"
    frames, _ = read_frames(folder / "test_01_known_vehicle_known_attack__fuzzing-kia.parquet")
    found = labelled_events(frames, 2.0).intervals
    assert len(found) == 4 and (np.diff(found) > 5).all()
    hard = shared_data / "can" / "can_train_and_test" / "set_03"
    name = "test_03_known_vehicle_unknown_attack__rpm-accessory-1.parquet"
    frames, _ = read_frames(hard / name)
    assert len(labelled_events(frames, 2.0)) == 1  # one frame a second
    assert len(labelled_events(frames, 0.5)) == int((frames.label == 1).sum())
