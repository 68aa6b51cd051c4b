"""What two-tower models teach each other: which pictures and captions of a batch are alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses import SoftTargetLoss

SIMILARITY_TEMPERATURE = 0.07
"""What both models' cosines are divided by before `mode.temperature` softens them."""


class SimilarityTargets(nn.Module):
    """The student's distribution over a batch's candidates against the teacher's, both directions.

    Embeddings may be of different widths: they meet as N x N similarities (TinyCLIP, Wu et al.
    2023, https://arxiv.org/abs/2309.12314, section 3.1).

    Args:
        temperature: Softens both distributions.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.soft_targets = SoftTargetLoss(temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean loss of embeddings (2N, D) and (2N, D'): images, then texts."""
        ours, theirs = both_ways(student), both_ways(teacher)
        loss: Tensor = self.soft_targets(ours, theirs)
        return loss


def both_ways(embeddings: Tensor) -> Tensor:
    """Return (2N, N) logits of texts for each image and of images for each text."""
    images, texts = F.normalize(embeddings, dim=1).chunk(2)
    logits = images @ texts.T / SIMILARITY_TEMPERATURE
    return torch.cat([logits, logits.T])
