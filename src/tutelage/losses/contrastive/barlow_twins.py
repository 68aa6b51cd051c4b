"""Barlow Twins: the cross-correlation of two views' features becomes the identity."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.statistics import check_pairs, correlation, off_diagonal


@register_loss(
    "barlow_twins",
    formula="sum_i (1 - C_ii)² + λ sum_{i≠j} C_ij², C the correlation of a's and b's features",
    paper="https://arxiv.org/abs/2103.03230",
)
class BarlowTwinsLoss(BaseContrastiveLoss):
    """Redundancy reduction between two views (Zbontar et al. 2021, equation 1).

    It equals lightly's; solo-learn scales the whole by 0.025. Features are standardised over the
    batch, by column. It reads no ids: it has no negatives.

    Args:
        redundancy: λ.
    """

    def __init__(self, redundancy: float = 5e-3) -> None:
        super().__init__()
        self.redundancy = redundancy

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`.

        Raises:
            DataError: There are not as many items on either side, or fewer than two.
        """
        check_pairs(a, b)
        found = correlation(a, b)
        invariance = (found.diagonal() - 1).square().sum()
        redundancy = off_diagonal(found).square().sum()
        metrics = detached(invariance=invariance, redundancy=redundancy)
        return LossOutput(invariance + self.redundancy * redundancy, metrics)
