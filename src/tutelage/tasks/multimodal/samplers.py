"""Batches by meaning: what is alike comes together, as negatives that are hard, or as positives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.training.samplers import permutation, random_bits

_ORDER, _WHICH, _PLACE, _GROUPS, _BATCHES = range(8, 13)
"""Random streams of an epoch, apart from those of other samplers."""


def arrange_by_groups(
    places: Tensor, groups: Tensor, size: int, hardness: float, seed: int, epoch: int
) -> Sequence[Tensor]:
    """Put samples into batches, a share of which has the neighbours of its own group.

    Groups stand in random order; a share ``hardness`` of the samples is placed with its group, the
    rest anywhere. At 0 batches are random; at 1 each holds one group, or the end of one and the
    beginning of another. The batches' order is random too.

    Args:
        places: (n,) int64, samples.
        groups: (n,) int64, the group of each.
        size: Samples in a batch.
        hardness: From 0 to 1.
        seed: Any integer.
        epoch: From 0.

    Returns:
        ceil(n / size) batches, a pure function of the arguments.
    """
    count = len(places)
    numbered = torch.unique(groups, return_inverse=True)[1]
    order = permutation(seed, epoch, int(numbered.max()) + 1, _GROUPS)
    sizes = torch.bincount(numbered, minlength=len(order))[order].double()
    starts = torch.empty(len(order), dtype=torch.float64)
    starts[order] = (sizes.cumsum(0) - sizes) / count
    share = torch.empty(len(order), dtype=torch.float64)
    share[order] = sizes / count
    inside = starts[numbered] + share[numbered] * _uniform(seed, epoch, count, _PLACE)
    anywhere = _uniform(seed, epoch, count, _ORDER)
    placed = torch.where(_uniform(seed, epoch, count, _WHICH) < hardness, inside, anywhere)
    batches = torch.split(places[placed.argsort(stable=True)], size)
    last = [batches[-1]] if len(batches[-1]) < size else []
    whole = batches[: len(batches) - len(last)]
    shuffled = permutation(seed, epoch, len(whole), _BATCHES).tolist() if whole else []
    return [*(whole[at] for at in shuffled), *last]


def _uniform(seed: int, epoch: int, count: int, stream: int) -> Tensor:
    bits: NDArray[np.uint64] = random_bits(seed, epoch, count, stream)
    return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64)) * 2.0**-53


class SemanticGroupBatchSampler:
    """Batches of what is alike: negatives that are hard to tell from the positive.

    Args:
        groups: (n,) int64, the semantic group of each sample.
        batch_size: Samples a batch and rank.
        seed: Any integer.
        hardness: Share of the samples that stand with their group, from 0 to 1.
        rank: This process, from 0.
        world_size: Processes; global batches are dealt out sample by sample.

    Raises:
        ConfigError: A size is out of range, or no batch would be full.
    """

    def __init__(
        self,
        groups: Tensor,
        batch_size: int,
        seed: int,
        hardness: float = 1.0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not 0 <= hardness <= 1 or batch_size < 1 or not 0 <= rank < world_size:
            said = f"hardness {hardness:g}, batches of {batch_size}, rank {rank} of {world_size}"
            raise ConfigError(f"out of range: {said}")
        self.groups, self.batch_size, self.seed = groups, batch_size, seed
        self.hardness, self._rank, self._world_size = hardness, rank, world_size
        self._whole = batch_size * world_size
        if len(groups) < self._whole:
            raise ConfigError(f"{len(groups)} samples are fewer than one batch of {self._whole}")

    def __len__(self) -> int:
        return len(self.groups) // self._whole

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the samples of this rank's batches; a last one that is not full is left out."""
        every = torch.arange(len(self.groups))
        found = arrange_by_groups(every, self.groups, self._whole, self.hardness, self.seed, epoch)
        return [batch[self._rank :: self._world_size] for batch in found[: len(self)]]


class PositivesBatchSampler(SemanticGroupBatchSampler):
    """Batches in which what belongs together comes together, for losses of several positives.

    Args:
        ids: (n,) int64, what belongs together.
        batch_size: Samples a batch and rank.
        seed: Any integer.
        rank: This process, from 0.
        world_size: Processes.
    """

    def __init__(
        self, ids: Tensor, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(ids, batch_size, seed, 1.0, rank, world_size)
