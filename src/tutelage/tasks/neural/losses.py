"""Losses over valid responses alone: Poisson, and squared error for fluorescence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.tasks.neural.models.distributed import share_of_mean

TINY_RATE = 1e-8
"""Smallest predicted rate whose logarithm is taken."""


def poisson(rates: Tensor, responses: Tensor) -> Tensor:
    """Return each entry's negative log-likelihood under a Poisson law, without its constant."""
    return rates - responses * (rates + TINY_RATE).log()


def squared_error(rates: Tensor, responses: Tensor) -> Tensor:
    """Return each entry's squared error."""
    return (rates - responses).square()


LOSSES = {"poisson": poisson, "mse": squared_error}


def masked_sum(name: str, rates: Tensor, responses: Tensor, valid: Tensor) -> Tensor:
    """Return the sum of a loss over valid entries, a scalar that is always part of the graph.

    What stands where an entry is not valid, be it not-a-number, touches neither value nor gradient.

    Args:
        name: *poisson* or *mse*.
        rates: (..., N) predictions.
        responses: (..., N) what was recorded.
        valid: (..., N) bool.
    """
    known = torch.where(valid, responses, torch.ones_like(responses))
    predicted = torch.where(valid, rates, torch.ones_like(rates))
    loss = LOSSES[name](predicted, known.to(rates.dtype))
    return torch.where(valid, loss, torch.zeros_like(loss)).sum()


def poisson_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return each entry's KL divergence of two Poisson laws: t log(t / s) - t + s."""
    ratio = (teacher + TINY_RATE).log() - (student + TINY_RATE).log()
    return teacher * ratio - teacher + student


class RateMatching(nn.Module):
    """Mean divergence of a student's rates from its teacher's, over the entries of all processes.

    A process without any entry adds 0.

    Args:
        name: Loss that the student is trained by, *poisson* or *mse*.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.divergence = poisson_divergence if name == "poisson" else squared_error

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return a scalar of rates (M,) and (M,), all above 0; 0 only where both agree."""
        entries = self.divergence(student, teacher)
        return entries.sum() / share_of_mean(entries.new_tensor(entries.numel()))
