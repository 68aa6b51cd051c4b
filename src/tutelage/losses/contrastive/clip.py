"""CLIP: cross-entropy over all pairs of a batch, in both directions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, SameId, detached
from tutelage.losses.functional import cross_logsumexp, mean_over, normalize, positive_logits
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import Temperature
from tutelage.losses.tiles import Exclusion, own_pairs_only


@register_loss(
    "clip",
    formula="½ mean_i[lse_j(s_ij/T) - s_ii/T] + ½ mean_j[lse_i(s_ij/T) - s_jj/T], s = cosine",
    paper="https://arxiv.org/abs/2103.00020",
    aliases=("info_nce",),
)
class CLIPLoss(BaseContrastiveLoss):
    """Softmax over a batch's pairs, from a to b and from b to a (Radford et al. 2021).

    Of several positives, each weighs the same: the mean of their logits stands in place of the
    one (Khosla et al. 2020, equation 2; Yang et al. 2022, https://arxiv.org/abs/2204.03610). An
    item without any is left out of the mean. Memory is O(chunk · N) where a batch is large.

    Args:
        temperature: T at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        same_id: What items of one id are that are no pair; ``ignored`` needs as many b as a.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    takes_targets: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = True,
        same_id: SameId = "positive",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: nn.Module = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.same_id = same_id
        self.chunk_size: int | None = chunk_size

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature = self.temperature()
        a, b = normalize(a, 1 / temperature), normalize(b)
        if pairing.targets is not None:
            loss = soft_cross_entropy(a @ b.T, pairing.targets)
            return LossOutput(loss, detached(temperature=temperature))
        exclusion: Exclusion | None = None
        if self.same_id == "ignored":
            pairing, exclusion = own_pairs_only(pairing)
        rows, columns = cross_logsumexp(a, b, exclusion, self.chunk_size)
        logits, counts = positive_logits(a, b, pairing)
        if pairing.aligned:
            loss = ((rows - logits).mean() + (columns - logits).mean()) / 2
        else:
            back, back_counts = positive_logits(b, a, pairing.swapped())
            forth = mean_over(rows - logits, counts > 0)
            loss = (forth + mean_over(columns - back, back_counts > 0)) / 2
        similarity = mean_over(logits, counts > 0) * temperature
        metrics = detached(temperature=temperature, positive_similarity=similarity)
        return LossOutput(loss, metrics)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of (N, M) logits along rows and columns with soft targets.

    Rows and columns of ``targets`` (N, M) are scaled to sum to one; those of zeros are left out.
    """
    total = logits.new_zeros(())
    for scores, wanted in ((logits, targets), (logits.T, targets.T)):
        weight = wanted.sum(1, keepdim=True)
        shares = wanted / torch.where(weight > 0, weight, 1.0)
        losses = -(shares * F.log_softmax(scores, dim=1)).sum(1)
        total = total + mean_over(losses, weight[:, 0] > 0) / 2
    return total
