"""Retrieval in chunks: ranks with ties, recall, median rank, MRR, mAP, chance, intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.losses import positive_mask

CUTOFFS: Final = (1, 5, 10)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranks:
    """What (Q,) queries found among N candidates.

    Args:
        first: (Q,) expected rank of the first positive, from 1; ties count half.
        precision: (Q,) average precision.
        hits: For each k of `CUTOFFS`, (Q,) the probability that a positive is among the first k,
            where equal similarities stand in random order.
        chance: The same, in a random order of all candidates.
        reciprocal: (Q,) one over the rank of the first positive.
    """

    first: Floats
    precision: Floats
    reciprocal: Floats
    hits: Mapping[int, Floats]
    chance: Mapping[int, Floats]

    def metrics(self, weights: Floats | None = None) -> dict[str, float]:
        """Return recall at each cutoff, median rank, MRR and mAP.

        Args:
            weights: (Q,) how often each query counts.
        """
        counts = np.ones(len(self.first)) if weights is None else weights
        total = counts.sum()
        found = {f"recall@{k}": float(hits @ counts / total) for k, hits in self.hits.items()}
        found["median_rank"] = _median(self.first, counts)
        found["mrr"] = float(self.reciprocal @ counts / total)
        found["map"] = float(self.precision @ counts / total)
        return found


def rank_metrics(
    queries: Tensor, candidates: Tensor, query_ids: Tensor, candidate_ids: Tensor
) -> dict[str, float]:
    """Return the metrics of `Ranks` for (Q, D) queries among (N, D) candidates."""
    return ranks(queries, candidates, query_ids, candidate_ids).metrics()


def ranks(
    queries: Tensor,
    candidates: Tensor,
    query_ids: Tensor,
    candidate_ids: Tensor,
    chunk: int = 1024,
) -> Ranks:
    """Rank candidates for each query by their scalar product.

    Args:
        queries: (Q, D).
        candidates: (N, D).
        query_ids: (Q,) a query's positives are the candidates of its id, of which each has one.
        candidate_ids: (N,).
        chunk: Queries whose (chunk, N) similarities are held at once.
    """
    parts = []
    for rows, ids in zip(torch.split(queries, chunk), torch.split(query_ids, chunk), strict=True):
        mask = positive_mask(ids, candidate_ids)
        parts.append(scored_ranks(rows @ candidates.T, mask))
    return joined(parts)


def joined(parts: list[Ranks]) -> Ranks:
    """Join the ranks of several sets of queries."""
    return Ranks(
        first=np.concatenate([p.first for p in parts]),
        precision=np.concatenate([p.precision for p in parts]),
        reciprocal=np.concatenate([p.reciprocal for p in parts]),
        hits={k: np.concatenate([p.hits[k] for p in parts]) for k in CUTOFFS},
        chance={k: np.concatenate([p.chance[k] for p in parts]) for k in CUTOFFS},
    )


def scored_ranks(scores: Tensor, positive: Tensor) -> Ranks:
    """Return the ranks in (Q, N) scores, larger first; ``positive`` (Q, N) says what is right.

    Equal scores get no rank by their place: of t equal candidates of which p are positive, the
    first positive is expected after (t - p) / (p + 1) others, and recall is a probability. A model
    that gives all the same scores what chance does.
    """
    count = scores.shape[1]
    best = scores.masked_fill(~positive, -torch.inf).max(1, keepdim=True).values
    ahead = (scores > best).sum(1).double()
    tied = scores == best
    level = tied.sum(1).double()
    right = (tied & positive).sum(1).double()
    first = 1 + ahead + (level - right) / (right + 1)
    total = positive.sum(1).double()
    everything = torch.full_like(total, count)
    hits = {k: _hit(k - ahead, level, right) for k in CUTOFFS}
    chance = {k: _hit(torch.full_like(total, k), everything, total) for k in CUTOFFS}
    return Ranks(
        first=first.cpu().numpy(),
        precision=_average_precision(scores, positive).cpu().numpy(),
        reciprocal=(1 / first).cpu().numpy(),
        hits={k: value.cpu().numpy() for k, value in hits.items()},
        chance={k: value.cpu().numpy() for k, value in chance.items()},
    )


def _hit(drawn: Tensor, level: Tensor, right: Tensor) -> Tensor:
    """Probability of one of ``right`` among ``drawn`` of ``level``, drawn without replacement."""
    drawn = drawn.clamp(min=0)
    drawn = torch.minimum(drawn, level)
    wrong = level - right
    ways = torch.lgamma(wrong + 1) - torch.lgamma((wrong - drawn).clamp(min=0) + 1)
    ways = ways - torch.lgamma(level + 1) + torch.lgamma(level - drawn + 1)
    missed = torch.where(drawn > wrong, torch.zeros_like(ways), ways.exp())
    return 1 - missed.clamp(max=1)


def _average_precision(scores: Tensor, positive: Tensor) -> Tensor:
    """Return (Q,) average precision; equal scores share one precision, as in trec_eval's limit."""
    ordered, order = scores.sort(1, descending=True)
    right = positive.gather(1, order).double()
    found = right.cumsum(1)
    place = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    falling = (-ordered).contiguous()
    last_of_level = torch.searchsorted(falling, falling, right=True) - 1
    precision = (found / place).gather(1, last_of_level)
    return (precision * right).sum(1) / right.sum(1).clamp(min=1)


def _median(values: Floats, counts: Floats) -> float:
    order = np.argsort(values)
    passed = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(passed, passed[-1] / 2)])


def bootstrap(groups: NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """Yield (Q,) weights of queries: groups drawn with replacement, each with all its queries.

    Queries of one group stand and fall together, so that drawing them one by one would give
    intervals that are too narrow.

    Args:
        groups: (Q,) group of each query.
        resamples: How many.
        seed: Of the draws.
    """
    numbered = np.unique(groups, return_inverse=True)[1]
    count = int(numbered.max()) + 1
    generator = np.random.Generator(np.random.Philox(seed))
    for _ in range(resamples):
        drawn = np.bincount(generator.integers(0, count, count), minlength=count)
        yield drawn[numbered].astype(np.float64)
