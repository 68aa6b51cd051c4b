"""Which stretches form a step: of all sessions together, or one by one; dealt out once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.tasks.neural.data.chunks import ChunkTable
from tutelage.tasks.neural.sessions.session import Ints
from tutelage.training.samplers import permutation, random_bits


class GlobalBatches(ABC):
    """Batches over all processes, in an order fixed by (seed, epoch), of which each has its share.

    A global batch holds ``batch_size * world_size`` stretches or fewer. All processes see the same
    global batches in the same order, and each takes its own part of each (`shard`): this is the one
    place where data are dealt out, so that nothing else may shard them again.

    Args:
        table: The stretches.
        batch_size: Most stretches a batch and process.
        seed: Any integer.
        rank: This process, from 0.
        world_size: Processes.

    Raises:
        ConfigError: There is nothing to draw, or such a process does not exist.
    """

    def __init__(
        self, table: ChunkTable, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if not len(table) or batch_size < 1:
            raise ConfigError(f"{len(table)} stretches in batches of {batch_size}: at least 1 each")
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank {rank} of {world_size} processes does not exist")
        self.table, self.batch_size, self.seed = table, batch_size, seed
        self.rank, self.world_size = rank, world_size

    @property
    def whole(self) -> int:
        """Most stretches of a global batch."""
        return self.batch_size * self.world_size

    @abstractmethod
    def __len__(self) -> int:
        """Batches in every epoch."""

    @abstractmethod
    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the global batches of ``epoch``: places of stretches, int64."""

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's part of a global batch; empty where there are too few stretches."""
        return batch[self.rank :: self.world_size]


class MixedBatchSampler(GlobalBatches):
    """Batches of stretches of all sessions, each stretch once an epoch, of equal size within one.

    One pass of the core serves all sessions of a batch, and its norms see all of them.
    """

    def __len__(self) -> int:
        return -(-len(self.table) // self.whole)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the global batches of ``epoch``, each in order of session."""
        order = permutation(self.seed, epoch, len(self.table))
        return [self.by_session(batch) for batch in torch.tensor_split(order, len(self))]

    def by_session(self, batch: Tensor) -> Tensor:
        """Return a batch in order of session, otherwise as it was."""
        session = torch.from_numpy(self.table.session)[batch]
        return batch[session.argsort(stable=True)]


class SharedStimulusBatchSampler(MixedBatchSampler):
    """Batches of stimuli, each with the stretches of every session that it was shown in.

    A batch of n stimuli costs the core as much as n stretches, however many sessions saw them; each
    stretch comes once an epoch. What a session saw k times is of k stimuli. Processes share the
    stimuli of a batch, never the stretches of one.

    Args:
        table: The stretches, with what they show.
        batch_size: Most stimuli a batch and process.
        seed: Any integer.
        rank: This process, from 0.
        world_size: Processes.

    Raises:
        ConfigError: No two sessions show the same.
    """

    def __init__(
        self, table: ChunkTable, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(table, batch_size, seed, rank, world_size)
        self.stimulus, sizes = _stimuli(table)
        if sizes.max() == 1:
            hint = "Use data.batches=mixed."
            raise ConfigError("no two sessions show the same", where="data.batches", hint=hint)
        members = torch.from_numpy(np.argsort(self.stimulus, kind="stable"))
        self._members = torch.split(members, sizes.tolist())

    def __len__(self) -> int:
        return -(-len(self._members) // self.whole)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the global batches of ``epoch``, each in order of session."""
        order = permutation(self.seed, epoch, len(self._members))
        return [
            self.by_session(torch.cat([self._members[at] for at in chosen.tolist()]))
            for chosen in torch.tensor_split(order, len(self))
        ]

    def shard(self, batch: Tensor) -> Tensor:
        """Return this process's part of a global batch: every stretch of some of its stimuli."""
        _, number = torch.unique(torch.from_numpy(self.stimulus)[batch], return_inverse=True)
        return batch[number % self.world_size == self.rank]


def _stimuli(table: ChunkTable) -> tuple[Ints, Ints]:
    """Return (n,) each stretch's stimulus, and how many stretches each has: one a session at most.

    A session's k-th stretch that shows something belongs to the k-th stimulus of that content.
    """
    assert table.shown is not None
    order = np.lexsort((table.start, table.session, table.shown))
    shown, session = table.shown[order], table.session[order]
    first = (np.diff(shown, prepend=-1) != 0) | (np.diff(session, prepend=-1) != 0)
    place = np.arange(len(order))
    time = np.empty_like(place)
    time[order] = place - np.maximum.accumulate(np.where(first, place, 0))
    keys = table.shown * len(table) + time
    _, stimulus, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    return stimulus, sizes


class ContrastWeightedSampler(MixedBatchSampler):
    """Batches in which stretches of high contrast come more often at first, and all alike later.

    In the share p of ``warmup_steps`` a stretch of contrast c has the weight
    min((0.5 + 0.5 p) c, 1) ** (1 - p), which ends at 1 for every c without a jump. From there on
    each stretch comes once an epoch. No stretch comes twice in a batch.

    Args:
        table: The stretches.
        contrast: (n,) contrast of each over the median of all.
        batch_size: Most stretches a batch and process.
        seed: Any integer.
        warmup_steps: Steps until all are drawn alike.
        rank: This process, from 0.
        world_size: Processes.
    """

    def __init__(
        self,
        table: ChunkTable,
        contrast: NDArray[np.float32],
        batch_size: int,
        seed: int,
        warmup_steps: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(table, batch_size, seed, rank, world_size)
        if contrast.shape != (len(table),) or not bool(np.isfinite(contrast).all()):
            raise ConfigError(f"contrasts of shape {contrast.shape} for {len(table)} stretches")
        self.contrast, self.warmup_steps = contrast.astype(np.float64), warmup_steps

    def weights(self, step: int) -> NDArray[np.float64]:
        """Return (n,) weights of the stretches at a step of the run."""
        share = min(1.0, step / self.warmup_steps)
        floor = 1e-3  # a blank stretch is rare at first, but not impossible
        weights: NDArray[np.float64] = np.clip((0.5 + 0.5 * share) * self.contrast, floor, 1.0)
        return weights ** (1 - share)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the global batches of ``epoch``, each in order of session."""
        even = super().batches(epoch)
        first = epoch * len(self)
        return [
            batch if first + i >= self.warmup_steps else self._drawn(epoch, i, len(batch))
            for i, batch in enumerate(even)
        ]

    def _drawn(self, epoch: int, number: int, size: int) -> Tensor:
        """Draw without replacement in proportion to the weights (Efraimidis & Spirakis 2006)."""
        bits = random_bits(self.seed, epoch, len(self.table), stream=number + 1)
        uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        weights = self.weights(epoch * len(self) + number)
        first = np.argsort(np.log(uniform) / weights, kind="stable")[::-1][:size]
        return self.by_session(torch.from_numpy(first.copy()))


class ByDatasetBatchSampler(GlobalBatches):
    """Batches whose stretches are all of one session; their order is fixed by (seed, epoch).

    Args:
        table: The stretches.
        batch_size: Most stretches a batch and process.
        seed: Any integer.
        shuffle: A new random order each epoch, or the order of storage.
        rank: This process, from 0.
        world_size: Processes.
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
        super().__init__(table, batch_size, seed, rank, world_size)
        self._shuffle = shuffle
        self._members = [
            torch.from_numpy(np.flatnonzero(table.session == place))
            for place in range(table.sessions)
        ]

    @property
    def batches_of(self) -> list[int]:
        """How many batches of each session an epoch has."""
        return [-(-len(members) // self.whole) for members in self._members]

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
            pieces = -(-len(members) // self.whole)
            found += torch.tensor_split(members, pieces)  # of equal size, within one
        if not self._shuffle:
            return found
        return [found[at] for at in permutation(self.seed, epoch, len(found)).tolist()]
