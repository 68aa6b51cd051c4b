"""SupCon on two towers: items of one id attract one another, across towers or within them."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from tutelage.core.errors import DataError
from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.functional import (
    cross_logsumexp,
    mean_over,
    normalize,
    positive_logits,
    self_logsumexp,
    self_mean_logits,
    view_logits,
)
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import Temperature

Contrast = Literal["all", "cross", "intra"]


@register_loss(
    "supcon",
    formula="mean_i[lse_{k≠i}(s_ik/T) - mean_{p in P(i)} s_ip/T], P(i) the others of i's id",
    paper="https://arxiv.org/abs/2004.11362",
)
class SupConLoss(BaseContrastiveLoss):
    """Softmax with all items of one id as positives (Khosla et al. 2020, equation 2).

    An anchor without a positive is left out of the mean; pytorch-metric-learning leaves out those
    whose loss is zero, which for anchors with negatives is the same. Ids with several labels an
    item make positives of whatever shares one. Memory is O(chunk · N) where a batch is large.

    Args:
        contrast: ``all``: each of the N + M embeddings against all the others; ``cross``: each
            against those of the other tower; ``intra``: against the others of its own tower.
        temperature: T at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    needs_shared_ids: ClassVar[bool] = True

    def __init__(
        self,
        contrast: Contrast = "all",
        temperature: float = 0.1,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = False,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.contrast = contrast
        self.chunk_size: int | None = chunk_size

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`.

        Raises:
            DataError: ``intra`` is asked for without ids: nothing would be a positive.
        """
        temperature = self.temperature()
        root = temperature.rsqrt()
        a, b = normalize(a, root), normalize(b, root)
        if self.contrast == "cross":
            loss = self._across(a, b, pairing)
        elif self.contrast == "all":
            z = torch.cat([a, b])
            logits, counts = view_logits(z, pairing)
            loss = mean_over(self_logsumexp(z, None, self.chunk_size) - logits, counts > 0)
        elif pairing.ids_a is None or pairing.ids_b is None:
            raise DataError("supcon within towers has no positives", hint="Give ids.")
        else:
            loss = (self._within(a, pairing.ids_a) + self._within(b, pairing.ids_b)) / 2
        return LossOutput(loss, detached(temperature=temperature))

    def _within(self, z: Tensor, ids: Tensor) -> Tensor:
        logits, counts = self_mean_logits(z, ids)
        return mean_over(self_logsumexp(z, None, self.chunk_size) - logits, counts > 0)

    def _across(self, a: Tensor, b: Tensor, pairing: Pairing) -> Tensor:
        rows, columns = cross_logsumexp(a, b, None, self.chunk_size)
        forth, counts = positive_logits(a, b, pairing)
        back, back_counts = positive_logits(b, a, pairing.swapped())
        return (
            mean_over(rows - forth, counts > 0) + mean_over(columns - back, back_counts > 0)
        ) / 2
