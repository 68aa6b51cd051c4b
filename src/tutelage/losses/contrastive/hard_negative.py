"""Hard negatives, weighted: the more alike a negative is, the more it counts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.functional import cross_logsumexp, mean_over, normalize, positive_logits
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import Temperature
from tutelage.losses.tiles import Exclusion


@register_loss(
    "hard_negative",
    formula="mean of ln(1 + G/e^{s_ii/T}), G = K sum_k e^{(1+β)s_ik/T} / sum_k e^{β s_ik/T} over "
    "K negatives, both directions",
    paper="https://arxiv.org/abs/2010.04592",
)
class HardNegativeLoss(BaseContrastiveLoss):
    """CLIP whose negatives are weighted by e^{β s/T} (Robinson et al. 2021, equation 4, τ⁺ = 0).

    With β = 0 it is `clip`. Of several positives the mean logit counts; an item without a
    positive or without a negative is left out. Memory is O(chunk · N) where a batch is large.

    Args:
        beta: β, how much hard negatives count more.
        temperature: T at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
        beta: float = 0.5,
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = True,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.beta: float = beta
        self.chunk_size: int | None = chunk_size

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature = self.temperature()
        a, b = normalize(a, 1 / temperature), normalize(b)
        ids_a, ids_b = pairing.ids_by_tower(a.device)
        exclusion = Exclusion(ids_a, ids_b)
        sharp = cross_logsumexp(a * (1 + self.beta), b, exclusion, self.chunk_size)
        soft = cross_logsumexp(a * self.beta, b, exclusion, self.chunk_size)
        towers = zip(
            sharp, soft, ((a, b, pairing), (b, a, pairing.swapped())), (len(b), len(a)), strict=True
        )
        total = a.new_zeros(())
        for hard, weight, (x, y, pairs), others in towers:
            logits, counts = positive_logits(x, y, pairs)
            negatives = others - counts
            counted = (counts > 0) & (negatives > 0)
            safe = torch.where(counted, hard - weight, 0.0)
            mass = safe + negatives.clamp(min=1).to(a.dtype).log()
            total = total + mean_over(F.softplus(mass - logits, threshold=50), counted) / 2
        return LossOutput(total, detached(temperature=temperature))
