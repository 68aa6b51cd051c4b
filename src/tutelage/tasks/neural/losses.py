"""Losses over valid responses alone: Poisson, and squared error for fluorescence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


class PoissonDivergence(nn.Module):
    """Mean KL divergence of a student's Poisson law from its teacher's: t log(t / s) - t + s.

    Args of `forward`: rates of student and teacher, both (M,), above 0.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean, a scalar; 0 only where both agree."""
        ratio = (teacher + TINY_RATE).log() - (student + TINY_RATE).log()
        return (teacher * ratio - teacher + student).mean()
