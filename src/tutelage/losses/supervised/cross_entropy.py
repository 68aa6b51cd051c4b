"""Class-weighted cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.base import BaseSupervisedLoss
from tutelage.losses.registry import register_loss


@register_loss(
    "cross_entropy",
    formula="-sum_c y_c w_c ln p_c / sum w, y = (1 - ε) onehot + ε/C",
    paper="https://arxiv.org/abs/1512.00567",
)
class CrossEntropyLoss(BaseSupervisedLoss):
    """Cross-entropy, weighted by class and divided by the sum of the weights, as PyTorch does.

    Args:
        num_classes: C, the number of classes.
        label_smoothing: Share of each target spread over all classes (Szegedy et al. 2016,
            https://arxiv.org/abs/1512.00567).
    """

    def __init__(self, num_classes: int = 2, label_smoothing: float = 0.0) -> None:
        super().__init__(num_classes)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of ``logits`` (B, C) against ``targets`` (B,) int64."""
        return F.cross_entropy(
            logits, targets, self.class_weights, label_smoothing=self.label_smoothing
        )
