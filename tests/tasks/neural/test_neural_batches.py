"""Each stretch comes once an epoch, whatever the sessions and processes; contrast fades out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tutelage.core.errors import ConfigError
from tutelage.core.overrides import build_config
from tutelage.tasks.neural.config import NeuralData
from tutelage.tasks.neural.data.chunks import ChunkTable
from tutelage.tasks.neural.data.sampling import (
    ByDatasetBatchSampler,
    ContrastWeightedSampler,
    GlobalBatches,
    MixedBatchSampler,
)

N, SIZE, WARMUP = 70, 16, 10
KINDS = ("mixed", "contrast", "by session")


def table() -> ChunkTable:
    start = np.arange(N, dtype=np.int64) * 10
    session = np.repeat(np.arange(3), (10, 25, 35))
    zeros = np.zeros(N, np.int64)
    return ChunkTable(session, start, start + 10, zeros, zeros + 10 * N, (10, 10, 10), 0)


def contrast() -> np.ndarray:
    return np.linspace(0.2, 3.0, N).astype(np.float32)


def sampler(kind: str, rank: int = 0, world_size: int = 1, size: int = SIZE) -> GlobalBatches:
    process = (rank, world_size)
    if kind == "mixed":
        return MixedBatchSampler(table(), size, 5, *process)
    if kind == "contrast":
        return ContrastWeightedSampler(table(), contrast(), size, 5, WARMUP, *process)
    return ByDatasetBatchSampler(table(), size, 5, True, *process)


@pytest.mark.parametrize("kind", KINDS)
def test_order_is_a_pure_function_of_seed_and_epoch(kind: str) -> None:
    one, other = sampler(kind), sampler(kind)
    other.batches(7)
    for epoch in (0, 3):
        for a, b in zip(one.batches(epoch), other.batches(epoch), strict=True):
            assert torch.equal(a, b)
    assert len(one.batches(0)) == len(one.batches(3)) == len(one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_global_batches_of_a_single_one(kind: str, world: int) -> None:
    alone = sampler(kind).batches(4)
    shared = [sampler(kind, rank, world, SIZE // world) for rank in range(world)]
    for i, batch in enumerate(alone):
        parts = [each.shard(each.batches(4)[i]) for each in shared]
        assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_after_any_warm_up_each_stretch_comes_once_an_epoch(kind: str) -> None:
    seen = torch.cat(list(sampler(kind).batches(WARMUP)))
    assert sorted(seen.tolist()) == list(range(N))


def test_mixed_batches_are_in_order_of_session_and_of_even_size() -> None:
    for batch in sampler("mixed").batches(1):
        assert (np.diff(table().session[batch.numpy()]) >= 0).all()
        assert len(batch) == 14


def test_contrast_becomes_uniform_without_a_jump() -> None:
    order = sampler("contrast")
    assert isinstance(order, ContrastWeightedSampler)
    expected = np.minimum(0.5 * contrast().astype(np.float64), 1.0)
    np.testing.assert_allclose(order.weights(0), expected)
    assert (order.weights(WARMUP) == 1).all()
    assert (order.weights(10 * WARMUP) == 1).all()
    moves = [np.abs(order.weights(s + 1) - order.weights(s)).max() for s in range(WARMUP + 2)]
    assert max(moves) < 0.2


def test_high_contrast_comes_more_often_at_first_and_not_later() -> None:
    table_, size = table(), 10
    order = ContrastWeightedSampler(table_, contrast(), size, 0, warmup_steps=10_000)
    seen = torch.cat([batch for epoch in range(40) for batch in order.batches(epoch)])
    counts = np.bincount(seen.numpy(), minlength=N)
    weak, strong = counts[: N // 4].sum(), counts[-N // 4 :].sum()
    assert strong > 2 * weak
    assert all(len(set(b.tolist())) == len(b) for b in order.batches(0))


def test_contrast_over_single_sessions_is_refused() -> None:
    with pytest.raises(ConfigError, match="batches=mixed"):
        build_config(NeuralData, [], ["sampler=contrast", "batches=by_session"])
