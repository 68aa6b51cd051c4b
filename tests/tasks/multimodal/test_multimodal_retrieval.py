"""Ranks, recall, MRR, mAP, chance and ties agree with counting by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.tasks.multimodal.retrieval import (
    CUTOFFS,
    bootstrap,
    rank_metrics,
    ranks,
    scored_ranks,
)


def naive(scores: list[float], positive: list[bool]) -> dict[str, float]:
    """Metrics of one query as means over every order that equal scores may stand in."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    firsts = [1 + min(order.index(j) for j, p in enumerate(positive) if p) for order in orders]
    found = {f"recall@{k}": float(np.mean([f <= k for f in firsts])) for k in CUTOFFS}
    return found | {"first": float(np.mean(firsts))}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=6))
def test_ties_count_as_a_random_order_would(rows: list[tuple[int, bool]]) -> None:
    scores, positive = [float(s) for s, _ in rows], [p for _, p in rows]
    if not any(positive):
        positive[0] = True
    found = scored_ranks(torch.tensor([scores]), torch.tensor([positive]))
    expected = naive(scores, positive)
    assert found.first[0] == pytest.approx(expected["first"])
    for k in CUTOFFS:
        assert found.hits[k][0] == pytest.approx(expected[f"recall@{k}"], abs=1e-6)


def test_recall_of_equal_scores_is_chance() -> None:
    positive = torch.eye(40, dtype=torch.bool)
    found = scored_ranks(torch.zeros(40, 40), positive)
    for k in CUTOFFS:
        assert found.hits[k].mean() == pytest.approx(k / 40, abs=1e-6)
        assert found.chance[k].mean() == pytest.approx(k / 40, abs=1e-6)


def test_metrics_of_distinct_scores_agree_with_sorting() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, candidates = (torch.randn(n, 8, generator=generator) for n in (30, 50))
    query_ids = torch.arange(30) % 12
    candidate_ids = torch.arange(50) % 12
    found = rank_metrics(queries, candidates, query_ids, candidate_ids)
    first, average = [], []
    for query, own in zip(queries @ candidates.T, query_ids, strict=True):
        right = (candidate_ids == own)[query.argsort(descending=True)].numpy()
        places = np.flatnonzero(right) + 1
        first.append(places[0])
        average.append(np.mean(np.arange(1, len(places) + 1) / places))
    assert found["recall@5"] == pytest.approx(np.mean(np.array(first) <= 5), abs=1e-6)
    assert found["mrr"] == pytest.approx(np.mean(1 / np.array(first)))
    assert found["map"] == pytest.approx(np.mean(average))
    assert found["median_rank"] == np.sort(first)[len(first) // 2 - 1]


def test_chunks_change_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y, ids = torch.randn(37, 4, generator=generator), torch.randn(37, 4), torch.arange(37) // 2
    whole, parts = ranks(x, y, ids, ids, chunk=100), ranks(x, y, ids, ids, chunk=5)
    assert np.array_equal(whole.first, parts.first)
    assert whole.metrics() == pytest.approx(parts.metrics())


def test_chance_counts_several_positives() -> None:
    positive = torch.zeros(1, 20, dtype=torch.bool)
    positive[0, :3] = True
    found = scored_ranks(torch.zeros(1, 20), positive)
    missed = np.prod([(17 - j) / (20 - j) for j in range(5)])
    assert found.chance[5][0] == pytest.approx(1 - missed, abs=1e-6)


def test_the_bootstrap_draws_groups_as_a_whole() -> None:
    groups = np.array([7, 7, 7, 9, 9, 11])
    for weights in bootstrap(groups, 20, seed=0):
        assert len(set(weights[:3])) == 1 and weights[3] == weights[4]
        assert weights[0] + weights[3] + weights[5] == 3
    one, two = (np.stack(list(bootstrap(groups, 5, seed=0))) for _ in range(2))
    assert np.array_equal(one, two)
