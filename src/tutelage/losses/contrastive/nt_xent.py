"""NT-Xent, the loss of SimCLR: each of 2N views finds its partner among all the others."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, SameId, detached
from tutelage.losses.functional import mean_over, normalize, self_logsumexp, view_logits
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import Temperature
from tutelage.losses.tiles import Exclusion


@register_loss(
    "nt_xent",
    formula="mean over 2N views of lse_{k≠i}(s_ik/T) - s_ip/T, p the view's partner, s = cosine",
    paper="https://arxiv.org/abs/2002.05709",
    aliases=("simclr",),
)
class SimCLRLoss(BaseContrastiveLoss):
    """Softmax over the 2N views of a batch, both towers' together (Chen et al. 2020).

    It equals lightly's and pytorch-metric-learning's. Of several positives each weighs the same;
    then it is SupCon over all views. Memory is O(chunk · N) where a batch is large.

    Args:
        temperature: T at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        same_id: What items of one id are that are no pair.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = False,
        same_id: SameId = "positive",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.same_id = same_id
        self.chunk_size: int | None = chunk_size

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature = self.temperature()
        z = normalize(torch.cat([a, b]), temperature.rsqrt())
        exclusion: Exclusion | None = None
        if self.same_id == "ignored" and not pairing.aligned:
            ids, own = pairing.view_ids(), pairing.own_pairs().repeat(2)
            exclusion, pairing = Exclusion(ids, ids, own, own), Pairing(pairing.n, pairing.m)
        normalizers = self_logsumexp(z, exclusion, self.chunk_size)
        logits, counts = view_logits(z, pairing)
        loss = mean_over(normalizers - logits, counts > 0)
        similarity = mean_over(logits, counts > 0) * temperature
        metrics = detached(temperature=temperature, positive_similarity=similarity)
        return LossOutput(loss, metrics)
