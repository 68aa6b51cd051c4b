"""Batches by meaning are pure functions that lose no sample, and as hard as asked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.errors import ConfigError
from tutelage.tasks.multimodal.samplers import (
    PositivesBatchSampler,
    SemanticGroupBatchSampler,
    arrange_by_groups,
)


def purity(batches: list[torch.Tensor], groups: torch.Tensor) -> float:
    """Mean share of a batch's commonest group."""
    return sum(float(groups[b].bincount().max()) / len(b) for b in batches) / len(batches)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 200), st.integers(1, 12), st.integers(1, 33), st.floats(0, 1), st.integers(0, 9)
)
def test_every_sample_comes_once(n: int, kinds: int, size: int, hard: float, epoch: int) -> None:
    groups = torch.arange(n) % kinds
    places = torch.arange(n) + 100
    found = arrange_by_groups(places, groups, size, hard, 3, epoch)
    assert sorted(torch.cat(list(found)).tolist()) == places.tolist()
    assert len(found) == -(-n // size) and all(len(b) == size for b in found[:-1])
    again = arrange_by_groups(places, groups, size, hard, 3, epoch)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_hardness_moves_from_random_to_one_group_a_batch() -> None:
    groups = torch.arange(640) % 10
    means = [
        purity(list(SemanticGroupBatchSampler(groups, 16, 0, hardness).batches(0)), groups)
        for hardness in (0.0, 0.5, 1.0)
    ]
    assert means[0] < 0.3 < means[1] < means[2] == 1.0


def test_epochs_differ_and_ranks_share_a_batch() -> None:
    groups = torch.arange(64) % 4
    sampler = SemanticGroupBatchSampler(groups, 8, seed=1)
    assert not torch.equal(sampler.batches(0)[0], sampler.batches(1)[0])
    ranks = [SemanticGroupBatchSampler(groups, 4, 1, 1.0, rank, 2).batches(0) for rank in (0, 1)]
    whole = sampler.batches(0)
    for batch, one, two in zip(whole, *ranks, strict=True):
        assert sorted(torch.cat([one, two]).tolist()) == sorted(batch.tolist())


def test_positives_come_together() -> None:
    ids = torch.arange(60) // 2
    batches = PositivesBatchSampler(ids, 10, seed=0).batches(0)
    assert all(len(set(ids[batch].tolist())) == 5 for batch in batches)


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="hardness 1.5"):
        SemanticGroupBatchSampler(torch.arange(9), 2, 0, 1.5)
    with pytest.raises(ConfigError, match="fewer than one batch"):
        SemanticGroupBatchSampler(torch.arange(9), 10, 0)
