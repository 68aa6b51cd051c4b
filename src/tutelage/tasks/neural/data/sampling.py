"""`ByDatasetBatchSampler`: batches of one session each, dealt out to the processes once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.data.chunks import ChunkTable
from tutelage.training.samplers import permutation


class ByDatasetBatchSampler:
    """Batches whose stretches are all of one session; their order is fixed by (seed, epoch).

    A global batch holds ``batch_size * world_size`` stretches. All processes see the same global
    batches in the same order, and each takes its own part of each (`shard`): this is the one place
    where data are dealt out, so that nothing else may shard them again.

    Args:
        table: The stretches.
        batch_size: Most stretches a batch and process.
        seed: Any integer.
        shuffle: A new random order each epoch, or the order of storage.
        rank: This process, from 0.
        world_size: Processes.

    Raises:
        ConfigError: There is nothing to draw, or such a process does not exist.
    """

    def __init__(
        self,
        table: ChunkTable,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not len(table) or batch_size < 1:
            raise ConfigError(f"{len(table)} stretches in batches of {batch_size}: at least 1 each")
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank {rank} of {world_size} processes does not exist")
        self.table, self.batch_size, self.seed = table, batch_size, seed
        self.rank, self.world_size, self._shuffle = rank, world_size, shuffle
        self._members = [
            torch.from_numpy(np.flatnonzero(table.session == place))
            for place in range(table.sessions)
        ]

    @property
    def _whole(self) -> int:
        return self.batch_size * self.world_size

    @property
    def batches_of(self) -> list[int]:
        """How many batches of each session an epoch has."""
        return [-(-len(members) // self._whole) for members in self._members]

    def __len__(self) -> int:
        return sum(self.batches_of)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the global batches of ``epoch``: places of stretches, int64."""
        found: list[Tensor] = []
        for place, members in enumerate(self._members):
            if not len(members):
                continue
            if self._shuffle:
                order = permutation(self.seed, epoch, len(members), stream=place + 1)
                members = members[order]
            pieces = -(-len(members) // self._whole)
            found += torch.tensor_split(members, pieces)  # of equal size, within one
        if not self._shuffle:
            return found
        return [found[at] for at in permutation(self.seed, epoch, len(found)).tolist()]

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's part of a global batch; empty where there are too few stretches."""
        return batch[self.rank :: self.world_size]
