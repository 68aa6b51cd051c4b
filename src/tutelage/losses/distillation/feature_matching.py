"""Feature matching: the student's hidden features against the teacher's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses.registry import register_loss


@register_loss(
    "feature_matching",
    formula="mean (W student - teacher)²",
    paper="https://arxiv.org/abs/1412.6550",
)
class FeatureMatchingLoss(nn.Module):
    """Mean squared difference of features; where widths differ, the student's are projected.

    Paper: Romero et al. 2015, https://arxiv.org/abs/1412.6550, equation 3, as a mean over the
    features, so that its weight means the same for every width.

    Args:
        student_width: S, the number of the student's features.
        teacher_width: W, the number of the teacher's.

    ``projection`` is learned with the student; it is linear, or nothing where S = W.
    """

    def __init__(self, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.projection: nn.Module = (
            nn.Identity()
            if student_width == teacher_width
            else nn.Linear(student_width, teacher_width)
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean loss of ``student`` (B, S) against ``teacher`` (B, W); 0 without rows."""
        total = F.mse_loss(self.projection(student), teacher, reduction="sum")
        return total / max(1, teacher.numel())
