"""`Ranks`: the processes that train one model together, as each of them sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together.

    Args:
        rank: Its number, from 0.
        size: How many they are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """Return this process's place, as `torchrun` and our own starter tell it."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def first(self) -> bool:
        """Whether it is the process that measures, writes and evaluates for all."""
        return self.rank == 0

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the first process do what follows, then the others, which find it done."""
        if not self.first:
            self._wait()
        yield
        if self.first:
            self._wait()

    def part(self) -> None:
        """Let the processes go their own ways: from here on none waits for another."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()

    def _wait(self) -> None:
        if self.size > 1:
            dist.barrier()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return ``values`` summed over the processes, the same on each; unchanged in a single one."""
    if not _together():
        return values
    moved = values.to(_meeting_place(), copy=True)
    dist.all_reduce(moved)
    return moved.to(values.device)


def gather_ranks(values: Tensor) -> Tensor:
    """Return (processes, ...), the ``values`` of each process in order of rank."""
    if not _together():
        return values[None]
    moved = values.to(_meeting_place()).contiguous()
    parts = [torch.empty_like(moved) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, moved)
    return torch.stack(parts).to(values.device)


def concatenate_ranks(rows: Tensor) -> Tensor:
    """Return the rows (n, ...) of each process in order of rank; each may have another n."""
    counts = gather_ranks(torch.tensor(len(rows), device=rows.device)).tolist()
    missing = max(counts) - len(rows)
    parts = gather_ranks(torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def _meeting_place() -> torch.device:
    """Where the back end takes its tensors from."""
    on_gpu = dist.get_backend() == dist.Backend.NCCL
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
