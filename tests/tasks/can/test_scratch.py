"""Columns in temporary files hold what columns in memory would."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import StorageError
from tutelage.tasks.can.scratch import Spool, blocks, concatenate, selected, zeros

SIZES = st.lists(st.integers(0, 9), max_size=6)


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 200), st.sampled_from([(), (2,), (3, 2)]))
def test_a_spool_holds_what_was_appended_wherever_it_lies(
    sizes: list[int], large: int, shape: tuple[int, ...]
) -> None:
    random = np.random.default_rng(0)
    parts = [random.integers(0, 99, (size, *shape)).astype(np.int32) for size in sizes]
    spool = Spool(np.int32, shape, large)
    for part in parts:
        spool.append(part)
    found = spool.array()
    assert found.dtype == np.int32
    assert np.array_equal(found, np.concatenate([np.zeros((0, *shape), np.int32), *parts]))


def test_zeros_in_a_file_can_be_written_and_read() -> None:
    for large in (1, 1 << 20):
        found = zeros((2, 5), np.int16, large)
        assert not found.any() and found.dtype == np.int16
        found[1] = np.arange(5)
        assert found.tolist() == [[0] * 5, [0, 1, 2, 3, 4]]
    assert zeros((0, 3), np.int8, 1).shape == (0, 3)


@pytest.mark.parametrize("axis", [0, 1])
def test_arrays_join_the_same_in_a_file(axis: int) -> None:
    parts = [np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3) + 6]
    assert np.array_equal(concatenate(parts, axis, large=1), np.concatenate(parts, axis))


def test_many_rows_are_selected_block_by_block() -> None:
    values = np.arange(2_500_000)
    mask = values % 3 == 0
    assert np.array_equal(selected(values, mask), values[mask])


def test_blocks_cover_each_row_once() -> None:
    assert [*blocks(7, 3)] == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert [*blocks(0)] == []


def test_a_full_disk_is_refused_and_says_which() -> None:
    with small_disk(8000):
        with pytest.raises(StorageError, match="the disk is full.*100000 bytes") as refused:
            zeros(100_000, np.int8, large=1)
        spool = Spool(np.int8, large=1)
        with pytest.raises(StorageError, match="the disk is full"):
            spool.append(np.zeros(100_000, np.int8))
    assert "TMPDIR" in str(refused.value.hint)
