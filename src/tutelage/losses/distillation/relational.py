"""Relational distillation: the student's distances and angles are to be the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.core.errors import DataError
from tutelage.losses.functional import normalize
from tutelage.losses.registry import register_loss


@register_loss(
    "relational",
    formula="λ_d mean huber(d_ij/mean d - t_ij/mean t) + λ_a mean huber(cos∠ijk - cos∠'ijk)",
    paper="https://arxiv.org/abs/1904.05068",
)
class RelationalDistillationLoss(nn.Module):
    """Distances of pairs and angles of triplets (Park et al. 2019, equations 5 to 8).

    The widths of student and teacher may differ. Distances are relative to their mean over pairs
    of different items. Angles take O(B² (B + d)) memory; with ``angle`` 0 none is computed.

    Args:
        distance: λ_d.
        angle: λ_a.
    """

    def __init__(self, distance: float = 1.0, angle: float = 2.0) -> None:
        super().__init__()
        self.distance: float = distance
        self.angle: float = angle

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean loss, a scalar, of ``student`` (B, S) against ``teacher`` (B, W).

        Raises:
            DataError: There are not as many of one as of the other, or fewer than two.
        """
        if len(student) != len(teacher) or len(student) < 2:
            problem = f"{len(student)} and {len(teacher)} embeddings have no relations to compare"
            raise DataError(problem, hint="Give as many of both, at least two.")
        teacher = teacher.detach()
        loss = student.new_zeros(())
        if self.distance:
            found, wanted = _relative_distances(student), _relative_distances(teacher)
            loss = loss + self.distance * F.smooth_l1_loss(found, wanted)
        if self.angle:
            found, wanted = _angles(student), _angles(teacher)
            loss = loss + self.angle * F.smooth_l1_loss(found, wanted)
        return loss


def _relative_distances(x: Tensor) -> Tensor:
    """Distances of the items (B, d), relative to their mean over pairs of different ones."""
    different = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    squares = (x[:, None] - x).square().sum(-1)
    distances = torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)
    return distances / distances[different].mean().clamp(min=1e-12)


def _angles(x: Tensor) -> Tensor:
    """Cosines (B, B, B): entry (j, i, k) is that of the angle at item j between i and k."""
    directions = normalize(x - x[:, None])
    return directions @ directions.transpose(1, 2)
