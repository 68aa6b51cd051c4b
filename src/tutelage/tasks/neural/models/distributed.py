"""What processes must agree on in a step: counts and moments, by collectives without conditions."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def share_of_mean(count: Tensor) -> Tensor:
    """Return what a sum is divided by so that the mean of processes' gradients is the whole's.

    Data-parallel training averages gradients over processes. A loss that is a sum over entries
    divided by how many there are must be divided by how many all processes have together.

    Args:
        count: Entries that count in this process, a scalar.

    Returns:
        Entries of all processes over processes, at least a tiny number, so that a step without
        any entry has a loss of 0 that is still part of the graph.
    """
    if processes() > 1:
        count = count.detach().clone()
        dist.all_reduce(count)
        count = count / processes()
    return count.clamp(min=1e-12)


class _OverProcesses(torch.autograd.Function):
    """A sum over processes, whose gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total


def pooled_moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return mean (C,), variance (C,) and count of images (n, C, H, W) over all processes.

    Null where there is one process. Gradients flow to every process's images.
    """
    if processes() == 1:
        return None
    values = images.float()
    size = values.new_tensor([values.numel() / values.shape[1]])
    sums = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), size])
    total: Tensor = _OverProcesses.apply(sums)  # type: ignore[no-untyped-call]
    count = total[-1]
    mean, square = (total[:-1] / count).chunk(2)
    return mean, (square - mean.square()).clamp(min=0), count
