"""VICReg: views agree, no feature goes quiet, and no two say the same."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.statistics import check_pairs, covariance, off_diagonal


@register_loss(
    "vicreg",
    formula="λ mse(a, b) + μ ½[v(a) + v(b)] + ν [c(a) + c(b)], v = mean relu(1 - sqrt(var + ε)), "
    "c = sum of squared covariances off the diagonal / d",
    paper="https://arxiv.org/abs/2105.04906",
)
class VICRegLoss(BaseContrastiveLoss):
    """Variance, invariance and covariance of two views (Bardes et al. 2022).

    It equals lightly's and pytorch-metric-learning's; solo-learn sums the variance terms without
    the half. It compares embeddings as they are, and reads no ids: it has no negatives.

    Args:
        invariance: λ.
        variance: μ.
        covariance: ν.
        epsilon: What is added to a variance before its root.
    """

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        epsilon: float = 1e-4,
    ) -> None:
        super().__init__()
        self.invariance: float = invariance
        self.variance: float = variance
        self.covariance: float = covariance
        self.epsilon = epsilon

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`.

        Raises:
            DataError: There are not as many items on either side, or fewer than two.
        """
        check_pairs(a, b)
        invariance = F.mse_loss(a, b)
        spreads = (covariance(a), covariance(b))
        variance = sum((self._quiet(c.diagonal()) for c in spreads), a.new_zeros(())) / 2
        redundancy = torch.stack([off_diagonal(c).square().sum() for c in spreads]).sum()
        redundancy = redundancy / a.shape[1]
        loss = (
            self.invariance * invariance + self.variance * variance + self.covariance * redundancy
        )
        metrics = detached(invariance=invariance, variance=variance, covariance=redundancy)
        return LossOutput(loss, metrics)

    def _quiet(self, variances: Tensor) -> Tensor:
        return F.relu(1 - (variances + self.epsilon).sqrt()).mean()
