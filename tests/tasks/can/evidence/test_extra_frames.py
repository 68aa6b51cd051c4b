"""The deficit is the mean over pairs of neighbours, and the frame that fits worst explains it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cycles import cycle, injected, made, merged

from tutelage.tasks.can.evidence.extra_frames import HORIZON, REACH, Rhythm, deficit, extras
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.id_sequences import IdSequences

PERIOD = np.array([0.1, 0.0, 0.25])
IDS = np.array([3, 4, 9], np.uint32)


def naive_deficit(time: list[float], at: int, period: float) -> float:
    """Frames between two neighbours less periods between them, over all pairs within reach."""
    if not period:
        return 0.0
    before = range(1, min(REACH, at) + 1)
    after = [k for k in range(1, REACH + 1)
             if at + k < len(time) and time[at + k] - time[at] <= HORIZON]  # fmt: skip
    pairs = [a + b - (time[at + a] - time[at - b]) / period for b, a in product(before, after)]
    return sum(pairs) / len(pairs) if pairs else 0.0


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([3, 4, 9]), st.integers(0, 64)), max_size=40))
def test_the_deficit_equals_a_loop_over_pairs(rows: list[tuple[int, int]]) -> None:
    parts = [made(identifier, [tick / 16]) for identifier, tick in rows]
    frames = Frames.concatenate(parts) if parts else made(3, [])
    sequences = IdSequences.group([frames], IDS)
    found = deficit(sequences, PERIOD)
    for code in range(len(IDS)):
        time = sequences.time[sequences.code == code].tolist()
        expected = [naive_deficit(time, at, PERIOD[code]) for at in range(len(time))]
        assert found[sequences.code == code].tolist() == pytest.approx(expected)


def test_the_deficit_never_reaches_into_another_capture() -> None:
    whole = cycle(3, 0.1, 3)
    halves = [whole[:15], whole[15:]]
    found = deficit(IdSequences.group(halves, IDS), PERIOD)
    assert np.abs(found).max() < 1e-9
    assert found[[0, 14, 15, 29]].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("phase", [0.05, 0.3, 0.5, 0.8, 0.95])
def test_one_frame_too_many_is_a_deficit_of_one_and_explains_it_itself(phase: float) -> None:
    genuine = cycle(3, 0.1, 3)
    time = genuine.timestamp[12] + 0.1 * phase
    frames = merged(genuine, made(3, [time], 0xFFFF0000FFFF0000, 1))
    sequences = IdSequences.group([frames], np.array([3], np.uint32))
    (row,) = injected(frames)
    rhythm = Rhythm(np.array([0.1]), np.array([0.01]), np.array([0.5]))
    found = extras(sequences, rhythm)
    assert found.deficit[row] == pytest.approx(1.0)
    assert np.flatnonzero(found.best).tolist() == [row]
    assert np.flatnonzero(found.single).tolist() == [row]


def test_a_cycle_that_starts_anew_is_a_deficit_but_no_single_frame_too_many() -> None:
    time = np.concatenate([np.arange(12) * 0.1, 1.14 + np.arange(12) * 0.1])
    sequences = IdSequences.group([made(3, time)], np.array([3], np.uint32))
    rhythm = Rhythm(np.array([0.1]), np.array([0.01]), np.array([0.5]))
    found = extras(sequences, rhythm)
    assert found.deficit.max() > 0.5
    assert not found.single.any()


def test_frames_without_neighbours_or_period_say_nothing() -> None:
    frames = merged(made(3, [0.0]), made(4, np.zeros(9)), made(9, [1.0, 9.0]))
    sequences = IdSequences.group([frames], IDS)
    rhythm = Rhythm(PERIOD, np.full(3, 0.01), np.full(3, 0.5))
    found = extras(sequences, rhythm)
    assert found.deficit.tolist() == [0.0] * 12 and not found.best.any()
    assert len(extras(IdSequences.group([frames], IDS[:0]), rhythm).best) == 0
