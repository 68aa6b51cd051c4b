"""What a blend is judged by: minus the log-likelihood of what was true, a value for each row."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Likelihood = Callable[[Tensor, Tensor], Tensor]
"""Of blended outputs (B, C) and targets (B, ...), returns (B,), smaller is better."""
_SMALLEST = 1e-8


def of_classes(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return −log p of the true class: of probabilities (B, C) and classes (B,) int64."""
    chosen = probabilities.gather(1, target[:, None]).squeeze(1)
    return -chosen.clamp(min=_SMALLEST).log()


def of_counts(rates: Tensor, target: Tensor) -> Tensor:
    """Return the Poisson loss r − y log r, without its constant: of rates (B, 1), counts (B,)."""
    rate = rates.squeeze(1).clamp(min=_SMALLEST)
    return rate - target * rate.log()


def of_candidates(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of logits (B, C) with what share each candidate has, (B, C)."""
    return F.cross_entropy(logits, target, reduction="none")
