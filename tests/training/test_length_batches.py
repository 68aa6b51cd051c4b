"""Batches of like length: complete, balanced, and a pure function of (seed, epoch)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.errors import ConfigError
from tutelage.training.length_batches import LengthBatchSampler, length_batches


@given(
    st.lists(st.integers(0, 90), min_size=1, max_size=200), st.integers(1, 20), st.integers(1, 9)
)
def test_every_sample_comes_once_in_each_epoch_and_no_batch_is_empty(
    lengths: list[int], size: int, pool: int
) -> None:
    sampler = LengthBatchSampler(torch.tensor(lengths), size, seed=3, pool=pool)
    for epoch in range(3):
        batches = sampler.batches(epoch)
        assert len(batches) == len(sampler) == -(-len(lengths) // size)
        assert all(len(batch) for batch in batches)
        assert sorted(torch.cat(list(batches)).tolist()) == list(range(len(lengths)))


def texts(n: int = 3000) -> torch.Tensor:
    """Lengths spread as those of tweets are."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(n, generator=generator) * 0.6 + 3).exp().long().clamp(1, 128)


def padded(batches: list[torch.Tensor], lengths: torch.Tensor) -> float:
    """Share of the places in the batches that are padding."""
    places = sum(len(b) * int(lengths[b].max()) for b in batches)
    return 1 - float(sum(int(lengths[b].sum()) for b in batches)) / places


def test_hardly_any_place_is_padding_where_random_batches_have_much() -> None:
    lengths = texts()
    ours = list(LengthBatchSampler(lengths, 16, 0).batches(0))
    random = list(torch.randperm(len(lengths)).split(16))
    assert padded(ours, lengths) < 0.06 < 0.4 < padded(random, lengths)


def test_batches_hold_about_as_many_tokens_as_each_other() -> None:
    lengths = texts()
    tokens = np.array(
        [int(lengths[b].sum()) for b in LengthBatchSampler(lengths, 16, 0).batches(2)]
    )
    assert tokens.std() < 0.15 * tokens.mean()


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = texts(500)
    one, other = (LengthBatchSampler(lengths, 8, 5) for _ in range(2))
    again = [torch.cat(list(s.batches(4))).tolist() for s in (one, other)]
    assert again[0] == again[1] != torch.cat(list(one.batches(5))).tolist()
    assert again[0] != torch.cat(list(LengthBatchSampler(lengths, 8, 6).batches(4))).tolist()


def test_a_batch_has_other_neighbours_in_the_next_epoch() -> None:
    lengths = texts()
    sampler = LengthBatchSampler(lengths, 16, 0, pool=8)
    first, second = ({frozenset(b.tolist()) for b in sampler.batches(e)} for e in (0, 1))
    assert len(first & second) < 0.05 * len(first)


def test_in_order_the_shortest_come_first() -> None:
    batches = length_batches(np.array([5, 1, 9, 1, 2]), 3)
    assert np.concatenate(batches).tolist() == [1, 3, 4, 0, 2]


def test_no_sample_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        LengthBatchSampler(torch.zeros(0), 4, 0)


def test_processes_share_an_epoch_and_have_as_many_batches() -> None:
    lengths = texts(101)
    ranks = [LengthBatchSampler(lengths, 4, 0, rank=r, world_size=3) for r in range(3)]
    made = [list(sampler.batches(2)) for sampler in ranks]
    assert {len(batches) for batches in made} == {len(ranks[0])} == {9}
    every = torch.cat([batch for batches in made for batch in batches])
    assert sorted(every.tolist()) == list(range(101))
    with pytest.raises(ConfigError, match="can't be shared"):
        LengthBatchSampler(lengths[:2], 4, 0, rank=0, world_size=3)
