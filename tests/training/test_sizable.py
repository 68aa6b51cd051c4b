"""Batches of any size: seeded where samples cost alike, typical and worst where they differ."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.training.sizable import TYPICAL_DRAWS, SampledBatches, WorstCaseBatches

COSTS = np.random.default_rng(0).permutation(100).tolist()
BY_COST = WorstCaseBatches(COSTS, list, cost=lambda item: item)


def typical(size: int) -> list[list[int]]:
    """All typical batches of a size."""
    batches = [BY_COST.typical_batch_of_size(size, draw) for draw in range(TYPICAL_DRAWS)]
    return [batch for batch in batches if isinstance(batch, list)]


@pytest.mark.parametrize("size", [4, 16, 64, 250])
def test_typical_batches_of_any_size_cost_a_sample_what_the_training_set_does(size: int) -> None:
    batches = typical(size)
    assert [len(batch) for batch in batches] == [size] * TYPICAL_DRAWS
    assert np.mean(batches) == pytest.approx(np.mean(COSTS), rel=0.02)


def test_typical_batches_differ_mix_their_samples_and_come_again() -> None:
    batches = typical(16)
    assert len({frozenset(batch) for batch in batches}) == TYPICAL_DRAWS
    assert all(batch != sorted(batch, reverse=True) for batch in batches)
    assert batches == typical(16)


def test_a_typical_batch_of_the_whole_set_holds_each_sample_once() -> None:
    assert all(sorted(batch) == sorted(COSTS) for batch in typical(len(COSTS)))


def test_the_worst_batch_holds_the_most_expensive_samples() -> None:
    assert BY_COST.batch_of_size(3) == [99, 98, 97]
    assert BY_COST.cost_of_size(101) == sum(COSTS) + 99


def test_sampled_batches_are_seeded_and_larger_ones_repeat_the_data() -> None:
    batches = SampledBatches(range(5), list, seed=3)
    again = SampledBatches(range(5), list, seed=3)
    assert batches.batch_of_size(12) == again.batch_of_size(12)
    assert batches.typical_batch_of_size(12, 1) == batches.batch_of_size(12)
    ten = batches.batch_of_size(10)
    assert isinstance(ten, list)
    assert sorted(ten) == sorted([*range(5)] * 2)
