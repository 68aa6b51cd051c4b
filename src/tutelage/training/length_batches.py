"""Batches of samples of like length, each of about as many tokens: a pure function of the epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.training.samplers import permutation

POOL = 64
"""Batches whose samples are sorted together, so that a batch's neighbours change every epoch."""
_SAMPLES, _BATCHES = 0, 1  # independent random streams of an epoch


def length_batches(lengths: NDArray[np.int64], batches: int) -> list[NDArray[np.int64]]:
    """Deal samples out to batches of like length and of as many tokens as another, if possible.

    Args:
        lengths: (n,) tokens of each sample.
        batches: How many, at most n; no batch is empty.

    Returns:
        Places in ``lengths``, the shortest samples first; of samples as long as another, those
        that come first.
    """
    order = np.argsort(lengths, kind="stable")
    total = np.cumsum(np.maximum(lengths[order], 1))
    cuts = np.searchsorted(total, total[-1] / batches * np.arange(1, batches), side="left") + 1
    steps = np.arange(1, batches)
    cuts = np.maximum.accumulate(cuts - steps) + steps  # no batch is empty ...
    cuts = np.minimum(cuts, len(lengths) - batches + steps)  # ... nor any of those that follow
    return np.split(order, cuts)


class LengthBatchSampler:
    """Batches of samples of like length, in an order fixed by (seed, epoch).

    The epoch's random order is cut into pools; a pool's samples are sorted by length and dealt out
    to batches of about as many tokens as each other; then the batches are shuffled. So there is
    next to no padding, and a step costs the same whatever the length of its samples.

    Args:
        lengths: (n,) tokens of each sample.
        batch_size: Samples in a batch, on average.
        seed: Any integer.
        shuffle: A new random order each epoch; else the shortest samples first.
        pool: Batches in a pool.
        rank: This process, from 0; batches are dealt out in turn.
        world_size: Processes; each has as many batches, of ``batch_size`` samples on average.

    Raises:
        ConfigError: There is no sample, or an argument is out of range.
    """

    def __init__(
        self,
        lengths: Tensor,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        pool: int = POOL,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not len(lengths) or batch_size < 1 or pool < 1:
            problem = f"{len(lengths)} samples in batches of {batch_size}, {pool} in a pool"
            raise ConfigError(f"{problem}: all must be at least 1")
        self._lengths = lengths.to(torch.int64).numpy()
        self.batch_size: int = batch_size
        self.seed: int = seed
        self._shuffle, self._pool = shuffle, pool
        self._rank, self._world_size = rank, world_size
        self._batches = math.ceil(len(lengths) / (batch_size * world_size)) * world_size
        if self._batches > len(lengths) or not 0 <= rank < world_size:
            problem = f"{len(lengths)} samples can't be shared by process {rank} of {world_size}"
            raise ConfigError(problem, hint="Use fewer processes or more data.")

    def __len__(self) -> int:
        return self._batches // self._world_size

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self._lengths)

    def repeated(self, times: int) -> LengthBatchSampler:
        """Return the like sampler of epochs with so many times as many samples."""
        lengths = torch.from_numpy(self._lengths).repeat(times)
        settings = (self.batch_size, self.seed, self._shuffle, self._pool)
        return LengthBatchSampler(lengths, *settings, self._rank, self._world_size)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the places of each of this rank's batches of ``epoch``, int64, none empty."""
        if self._shuffle:
            order = permutation(self.seed, epoch, self.samples, _SAMPLES)
            return self.dealt(order, self._lengths, epoch)
        made = [torch.from_numpy(b) for b in length_batches(self._lengths, self._batches)]
        return made[self._rank :: self._world_size]

    def dealt(self, order: Tensor, lengths: NDArray[np.int64], epoch: int) -> Sequence[Tensor]:
        """Return this rank's batches of ``epoch`` where these samples are drawn, in this order.

        Args:
            order: Places in ``lengths``, as many as there are batches at least.
            lengths: Tokens of each sample that may be drawn.
            epoch: From 0.
        """
        made = pooled_batches(order, lengths, self._batches, self._pool, self.seed, epoch)
        return made[self._rank :: self._world_size]


def pooled_batches(
    order: Tensor, lengths: NDArray[np.int64], batches: int, pool: int, seed: int, epoch: int
) -> list[Tensor]:
    """Deal samples in a random order out to pools, these to batches, and shuffle the batches.

    Args:
        order: (m,) int64, places of samples, which may come more than once.
        lengths: (n,) tokens of each sample.
        batches: How many, at most m.
        pool: Batches in a pool.
        seed: Any integer.
        epoch: From 0.
    """
    pools = math.ceil(batches / pool)
    counts = np.diff(np.linspace(0, batches, pools + 1).astype(np.int64))
    ends = (np.cumsum(counts) * len(order)) // batches
    made: list[Tensor] = []
    for part, count in zip(np.split(order.numpy(), ends[:-1]), counts.tolist(), strict=True):
        made += [torch.from_numpy(part[b]) for b in length_batches(lengths[part], count)]
    return [made[i] for i in permutation(seed, epoch, batches, _BATCHES).tolist()]
