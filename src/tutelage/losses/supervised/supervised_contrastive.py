"""Supervised contrastive: embeddings of one class attract one another, those of others repel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.losses.base import at_least_float
from tutelage.losses.functional import mean_over, normalize, self_logsumexp, self_mean_logits
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import Temperature


@register_loss(
    "supervised_contrastive",
    formula="mean_i[lse_{k≠i}(s_ik/T) - mean_{p in P(i)} s_ip/T], P(i) the others of i's class",
    paper="https://arxiv.org/abs/2004.11362",
)
class SupervisedContrastiveLoss(nn.Module):
    """SupCon of one batch of embeddings and its classes (Khosla et al. 2020, equation 2).

    An embedding that is alone in its class is left out of the mean. Memory is O(chunk · B).

    Args:
        temperature: T at the beginning.
        learn_temperature: Whether it is trained, within 0.01 and 1.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        learn_temperature: bool = False,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(temperature, learnable=learn_temperature)
        self.chunk_size = chunk_size

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of ``embeddings`` (B, d) by ``targets`` (B,) int64 or (B, L)."""
        temperature: Tensor = self.temperature()
        with torch.autocast(embeddings.device.type, enabled=False):
            z = normalize(at_least_float(embeddings), temperature.rsqrt())
            logits, counts = self_mean_logits(z, targets)
            return mean_over(self_logsumexp(z, None, self.chunk_size) - logits, counts > 0)
