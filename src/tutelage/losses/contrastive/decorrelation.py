"""Decorrelation: standardised views agree, and each view's features are uncorrelated."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.statistics import check_pairs, off_diagonal, standardize


@register_loss(
    "decorrelation",
    formula="1/N sum |z_a - z_b|² + λ [|C_a - I|² + |C_b - I|²], z standardised, C = zᵀz/N",
    paper="https://arxiv.org/abs/2106.12484",
)
class DecorrelationLoss(BaseContrastiveLoss):
    """Soft canonical correlation analysis of two views (Zhang et al. 2021, equation 2).

    Of C - I only what is off the diagonal counts: standardising leaves ones on it. It reads no
    ids: it has no negatives.

    Args:
        redundancy: λ.
    """

    def __init__(self, redundancy: float = 1e-3) -> None:
        super().__init__()
        self.redundancy = redundancy

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`.

        Raises:
            DataError: There are not as many items on either side, or fewer than two.
        """
        check_pairs(a, b)
        n = len(a)
        a, b = standardize(a), standardize(b)
        invariance = (a - b).square().sum() / n
        redundancy = sum(
            (off_diagonal(z.T @ z / n).square().sum() for z in (a, b)), a.new_zeros(())
        )
        metrics = detached(invariance=invariance, redundancy=redundancy)
        return LossOutput(invariance + self.redundancy * redundancy, metrics)
