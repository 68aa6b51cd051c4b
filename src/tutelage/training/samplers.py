"""Which samples form batch i of epoch e: a pure function of (seed, epoch, i), never of timing."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.errors import ConfigError

_WARM_EPOCHS = 8
_ATTEMPTS = 64


class BatchOrder(Protocol):
    """Anything that says which samples form the batches of an epoch."""

    def __len__(self) -> int:
        """Batches in every epoch (Lightning reads it once, so it never changes)."""
        ...

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the sample indices of each batch of ``epoch``."""
        ...


class ListedBatches:
    """An order of batches that was made beforehand, the same in each epoch."""

    def __init__(self, batches: Sequence[Tensor]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return them."""
        return self._batches


def random_bits(seed: int, epoch: int, n: int, stream: int = 0) -> NDArray[np.uint64]:
    """Return ``n`` random 64-bit words that depend on the arguments alone.

    Args:
        seed: Any integer.
        epoch: From 0.
        n: How many words.
        stream: Separates independent uses in one epoch, from 0.

    Source: Philox4x64, a counter-based generator (Salmon et al., 2011,
        https://doi.org/10.1145/2063384.2063405); its raw output is the same in every NumPy.
    """
    key = np.array([seed % 2**64, epoch], dtype=np.uint64)
    counter = np.array([0, 0, 0, stream], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(n)


def permutation(seed: int, epoch: int, n: int, stream: int = 0) -> Tensor:
    """Return a random order of ``n`` samples, shape (n,), int64."""
    order = np.argsort(random_bits(seed, epoch, n, stream), kind="stable")
    return torch.from_numpy(order)


def weighted_draw(weights: Tensor, seed: int, epoch: int, n: int) -> Tensor:
    """Return ``n`` sample indices drawn with replacement in proportion to ``weights``.

    Args:
        weights: Non-negative, shape (samples,).
        seed: Any integer.
        epoch: From 0.
        n: How many.

    Returns:
        Indices, shape (n,), int64.
    """
    cumulative = weights.to(torch.float64).cumsum(0).numpy()
    uniform = (random_bits(seed, epoch, n) >> np.uint64(11)) * 2.0**-53
    drawn = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    return torch.from_numpy(np.minimum(drawn, int(weights.nonzero()[-1])))


class SeededBatchSampler:
    """Batches of equal size over ``n`` samples, in an order fixed by (seed, epoch).

    On several processes, global batch i holds ``batch_size * world_size`` samples and each rank
    takes every ``world_size``-th of them; an uneven tail is filled from the epoch's beginning so
    that all ranks do the same number of steps.

    Args:
        n: Samples in the data set.
        batch_size: Samples a batch and rank.
        seed: Any integer.
        shuffle: A new random order each epoch, or the order of storage.
        drop_last: Leave out a last batch that is not full.
        rank: This process, from 0.
        world_size: Processes.
        weights: Draw ``n`` samples with replacement in proportion to these, shape (n,).

    Raises:
        ConfigError: No batch would result, or an argument is out of range.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        weights: Tensor | None = None,
    ) -> None:
        if n < 1 or batch_size < 1:
            raise ConfigError(f"{n} samples in batches of {batch_size}: both must be at least 1")
        _check_rank(rank, world_size)
        if weights is not None:
            _check_weights(weights, n, shuffle)
        self.n: int = n
        self.batch_size: int = batch_size
        self.seed: int = seed
        self._shuffle, self._weights = shuffle, weights
        self._rank, self._world_size = rank, world_size
        whole = batch_size * world_size
        self._batches = n // whole if drop_last else math.ceil(n / whole)
        if self._batches == 0:
            problem = f"{n} samples are fewer than one batch of {whole}, and drop_last is on"
            raise ConfigError(problem, hint="Use a smaller batch, or keep the last one.")
        self._drop_last = drop_last

    def __len__(self) -> int:
        return self._batches

    def order(self, epoch: int) -> Tensor:
        """Return the samples of ``epoch`` over all ranks in their order, shape (n,), int64."""
        if self._weights is not None:
            return weighted_draw(self._weights, self.seed, epoch, self.n)
        return permutation(self.seed, epoch, self.n) if self._shuffle else torch.arange(self.n)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the sample indices of this rank's batches, each of shape (batch_size or less,)."""
        order = self.order(epoch)
        if self._drop_last:
            order = order[: self._batches * self.batch_size * self._world_size]
        if (missing := -len(order) % self._world_size) > 0:
            order = torch.cat([order, order.repeat(missing // len(order) + 1)[:missing]])
        return torch.split(order[self._rank :: self._world_size], self.batch_size)


class BudgetBatchSampler:
    """Batches of as many samples as fit a budget of cost, such as nodes plus edges of graphs.

    Samples are taken in the epoch's random order and packed greedily. Lightning reads the number
    of batches once, so it is the same in each epoch: the most that the first eight epochs need;
    an epoch that needs fewer has its largest batches halved, one that would need more takes the
    next of its random orders.

    Args:
        sizes: Cost of each sample, shape (n,).
        budget: Most cost in a batch.
        max_items: Most samples in a batch.
        seed: Any integer.
        shuffle: A new random order each epoch, or the order of storage.
        rank: This process, from 0; batches are dealt out in turn.
        world_size: Processes.

    Raises:
        ConfigError: No samples, or one costs more than the budget.
    """

    def __init__(
        self,
        sizes: Tensor,
        budget: int,
        max_items: int,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check_rank(rank, world_size)
        if sizes.ndim != 1 or len(sizes) < world_size or max_items < 1 or int(sizes.min()) < 0:
            problem = f"sizes of shape {tuple(sizes.shape)}, at most {max_items} samples a batch"
            hint = "Give one non-negative cost a sample, at least one sample a process."
            raise ConfigError(f"can't be packed: {problem}", hint=hint)
        if int(sizes.max()) > budget:
            worst = int(sizes.argmax())
            problem = f"sample {worst} costs {int(sizes[worst])}, more than the budget {budget}"
            raise ConfigError(problem, hint=f"Use a budget of at least {int(sizes.max())}.")
        self._sizes = sizes.to(torch.int64).numpy()
        self.budget: int = budget
        self.max_items: int = max_items
        self.seed: int = seed
        self._shuffle, self._rank, self._world_size = shuffle, rank, world_size
        needed = max(len(self._pack(self._order(e))) for e in range(_WARM_EPOCHS))
        self._total = math.ceil(needed / world_size) * world_size
        if self._total > len(sizes):
            problem = f"{len(sizes)} samples can't be shared evenly by {world_size} processes"
            raise ConfigError(problem, hint="Use fewer processes or a larger budget.")

    def __len__(self) -> int:
        return self._total // self._world_size

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the sample indices of this rank's batches, int64, none empty."""
        order, starts = self._packed(epoch)
        starts = self._halve(order, starts)
        parts = np.split(order, starts[1:])
        return [torch.from_numpy(part) for part in parts[self._rank :: self._world_size]]

    def _order(self, epoch: int, attempt: int = 0) -> NDArray[np.int64]:
        if not self._shuffle:
            return np.arange(len(self._sizes))
        return permutation(self.seed, epoch, len(self._sizes), stream=attempt).numpy()

    def _packed(self, epoch: int) -> tuple[NDArray[np.int64], list[int]]:
        for attempt in range(_ATTEMPTS):
            order = self._order(epoch, attempt)
            starts = self._pack(order)
            if len(starts) <= self._total:
                return order, starts
        order = self._order(0)  # fits: it is among those that set the number of batches
        return order, self._pack(order)

    def _pack(self, order: NDArray[np.int64]) -> list[int]:
        """Return where each batch starts in ``order``; a loop over batches, not samples."""
        total = np.concatenate([[0], np.cumsum(self._sizes[order])])
        starts = [0]
        while True:
            start = starts[-1]
            end = int(np.searchsorted(total, total[start] + self.budget, side="right")) - 1
            end = min(end, start + self.max_items)
            if end >= len(order):
                return starts
            starts.append(end)

    def _halve(self, order: NDArray[np.int64], starts: list[int]) -> list[int]:
        """Halve the largest batches until there are as many as in every epoch."""
        ends = [*starts[1:], len(order)]
        heap = [(start - end, start) for start, end in zip(starts, ends, strict=True)]
        heapq.heapify(heap)
        while len(heap) < self._total:
            negative, start = heapq.heappop(heap)
            half = -negative // 2
            heapq.heappush(heap, (-half, start))
            heapq.heappush(heap, (negative + half, start + half))
        return sorted(start for _, start in heap)


class Shard:
    """One process's part of the batches of an order that knows of no processes.

    Args:
        order: Batches for all processes together.
        rank: This process, from 0; of each batch it takes every ``world_size``-th sample.
        world_size: Processes.
    """

    def __init__(self, order: BatchOrder, rank: int, world_size: int) -> None:
        _check_rank(rank, world_size)
        self._order, self._rank, self._world_size = order, rank, world_size

    def __len__(self) -> int:
        return len(self._order)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return this process's part of each batch of ``epoch``."""
        return [batch[self._rank :: self._world_size] for batch in self._order.batches(epoch)]


def _check_rank(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} of {world_size} processes does not exist")


def _check_weights(weights: Tensor, n: int, shuffle: bool) -> None:
    if weights.shape != (n,):
        raise ConfigError(f"weights of shape {tuple(weights.shape)} for {n} samples")
    if not shuffle:
        raise ConfigError("weights draw at random: they need shuffle=True")
    if not bool(torch.isfinite(weights).all()) or float(weights.min()) < 0:
        raise ConfigError("weights must be finite and not negative")
    if float(weights.sum()) <= 0:
        raise ConfigError("all weights are zero: nothing could be drawn")
