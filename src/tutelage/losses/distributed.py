"""One loss over the batches of all processes, with the gradients that one process would have."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput
from tutelage.losses.positives import Pairing


class _AllGather(torch.autograd.Function):
    """Concatenation over processes; backward adds up what each one's loss asks of a slice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        return gather(x, sizes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return torch.split(gradient, ctx.sizes)[dist.get_rank()], None


def gather(x: Tensor, sizes: list[int]) -> Tensor:
    """Return the rows of all processes' ``x``, by rank, without a graph.

    Args:
        x: (n, ...), n being this process's entry of ``sizes``.
        sizes: The number of rows of each process.
    """
    padded = x.new_zeros(max(sizes), *x.shape[1:])
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def all_gather_with_gradient(x: Tensor, sizes: list[int]) -> Tensor:
    """Return the rows of all processes' ``x``, by rank, through which gradients flow back.

    The gradient of a row is the sum over processes. Where each process computes the same loss of
    all rows, and gradients of weights are then averaged over processes (as DDP does), weights get
    the gradient that one process with the whole batch would give them.
    """
    gathered: Tensor = _AllGather.apply(x, sizes)  # type: ignore[no-untyped-call]
    return gathered


class GatheredLoss(BaseContrastiveLoss):
    """A two-tower loss of the embeddings of all processes; with one process, the loss itself.

    Each process computes the whole loss: in O(chunk · N) memory, but not in less time.

    Args:
        loss: The loss; its parameters are this one's.
    """

    def __init__(self, loss: BaseContrastiveLoss) -> None:
        super().__init__()
        self.loss = loss

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
            return self.loss.compare(a, b, pairing)
        of_a, of_b = _sizes(len(a), a.device), _sizes(len(b), a.device)
        if pairing.ids_a is None or pairing.ids_b is None:
            whole = Pairing(sum(of_a), sum(of_b))
        else:
            ids = (gather(pairing.ids_a, of_a), gather(pairing.ids_b, of_b))
            whole = Pairing(sum(of_a), sum(of_b), *ids)
        gathered = (all_gather_with_gradient(a, of_a), all_gather_with_gradient(b, of_b))
        return self.loss.compare(*gathered, whole)


def _sizes(n: int, device: torch.device) -> list[int]:
    """Each process's number of rows."""
    parts = [torch.zeros(1, dtype=torch.long, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, torch.tensor([n], device=device))
    return [int(part) for part in parts]
