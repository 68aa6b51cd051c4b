"""Focal loss: cross-entropy that counts samples less the better they are classified."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.base import BaseSupervisedLoss
from tutelage.losses.registry import register_loss


@register_loss(
    "focal",
    formula="-sum w_t (1 - p_t)^γ ln p_t / sum w_t",
    paper="https://arxiv.org/abs/1708.02002",
)
class FocalLoss(BaseSupervisedLoss):
    """-w_t (1 - p_t)^gamma ln p_t, divided by the sum of the weights w_t (Lin et al. 2017).

    Paper: https://arxiv.org/abs/1708.02002, equation 5. With ``gamma`` 0 it is cross-entropy.

    Args:
        num_classes: C, the number of classes.
        gamma: How fast a well-classified sample loses its weight.
    """

    def __init__(self, num_classes: int = 2, gamma: float = 2.0) -> None:
        super().__init__(num_classes)
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of ``logits`` (B, C) against ``targets`` (B,) int64."""
        log_p = F.log_softmax(logits, dim=-1).gather(1, targets[:, None]).squeeze(1)
        weights = self.class_weights[targets]
        return -(weights * (1 - log_p.exp()) ** self.gamma * log_p).sum() / weights.sum()
