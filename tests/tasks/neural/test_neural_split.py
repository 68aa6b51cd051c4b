"""No stimulus both trains and tests; parts are fixed by content and seed, with an embargo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sessions import image_arrays, movie_arrays, session_of

from tutelage.core.errors import DataError
from tutelage.tasks.neural.config import Split
from tutelage.tasks.neural.data.split import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VALIDATION,
    split_sessions,
    stimulus_digests,
)

IMAGES = session_of(image_arrays(0, images=200, repeats=80))
MOVIE = session_of(movie_arrays(0, trials=30))
LONG = replace(MOVIE, trial=np.zeros(len(MOVIE), np.int64))


@given(seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_rows_of_one_image_are_of_one_part(seed: int) -> None:
    part = split_sessions([IMAGES], Split(seed=seed))[0]
    np.testing.assert_array_equal(part[:80], part[200:])  # a split by rows would part them
    shares = [float((part[:200] == each).mean()) for each in (TRAIN, VALIDATION, TEST)]
    assert shares == pytest.approx([0.7, 0.1, 0.2])


def test_an_image_is_of_the_same_part_in_every_session() -> None:
    arrays = image_arrays(1, images=100)
    arrays["images"] = np.concatenate(
        [image_arrays(0, images=200)["images"][50:100], arrays["images"][:50]]
    )
    other = session_of(arrays)
    first, second = split_sessions([IMAGES, other], Split())
    np.testing.assert_array_equal(first[50:100], second[:50])


def test_the_split_is_a_function_of_content_and_seed_alone() -> None:
    once, again = (split_sessions([IMAGES], Split())[0] for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert (split_sessions([IMAGES], Split(seed=1))[0] != once).any()
    order = np.random.default_rng(0).permutation(len(IMAGES))
    shuffled = replace(IMAGES.rows(order), trial=IMAGES.trial)
    np.testing.assert_array_equal(split_sessions([shuffled], Split())[0], once[order])


def test_a_repeated_movie_is_of_one_part() -> None:
    stimulus = np.array(MOVIE.stimulus)
    stimulus[20:40] = stimulus[:20]
    part = split_sessions([replace(MOVIE, stimulus=stimulus)], Split())[0]
    np.testing.assert_array_equal(part[:20], part[20:40])
    assert len(np.unique(part[:20])) == 1


def test_one_long_trial_is_cut_into_stretches_with_an_embargo() -> None:
    part = split_sessions([LONG], Split(block_seconds=5, embargo_seconds=0.4))[0]
    borders = np.flatnonzero(np.diff(np.where(part == TEST, 1, 0)))
    for border in borders:
        around = part[max(0, border - 3) : border + 5]
        assert set(around.tolist()) <= {TEST, LEFT_OUT}  # 0.4 s are four frames
    assert 0 < (part == LEFT_OUT).sum() < 0.2 * len(part)
    without = split_sessions([LONG], Split(block_seconds=5, embargo_seconds=0))[0]
    assert not (without == LEFT_OUT).any()
    np.testing.assert_array_equal(without[part >= 0], part[part >= 0])


def test_stretches_that_several_sessions_saw_are_of_the_same_part_in_all() -> None:
    other = replace(LONG, id="other", responses=LONG.responses[::-1])
    split = Split(block_seconds=5, embargo_seconds=0)
    one, same = split_sessions([LONG, other], split)
    np.testing.assert_array_equal(one, same)
    blank = replace(LONG, stimulus=np.zeros_like(LONG.stimulus))  # nothing tells stretches apart
    assert set(split_sessions([blank], split)[0].tolist()) == {TRAIN, VALIDATION, TEST}


def test_trials_need_no_embargo() -> None:
    assert not (split_sessions([MOVIE], Split())[0] == LEFT_OUT).any()


def test_fewer_training_images_leave_validation_and_test_as_they_are() -> None:
    whole = split_sessions([IMAGES], Split())[0]
    few = split_sessions([IMAGES], Split(), train_rows=30)[0]
    digests = np.array(stimulus_digests(IMAGES))
    assert len(np.unique(digests[few == TRAIN])) == 30
    np.testing.assert_array_equal(whole[whole > 0], few[whole > 0])
    fewer = split_sessions([IMAGES], Split(), train_rows=10)[0]
    assert set(np.flatnonzero(fewer == TRAIN)) < set(np.flatnonzero(few == TRAIN))


def test_a_part_that_the_file_names_is_taken() -> None:
    names = np.array(["train", "validation", "test"])[np.arange(240) // 20 % 3]
    session = session_of(movie_arrays() | {"part": names})
    part = split_sessions([session], Split())[0]
    np.testing.assert_array_equal(part, np.arange(240) // 20 % 3)


def test_a_session_too_short_for_three_parts_is_refused() -> None:
    short = session_of(movie_arrays(trials=2))
    with pytest.raises(DataError, match="session ada_s0: nothing is left to"):
        split_sessions([short], Split())
