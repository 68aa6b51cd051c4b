"""Training, validation and test windows stay apart, in time and in content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_captures import can_config, capture, noise

from tutelage.core.errors import DataError
from tutelage.tasks.can.captures import Capture
from tutelage.tasks.can.frames import UNLABELLED
from tutelage.tasks.can.splits import (
    CaptureSplit,
    split_captures,
    test_only,
    window_times,
)

test_only.__test__ = False  # type: ignore[attr-defined]


def distances(split: CaptureSplit, stride: int, mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Seconds between each window of one kind and the nearest of another; negative: overlap."""
    start, end = window_times(split.capture.frames, 100, stride)
    after = start[mask][:, None] - end[others][None]
    before = start[others][None] - end[mask][:, None]
    return np.maximum(after, before).min(axis=1)


@settings(max_examples=60, deadline=None)
@given(
    seconds=st.floats(3.0, 120.0),
    embargo=st.sampled_from([0.0, 0.2, 1.0, 3.0]),
    fraction=st.sampled_from([0.05, 0.15, 0.4]),
    stride=st.sampled_from([37, 100, 150]),
    named=st.booleans(),
    place=st.integers(0, 4),
)
@example(seconds=12.0, embargo=1.0, fraction=0.15, stride=100, named=False, place=2)
def test_no_training_window_lies_within_the_embargo_of_one_held_out(
    seconds: float, embargo: float, fraction: float, stride: int, named: bool, place: int
) -> None:
    data = can_config(
        f"data.embargo_seconds={embargo}",
        f"data.validation_fraction={fraction}",
        f"data.stride={stride}",
    ).data
    others = [capture("train", f"other{k}", noise(60.0, seed=k + 1)) for k in range(place)]
    tests = [capture("test_01", "dos", noise(4.0, seed=99))] if named else []
    splits = split_captures(
        [
            *others,
            capture("train", "drive", noise(seconds)),
            *tests,
            capture("train", "z", noise(90)),
        ],
        data,
    )
    split = splits[place]
    assert split.capture.name == "drive"
    assert not (split.train & split.validation).any()
    assert not ((split.train | split.validation) & split.test).any()
    assert split.test.any() != named
    for held in (split.validation, split.test):
        if held.any() and split.train.any():
            assert distances(split, stride, split.train, held).min() > embargo - 1e-6
    if split.test.any() and split.validation.any():
        assert distances(split, stride, split.validation, split.test).min() > embargo - 1e-6


@pytest.mark.parametrize("seconds", [5.0, 20.0, 60.0, 300.0])
def test_the_time_held_out_is_what_was_asked_and_the_embargo_costs_no_more(seconds: float) -> None:
    data = can_config("data.validation_fraction=0.15").data
    tests = capture("test_01", "dos", noise(4.0, seed=9))
    split = split_captures([capture("train", "drive", noise(seconds)), tests], data)[0]
    held, trained = split.validation.mean(), split.train.mean()
    assert held == pytest.approx(0.15, abs=0.21 / seconds * 3)
    assert 1 - held - trained <= max(0.15, 2.0 / seconds) + 1 / seconds


def test_each_capture_holds_out_another_part_of_its_time() -> None:
    data = can_config().data
    splits = split_captures([capture("train", f"c{k}", noise(20.0, k)) for k in range(4)], data)
    starts = [int(np.flatnonzero(split.validation)[0]) for split in splits]
    assert len(set(starts)) == 4


def test_where_no_capture_is_named_test_the_end_of_each_tests() -> None:
    data = can_config("data.test_fraction=0.25").data
    (split,) = split_captures([capture("", "drive", noise(40.0))], data)
    start, _ = window_times(split.capture.frames, 100, 100)
    assert start[split.test].min() >= 30.0 - 0.1
    assert (start[split.train | split.validation] < 29.0).all()
    assert split.test.mean() == pytest.approx(0.25, abs=0.02)
    assert split.split == "test"


def test_captures_of_the_same_content_train_once() -> None:
    drive = noise(20.0)
    splits = split_captures(
        [
            capture("train_01_attack_free", "a", drive, "same"),
            capture("train_02_with_attacks", "a", drive, "same"),
            capture("train_02_with_attacks", "dos", noise(20.0, 1)),
            capture("test_01", "dos", noise(5.0, 2)),
        ],
        can_config().data,
    )
    assert [s.capture.label for s in splits if s.train.any()] == [
        "train_01_attack_free/a",
        "train_02_with_attacks/dos",
    ]


@pytest.mark.parametrize("test_first", [True, False])
def test_a_capture_that_tests_never_trains_under_another_name(test_first: bool) -> None:
    drive = noise(20.0)
    captures = [
        capture("test_01", "dos", drive, "same"),
        capture("train_01", "dos", drive, "same"),
        capture("train_01", "other", noise(20.0, 1)),
    ]
    splits = split_captures(captures if test_first else captures[::-1], can_config().data)
    assert {s.capture.label for s in splits if s.train.any()} == {"train_01/other"}
    assert {s.capture.label for s in splits if s.test.any()} == {"test_01/dos"}


def test_an_unlabelled_training_capture_is_refused_with_the_columns_it_has(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("timestamp,arbitration_id,data_field,flag\n0.1,100,00,0\n")
    frames = noise(20.0)
    frames.label[:] = UNLABELLED
    unlabelled = Capture("train_01", "drive", "drive", "", "digest", frames, None, path)
    with pytest.raises(DataError, match=r"flag\. Did you mean data\.columns\.label=flag\?"):
        split_captures([unlabelled], can_config().data)


def test_an_unlabelled_capture_may_test() -> None:
    frames = noise(5.0, 1)
    frames.label[:] = UNLABELLED
    splits = split_captures(
        [capture("train_01", "a", noise(20.0)), capture("test_01", "b", frames)], can_config().data
    )
    assert splits[1].test.all()


def test_captures_named_for_validation_validate_whole_and_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    captures = [
        capture("train", "a", noise(20.0)),
        capture("train", "copy", noise(20.0, 3), "held"),
        capture("Valid", "b", noise(20.0, 3), "held"),
        capture("TEST_1", "c", noise(5.0, 2)),
    ]
    with caplog.at_level("INFO"):
        splits = {s.capture.name: s for s in split_captures(captures, can_config().data)}
    assert set(splits) == {"a", "b", "c"}
    assert splits["a"].train.all()
    assert splits["b"].validation.all() and not splits["b"].train.any()
    assert splits["c"].test.all()
    assert "captures that train: 1, that validate: 1, that test: 1" in caplog.text
    assert "no capture is named test" not in caplog.text


def test_it_is_said_that_time_splits_captures_of_which_none_is_named_test(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        split_captures([capture("", "a", noise(20.0))], can_config().data)
    assert "no capture is named test…: the last 20 % of each capture's time tests" in caplog.text


def test_captures_too_short_to_train_are_refused_with_their_length() -> None:
    with pytest.raises(DataError, match=r"longest that could has 250 frames, too few windows of"):
        split_captures([capture("train_01", "a", noise(0.5))], can_config().data)


def test_captures_that_all_test_are_refused() -> None:
    with pytest.raises(DataError, match="none of the 1 captures trains"):
        split_captures([capture("test_01", "a", noise(20.0))], can_config().data)


def test_a_finished_model_is_tested_on_what_it_never_saw() -> None:
    data = can_config().data
    drive = capture("", "drive", noise(40.0), "seen")
    (before,) = split_captures([drive], data)
    (known,) = test_only([drive], {"seen": data.test_fraction}, data)
    assert np.array_equal(known.test, before.test)
    (whole,) = test_only([drive], {"seen": 0.0}, data)
    assert whole.test.all()
    (new,) = test_only([drive], {"another": 0.2}, data)
    assert new.test.all() and new.split == "test"
    named = [capture("test_01", "a", noise(5.0, 1)), drive]
    assert [s.split for s in test_only(named, {}, data)] == ["test_01"]
    every = test_only(named, {"seen": 0.2}, data, whole=True)
    assert [s.split for s in every] == ["test_01", "test"]
    assert all(s.test.all() for s in every)


def test_training_stretches_are_exactly_the_frames_of_training_windows() -> None:
    train = np.array([1, 1, 0, 0, 1, 0, 1, 1], bool)
    split = CaptureSplit(capture("t", "x", noise(2.0)), train, ~train, ~train, "test")
    stamps = split.capture.frames.timestamp
    expected = [stamps[0:200], stamps[400:500], stamps[600:800]]
    found = [part.timestamp for part in split.training_frames(100, 100)]
    assert [f.tolist() for f in found] == [e.tolist() for e in expected]
    overlapping = [len(part) for part in split.training_frames(100, 50)]
    assert overlapping == [150, 100, 150]
