"""Semi-hard negatives: a margin to the nearest negative that is further away than the positive."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.functional import mean_over, normalize
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss


@register_loss(
    "semi_hard",
    formula="mean relu(margin + d_ip - d_in), d = |a - b|² of unit vectors, n the nearest negative "
    "with d_in > d_ip (else the furthest), both directions",
    paper="https://arxiv.org/abs/1503.03832",
)
class SemiHardLoss(BaseContrastiveLoss):
    """Triplets of an anchor, its furthest positive and a semi-hard negative (Schroff et al. 2015).

    Where no negative is further away than the positive, the furthest negative is taken: the
    nearest ones would let the embeddings collapse early. An anchor without a positive or without a
    negative is left out. Memory is O(N · M).

    Args:
        margin: By how much a negative shall be further away, in squared distance.
    """

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        distances = 2 - 2 * normalize(a) @ normalize(b).T
        positives = pairing.mask(a.device)
        forth, active = self._triplets(distances, positives)
        back, active_back = self._triplets(distances.T, positives.T)
        metrics = detached(active_triplets=(active + active_back) / 2)
        return LossOutput((forth + back) / 2, metrics)

    def _triplets(self, distances: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of the rows as anchors, and the share of them that have one."""
        far = distances.masked_fill(~positives, -torch.inf).amax(1)
        negatives = distances.masked_fill(positives, torch.inf)
        nearest = negatives.masked_fill(distances <= far[:, None], torch.inf).amin(1)
        furthest = distances.masked_fill(positives, -torch.inf).amax(1)
        chosen = torch.where(nearest.isinf(), furthest, nearest)
        counted = positives.any(1) & ~positives.all(1)
        far, chosen = (torch.where(counted, x, 0.0) for x in (far, chosen))
        losses = F.relu(self.margin + far - chosen)
        return mean_over(losses, counted), mean_over((losses > 0).to(losses.dtype), counted)
