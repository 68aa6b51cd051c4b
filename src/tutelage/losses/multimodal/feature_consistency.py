"""Feature consistency: the two embeddings of a pair point the same way."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.functional import mean_over, normalize, positive_logits
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss


@register_loss(
    "feature_consistency",
    formula="mean |a_i/|a_i| - b_i/|b_i||² = mean 2 - 2 cos(a_i, b_i)",
    paper="https://arxiv.org/abs/2006.07733",
)
class FeatureConsistencyLoss(BaseContrastiveLoss):
    """Squared distance of paired unit vectors (Grill et al. 2020, equation 2).

    It has no negatives: alone it lets embeddings collapse to one point; combine it with a loss
    that does not, or let one side be a target. Of several positives the mean counts.

    Args:
        detach_targets: Whether ``b`` is a target, without gradient, as in BYOL.
    """

    def __init__(self, detach_targets: bool = False) -> None:
        super().__init__()
        self.detach_targets = detach_targets

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        a, b = normalize(a), normalize(b.detach() if self.detach_targets else b)
        similarities, counts = positive_logits(a, b, pairing)
        similarity = mean_over(similarities, counts > 0)
        return LossOutput(
            mean_over(2 - 2 * similarities, counts > 0), detached(positive_similarity=similarity)
        )
