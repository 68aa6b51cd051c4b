"""Fusion: a small network sees both embeddings of a pair at once and says whether they match."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.core.errors import DataError
from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.functional import normalize
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.statistics import check_pairs


@register_loss(
    "fusion",
    formula="½ [mean bce(f(a_i, b_i), 1) + ½ mean bce(f(a_i, b_h), 0) + ½ mean bce(f(a_h, b_i), 0)]"
    ", h the most similar negative",
    paper="https://arxiv.org/abs/2107.07651",
)
class FusionLoss(BaseContrastiveLoss):
    """Matching of fused pairs against the batch's hardest negatives (Li et al. 2021, ALBEF, 3.2).

    The paper draws its negatives by similarity; here the most similar one is taken, so that a
    step is the same whenever it is repeated. f sees a, b, a ∘ b and |a - b| of unit vectors.

    Args:
        embedding_dim: d, the embeddings' width.
        hidden_dim: Width of f's hidden layer.
    """

    def __init__(self, embedding_dim: int, hidden_dim: int = 128) -> None:
        super().__init__()
        self.matches: nn.Sequential = nn.Sequential(
            nn.Linear(4 * embedding_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, 1)
        )

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`.

        Raises:
            DataError: There are not as many items on either side, fewer than two, or a batch
                without negatives.
        """
        check_pairs(a, b)
        a, b = normalize(a), normalize(b)
        positives = pairing.mask(a.device) | torch.eye(len(a), dtype=torch.bool, device=a.device)
        with torch.no_grad():
            similarities = (a @ b.T).masked_fill(positives, -torch.inf)
            for_a = ~positives.all(1)
            for_b = ~positives.all(0)
            if not bool(for_a.any()):
                raise DataError("all ids of a batch are equal", hint="Mix ids within a batch.")
            of_a, of_b = similarities.argmax(1), similarities.argmax(0)
        matched = self._logits(a, b)
        mismatched = torch.cat([self._logits(a, b[of_a])[for_a], self._logits(a[of_b], b)[for_b]])
        yes = F.softplus(-matched).mean()
        no = F.softplus(mismatched).mean()
        right = ((matched > 0).sum() + (mismatched <= 0).sum()).to(a.dtype)
        accuracy = right / (len(matched) + len(mismatched))
        return LossOutput((yes + no) / 2, detached(matching_accuracy=accuracy))

    def _logits(self, a: Tensor, b: Tensor) -> Tensor:
        fused: Tensor = self.matches(torch.cat([a, b, a * b, (a - b).abs()], dim=1))
        return fused.squeeze(1)
