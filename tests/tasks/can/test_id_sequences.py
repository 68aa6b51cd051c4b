"""Frames grouped by identifier are what a loop over identifiers gives."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.id_sequences import IdSequences, median_gaps, median_of_each

IDS = np.array([2, 5, 0x18DA10F1], np.uint32)
WORDS = st.sampled_from([0, 1, 3, 0xFF00, 2**64 - 1, 2**63])
ROWS = st.lists(
    st.tuples(st.sampled_from([*IDS.tolist(), 7]), st.integers(0, 40), WORDS), max_size=25
)


def frames_of(rows: list[tuple[int, int, int]]) -> Frames:
    n = len(rows)
    words = np.array([word for _, _, word in rows], "<u8")
    return Frames(
        np.array([tick / 4 for _, tick, _ in rows], np.float64),
        np.array([identifier for identifier, _, _ in rows], np.uint32),
        np.full(n, 8, np.uint8),
        words.view(np.uint8).reshape(n, 8),
        np.zeros(n, np.int8),
    )


def by_id(captures: list[list[tuple[int, int, int]]]) -> list[list[tuple[float, int, int, int]]]:
    """For each capture and identifier: (time, code, payload, row), in order of time."""
    groups, start = [], 0
    for rows in captures:
        for code, identifier in enumerate(IDS.tolist()):
            group = [(tick / 4, code, word, start + at)
                     for at, (i, tick, word) in enumerate(rows) if i == identifier]  # fmt: skip
            groups.append(sorted(group, key=lambda entry: entry[0]))
        start += len(rows)
    return [group for group in groups if group]


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_grouping_gaps_and_payload_steps_equal_a_loop(
    captures: list[list[tuple[int, int, int]]],
) -> None:
    found = IdSequences.group([frames_of(rows) for rows in captures], IDS)
    groups = by_id(captures)
    flat = [entry for group in groups for entry in group]
    assert len(found) == len(flat)
    columns = (found.time, found.code, found.word, found.row)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == flat
    before, after = found.gaps()
    isolated, hop, inner = found.isolated_bits(), found.hop(), found.inner()
    at = 0
    for group in groups:
        for k, (time, _, word, _) in enumerate(group):
            first, last = k == 0, k == len(group) - 1
            assert before[at] == (np.inf if first else time - group[k - 1][0])
            assert after[at] == (np.inf if last else group[k + 1][0] - time)
            sides = [] if first else [group[k - 1][2]]
            sides += [] if last else [group[k + 1][2]]
            assert hop[at] == max((bits(word, side) for side in sides), default=0)
            alone = (word ^ sides[0]) & (word ^ sides[1]) if len(sides) == 2 else 0
            assert isolated[at] == alone.bit_count()
            if 0 < at < len(flat) - 1:
                assert inner[at - 1] == (len(sides) == 2)
            at += 1


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_median_gaps_reach_over_captures_but_no_gap_does(
    captures: list[list[tuple[int, int, int]]],
) -> None:
    found = median_gaps(IdSequences.group([frames_of(rows) for rows in captures], IDS), len(IDS))
    for code in range(len(IDS)):
        groups = [[e[0] for e in group] for group in by_id(captures) if group[0][1] == code]
        gaps = [b - a for times in groups for a, b in zip(times, times[1:], strict=False)]
        assert found[code] == pytest.approx(median(gaps) if len(gaps) >= 2 else 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-9, 9)), max_size=30))
def test_medians_of_each_code_are_medians(values: list[tuple[int, float]]) -> None:
    code = np.array([c for c, _ in values], np.int64)
    found = median_of_each(np.array([v for _, v in values], np.float64), code, 4)
    for kind in range(4):
        own = [v for c, v in values if c == kind]
        assert found[kind] == pytest.approx(median(own) if len(own) >= 2 else 0)


def test_kept_frames_know_where_they_stood() -> None:
    found = IdSequences.group([frames_of([(5, 3, 1), (2, 1, 0), (5, 2, 3), (7, 0, 0)])], IDS)
    assert found.row.tolist() == [1, 2, 0]
    kept = found.keep(found.time > 0.3)
    assert kept.row.tolist() == [2, 0] and kept.word.tolist() == [3, 1]
