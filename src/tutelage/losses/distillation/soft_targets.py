"""Soft targets: the student's softened classes against the teacher's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses.registry import register_loss


@register_loss(
    "soft_targets",
    formula="T² KL(softmax(teacher/T) | softmax(student/T))",
    paper="https://arxiv.org/abs/1503.02531",
)
class SoftTargetLoss(nn.Module):
    """T² KL(softmax(teacher / T) ‖ softmax(student / T)), the mean over samples.

    Paper: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 2: T² keeps the gradient's
    size as T changes.

    Args:
        temperature: T; the higher, the more the classes count that the teacher holds unlikely.
    """

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean loss, a scalar, of logits ``student`` and ``teacher``, both (B, C)."""
        ours, theirs = (F.log_softmax(z / self.temperature, dim=-1) for z in (student, teacher))
        divergence = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        return self.temperature**2 * divergence
