"""Platt scaling of margins, and the best threshold on scores of samples not trained on."""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 50
_RIDGE = 1e-6


def platt(margin: Tensor, label: Tensor) -> tuple[float, float]:
    """Return slope and intercept of the logistic curve through margins (n,) and labels (n,).

    Newton's method on smoothed targets, so that classes that lie apart give a finite slope (Platt
    1999, https://www.cs.colorado.edu/~mozer/Teaching/syllabi/6622/papers/Platt1999.pdf; Lin et al.
    2007). The margins are scaled first, for the same steps whatever their unit.
    """
    x = margin.double()
    centre, scale = x.mean(), x.std().clamp(min=1e-9)
    x = (x - centre) / scale
    positive = label == 1
    high = (positive.sum() + 1.0) / (positive.sum() + 2.0)
    low = 1.0 / ((~positive).sum() + 2.0)
    target = torch.where(positive, high, low).double()
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    ridge = _RIDGE * len(x) * torch.eye(2, dtype=torch.float64)
    theta = torch.zeros(2, dtype=torch.float64)
    best = _log_loss(design @ theta, target)
    for _ in range(_STEPS):
        p = torch.sigmoid(design @ theta)
        gradient = design.T @ (p - target) + ridge @ theta
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + ridge
        step = torch.linalg.solve(curvature, gradient)
        while (loss := _log_loss(design @ (theta - step), target)) > best + 1e-12:
            step = step / 2
            if float(step.abs().max()) < 1e-12:
                break
        theta, gained = theta - step, best - loss
        best = loss
        if gained < 1e-12:
            break
    slope = float(theta[0] / scale)
    return slope, float(theta[1] - theta[0] * centre / scale)


def _log_loss(logit: Tensor, target: Tensor) -> float:
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logit, target))


def best_threshold(score: Tensor, label: Tensor) -> float:
    """Return the threshold of greatest F1 for scores (n,) above it; of equals the lowest.

    Where the classes lie apart that is the highest normal score: normal samples to come are like
    those held out, while attacks of another kind may score lower than the ones seen here.
    """
    order = score.argsort(descending=True, stable=True)
    ranked, truth = score[order].double(), label[order].double()
    hits = truth.cumsum(0)
    count = torch.arange(1, len(ranked) + 1, dtype=torch.float64)
    f1 = 2 * hits / (count + truth.sum())
    below = torch.cat([ranked[1:], ranked[-1:] - 1e-6])
    f1 = torch.where(ranked > below, f1, -1.0)  # no threshold lies between equal scores
    at = int((f1 == f1.max()).nonzero()[-1])
    return float(below[at])
