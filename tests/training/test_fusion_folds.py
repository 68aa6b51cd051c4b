"""Folds of held-out time: both classes in each, neighbours never in two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import DataError
from tutelage.training.fusion.folds import LEFT_OUT, time_folds


@given(
    lengths=st.lists(st.integers(3, 60), min_size=1, max_size=12),
    folds=st.integers(2, 5),
    gap=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_neighbours_never_stand_in_two_folds(
    lengths: list[int], folds: int, gap: int, seed: int
) -> None:
    stretch = np.repeat(np.arange(len(lengths)), lengths)
    label = (np.random.default_rng(seed).random(len(stretch)) < 0.4).astype(np.int64)
    try:
        fold, piece = time_folds(stretch, label, folds, gap)
    except DataError:
        return
    for one in range(folds):
        assert set(label[fold == one]) == {0, 1}
    used = np.flatnonzero(fold != LEFT_OUT)
    for left, right in zip(used, used[1:], strict=False):
        if stretch[left] == stretch[right] and fold[left] != fold[right]:
            assert right - left > 2 * gap and piece[left] != piece[right]
    assert all(len(set(fold[(piece == p) & (fold != LEFT_OUT)])) <= 1 for p in np.unique(piece))


def test_short_stretches_are_never_cut() -> None:
    stretch = np.repeat(np.arange(20), 5)
    label = np.tile([0, 0, 1, 1, 0], 20)
    fold, piece = time_folds(stretch, label, 5, 2)
    assert (piece == stretch).all() and (fold != LEFT_OUT).all()
    assert np.bincount(fold).tolist() == [20] * 5


def test_a_single_long_capture_is_cut_and_its_cuts_left_out() -> None:
    label = np.tile([0, 0, 0, 1, 1], 40)
    fold, piece = time_folds(np.zeros(200, np.int64), label, 4, 2)
    assert len(np.unique(piece)) == 8
    assert (fold == LEFT_OUT).sum() == 7 * 4
    assert set(fold) == {LEFT_OUT, 0, 1, 2, 3}


@pytest.mark.parametrize(("label", "name"), [(0, "attacked"), (1, "normal")])
def test_a_class_that_is_missing_is_named(label: int, name: str) -> None:
    with pytest.raises(DataError, match=f"none of the 40 held-out samples is {name}"):
        time_folds(np.arange(40) // 5, np.full(40, label), 4, 1)


def test_a_class_too_rare_for_the_folds_is_refused_with_the_number_that_works() -> None:
    stretch = np.arange(60) // 10
    label = np.zeros(60, np.int64)
    label[[2, 12, 22]] = 1
    with pytest.raises(DataError, match="hold the rarer one") as caught:
        time_folds(stretch, label, 5, 1)
    assert "mode.folds=3" in str(caught.value)
    assert set(time_folds(stretch, label, 3, 1)[0]) == {0, 1, 2}
