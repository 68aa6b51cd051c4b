"""The order of samples is a pure function, shared out fairly, and loaders go on from a place."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tutelage.core.errors import CheckpointError, ConfigError, RunFailedError
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import BudgetBatchSampler, SeededBatchSampler, permutation

ELSEWHERE = [4, 2, 0, 6, 1, 5, 9, 8, 7, 3]


def test_a_permutation_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert permutation(seed=1, epoch=2, n=10).tolist() == ELSEWHERE


@given(seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 10**6), n=st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_a_permutation_holds_each_sample_once_and_depends_on_its_arguments_alone(
    seed: int, epoch: int, n: int
) -> None:
    order = permutation(seed, epoch, n)
    torch.rand(3)
    assert torch.equal(order, permutation(seed, epoch, n))
    assert sorted(order.tolist()) == list(range(n))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(permutation(s, e, 50).tolist()) for s in (0, 1, -1) for e in range(5)}
    assert len(orders) == 15


@given(
    n=st.integers(1, 60),
    size=st.integers(1, 9),
    world=st.integers(1, 4),
    drop=st.booleans(),
    shuffle=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_all_ranks_do_as_many_steps_and_together_see_every_sample(
    n: int, size: int, world: int, drop: bool, shuffle: bool
) -> None:
    if drop and n < size * world:
        with pytest.raises(ConfigError, match="fewer than one batch"):
            SeededBatchSampler(n, size, 0, drop_last=True, world_size=world)
        return
    ranks = [SeededBatchSampler(n, size, 0, shuffle, drop, r, world) for r in range(world)]
    batches = [sampler.batches(3) for sampler in ranks]
    assert {len(rank) for rank in batches} == {len(ranks[0])}
    for step in zip(*batches, strict=True):
        assert len({len(batch) for batch in step}) == 1
    seen = [i for rank in batches for batch in rank for i in batch.tolist()]
    if drop:
        assert len(set(seen)) == len(seen) == n // (size * world) * size * world
    else:
        assert set(seen) == set(range(n))
        assert len(seen) - n < world


def test_one_process_sees_each_sample_once_and_in_order_when_it_does_not_shuffle() -> None:
    batches = SeededBatchSampler(7, 3, 0, shuffle=False).batches(5)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]


def test_weights_set_how_often_a_sample_is_drawn() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0]).repeat(5000)
    sampler = SeededBatchSampler(20000, 100, 0, weights=weights)
    drawn = torch.cat(list(sampler.batches(0)))
    share = torch.bincount(drawn % 4, minlength=4) / len(drawn)
    assert share[0] == share[3] == 0
    assert share[2] == pytest.approx(0.75, abs=0.02)
    assert not torch.equal(drawn, torch.cat(list(sampler.batches(1))))


@pytest.mark.parametrize(
    "weights", [torch.ones(3), torch.zeros(4), -torch.ones(4), torch.full((4,), torch.nan)]
)
def test_weights_that_mean_nothing_are_refused(weights: Tensor) -> None:
    with pytest.raises(ConfigError, match="weights"):
        SeededBatchSampler(4, 2, 0, weights=weights)


@given(
    sizes=st.lists(st.integers(0, 50), min_size=8, max_size=120),
    budget=st.integers(50, 200),
    most=st.integers(1, 20),
    world=st.integers(1, 2),
)
@settings(max_examples=80, deadline=None)
def test_no_batch_exceeds_its_budget_and_every_epoch_has_as_many(
    sizes: list[int], budget: int, most: int, world: int
) -> None:
    cost = torch.tensor(sizes)
    try:
        ranks = [BudgetBatchSampler(cost, budget, most, 0, True, r, world) for r in range(world)]
    except ConfigError as error:
        assert "evenly" in str(error)
        return
    for epoch in (0, 1, 9, 30):
        batches = [batch for sampler in ranks for batch in sampler.batches(epoch)]
        assert len(batches) == world * len(ranks[0])
        assert all(0 < len(b) <= most and int(cost[b].sum()) <= budget for b in batches)
        assert sorted(torch.cat(batches).tolist()) == list(range(len(sizes)))


def test_budget_batches_are_well_filled() -> None:
    sizes = torch.randint(20, 80, (5000,), generator=torch.Generator().manual_seed(0))
    sampler = BudgetBatchSampler(sizes, budget=2000, max_items=1000, seed=0)
    assert int(sizes.sum()) / (len(sampler) * 2000) > 0.95


def test_a_sample_over_the_budget_is_named() -> None:
    with pytest.raises(ConfigError, match="sample 1 costs 9, more than the budget 8"):
        BudgetBatchSampler(torch.tensor([3, 9, 2]), 8, 10, 0)


def make(prefetch: int = 0, n: int = 12) -> ResumableLoader[list[int]]:
    return ResumableLoader(lambda i: i.tolist(), SeededBatchSampler(n, 3, 7), prefetch=prefetch)


def epochs(loader: ResumableLoader[list[int]]) -> list[list[int]]:
    return [batch for _ in range(3) for batch in loader]


@pytest.mark.parametrize("prefetch", [0, 1, 3, 50])
@pytest.mark.parametrize("stop", range(9))
def test_a_loader_goes_on_with_the_very_next_batch(prefetch: int, stop: int) -> None:
    loader, resumed, before = make(prefetch), make(prefetch), []
    unbroken = epochs(make())
    while len(before) < stop:
        for batch in loader:
            before.append(batch)
            if len(before) == stop:
                break
    resumed.load_state_dict(loader.state_dict())
    after = epochs(resumed)
    assert before == unbroken[:stop]
    assert after[: 12 - stop] == unbroken[stop:]


def test_an_iterator_that_is_never_used_changes_nothing() -> None:
    loader = make()
    iter(loader)
    assert list(loader) == list(make())


def test_an_epoch_cut_short_is_followed_by_the_next_one() -> None:
    loader, reference = make(), make()
    next(iter(loader))
    list(reference)
    assert list(loader) == list(reference)


def test_an_epoch_that_is_declared_over_is_over_after_resuming_too() -> None:
    loader, reference, resumed = make(), make(), make()
    next(iter(loader))
    loader.end_epoch()
    resumed.load_state_dict(loader.state_dict())
    list(reference)
    assert list(resumed) == list(reference)


def test_a_state_of_other_data_is_refused() -> None:
    with pytest.raises(CheckpointError, match="4 batches an epoch, now 5"):
        make(n=15).load_state_dict(make().state_dict())


def test_an_error_in_fetch_reaches_the_caller_at_its_batch() -> None:
    def fetch(index: Tensor) -> int:
        if 5 in index.tolist():
            raise RunFailedError("sample 5 is unreadable")
        return len(index)

    order = SeededBatchSampler(9, 3, 0, shuffle=False)
    iterator = iter(EvalLoader(fetch, order, prefetch=2))
    assert next(iterator) == 3
    with pytest.raises(RunFailedError, match="sample 5"):
        next(iterator)


def test_the_prefetching_thread_ends_when_an_epoch_is_abandoned() -> None:
    iterator = iter(make(prefetch=2))
    next(iterator)
    assert any(thread.name.startswith("prefetch") for thread in threading.enumerate())
    iterator.close()
    assert not any(thread.name.startswith("prefetch") for thread in threading.enumerate())


def test_two_iterations_of_one_loader_at_once_are_an_error() -> None:
    loader = make()
    first = iter(loader)
    next(first)
    next(iter(loader))
    with pytest.raises(RunFailedError, match="iterated anew"):
        next(first)


def test_an_evaluation_has_the_same_order_each_time() -> None:
    loader = EvalLoader(lambda i: i.tolist(), SeededBatchSampler(7, 3, 0, shuffle=False))
    assert list(loader) == list(loader) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(loader) == 3
