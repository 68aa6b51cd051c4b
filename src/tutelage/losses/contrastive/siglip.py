"""SigLIP: each pair of a batch is one binary question."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, SameId, detached
from tutelage.losses.functional import mean_over, normalize, positive_logits, softplus_sum
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import BoundedScalar, Temperature
from tutelage.losses.tiles import own_pairs_only


@register_loss(
    "siglip",
    formula="-1/N sum_ij log sigmoid(y_ij (s_ij/T + bias)), y = 1 for positives, else -1",
    paper="https://arxiv.org/abs/2303.15343",
)
class SigLIPLoss(BaseContrastiveLoss):
    """A sigmoid for each pair, matched or not, summed and divided by N (Zhai et al. 2023).

    It has no normaliser over the batch. All pairs of one id are matched. Memory is O(chunk · N)
    where a batch is large.

    Args:
        temperature: T at the beginning: 1 / T is 10 in the paper.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        bias: The bias at the beginning; it is trained, within ±100.
        same_id: What items of one id are that are no pair; ``ignored`` needs as many b as a.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    takes_targets: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 0.1,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = True,
        bias: float = -10.0,
        same_id: SameId = "positive",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.bias: BoundedScalar = BoundedScalar(bias, -100.0, 100.0)
        self.same_id = same_id
        self.chunk_size: int | None = chunk_size

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature, bias = self.temperature(), self.bias()
        a, b = normalize(a, 1 / temperature), normalize(b)
        metrics = detached(temperature=temperature, bias=bias)
        exclusion = None
        if self.same_id == "ignored" and pairing.targets is None:
            pairing, exclusion = own_pairs_only(pairing)
        unmatched = softplus_sum(a, b, bias, exclusion, self.chunk_size)
        if pairing.targets is not None:
            matched = (pairing.targets * (a @ b.T + bias)).sum()
            return LossOutput((unmatched - matched) / len(a), metrics)
        means, counts = positive_logits(a, b, pairing)
        matched = ((means + bias) * counts).sum()
        similarity = mean_over(means, counts > 0) * temperature
        metrics |= detached(positive_similarity=similarity)
        return LossOutput((unmatched - matched) / len(a), metrics)
