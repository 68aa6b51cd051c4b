"""`PairBatch`, and orders of pairs whose every sample has a key of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tutelage.training.samplers import BatchOrder, random_bits

KEYS = 1
"""The random stream of an epoch that keys come from; stream 0 orders the samples."""


class PairBatch(NamedTuple):
    """B pictures, each with one caption.

    Args:
        images: (B, S, S, 3) uint8.
        tokens: (B, T) int64, zeros at the end of shorter ones.
        ids: (B,) int64: what belongs together.
        keys: (B,) int64, from which augmentation follows; zeros mean none.
        rows: (B,) int64, the pictures' places in the data.
        taught: (B, T') int64, the captions as a teacher reads them; of no width without one.
    """

    images: Tensor
    tokens: Tensor
    ids: Tensor
    keys: Tensor
    rows: Tensor
    taught: Tensor


class KeyedOrder:
    """The batches of another order, with a key for each sample: (B, 2), sample and key.

    A key is a pure function of (seed, epoch, position).

    Args:
        order: Says which samples form a batch.
        seed: Any integer.
        rank: This process, from 0.
        world_size: Processes; a position counts over all of them.
    """

    def __init__(self, order: BatchOrder, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.order, self.seed = order, seed
        self._rank, self._world_size = rank, world_size

    def __len__(self) -> int:
        return len(self.order)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return (B, 2) int64 of each batch; keys are never 0."""
        parts = self.order.batches(epoch)
        sizes = [len(part) for part in parts]
        whole = keys_of(self.seed, epoch, sum(sizes) * self._world_size)
        keys = torch.split(whole[self._rank :: self._world_size], sizes)
        return [torch.stack([part, key], dim=1) for part, key in zip(parts, keys, strict=True)]


def keys_of(seed: int, epoch: int, count: int) -> Tensor:
    """Return the keys of an epoch's positions, (count,) int64."""
    bits = random_bits(seed, epoch, count, stream=KEYS) | np.uint64(1)
    return torch.from_numpy(bits.view(np.int64))


def trimmed(tokens: Tensor) -> Tensor:
    """Return (B, T) int64 tokens without the columns at the end that are zero in all rows."""
    used = (tokens != 0).any(0).nonzero()
    width = int(used[-1]) + 1 if len(used) else 1
    return tokens[:, :width].long()
