"""k-of-n alarms and scores against loops that count window by window."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tutelage.tasks.can.alarms import RecentAlarms, k_of_n, kth_largest


@st.composite
def windows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Scores, numbers with some windows left out, k and n."""
    size = draw(st.integers(0, 30))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 3]), min_size=size, max_size=size))
    scores = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
    n = draw(st.integers(1, 8))
    return (
        np.array(scores, np.float32),
        np.cumsum(steps, dtype=np.int64),
        draw(st.integers(1, n)),
        n,
    )


def past(number: np.ndarray, at: int, n: int) -> list[int]:
    """The window and those of the n - 1 before it from which none is missing."""
    found = [at]
    while len(found) < n and found[-1] > 0 and number[found[-1]] - number[found[-1] - 1] == 1:
        found.append(found[-1] - 1)
    return found


@given(windows())
def test_an_alarm_takes_k_of_the_last_n_windows_none_left_out_between(
    given: tuple[np.ndarray, np.ndarray, int, int],
) -> None:
    score, number, k, n = given
    alarm = k_of_n(score > 0, number, k, n)
    for at in range(len(score)):
        assert alarm[at] == (sum(score[i] > 0 for i in past(number, at, n)) >= k)


@given(windows(), st.integers(-3, 3))
def test_the_kth_largest_score_is_over_a_threshold_where_there_is_an_alarm(
    given: tuple[np.ndarray, np.ndarray, int, int], threshold: int
) -> None:
    score, number, k, n = given
    over = kth_largest(score, number, k, n) > threshold
    assert np.array_equal(over, k_of_n(score > threshold, number, k, n))


def test_one_of_one_changes_nothing() -> None:
    score, number = np.array([3, 1, 2], np.float32), np.arange(3)
    assert kth_largest(score, number, 1, 1).tolist() == [3, 1, 2]
    assert k_of_n(score > 1, number, 1, 1).tolist() == [True, False, True]


def test_no_later_window_changes_an_earlier_alarm() -> None:
    over, number = np.random.default_rng(0).random(50) > 0.5, np.arange(50)
    whole = k_of_n(over, number, 2, 5)
    assert np.array_equal(whole[:20], k_of_n(over[:20], number[:20], 2, 5))


@given(windows(), st.lists(st.integers(0, 30), max_size=4))
def test_windows_that_come_in_pieces_alarm_as_they_do_together(
    given: tuple[np.ndarray, np.ndarray, int, int], cuts: list[int]
) -> None:
    score, _, k, n = given
    recent = RecentAlarms(k, n)
    pieces = [recent.alarms(piece) for piece in np.split(score > 0, sorted(cuts))]
    assert np.array_equal(np.concatenate(pieces), k_of_n(score > 0, np.arange(len(score)), k, n))
