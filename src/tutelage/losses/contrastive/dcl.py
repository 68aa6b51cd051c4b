"""DCL and DCLW: NT-Xent whose denominator leaves the positives out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.functional import mean_over, normalize, self_logsumexp, view_logits
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import Temperature
from tutelage.losses.tiles import Exclusion

_PAPER = "https://arxiv.org/abs/2110.06848"


@register_loss(
    "dcl",
    formula="mean over 2N views of lse_{k not of i's id}(s_ik/T) - s_ip/T, s = cosine",
    paper=_PAPER,
)
class DCLLoss(BaseContrastiveLoss):
    """Decoupled contrastive learning: positives only attract (Yeh et al. 2021, equation 6).

    It equals lightly's. A view that has no positive or no negative is left out of the mean.
    Memory is O(chunk · N) where a batch is large.

    Args:
        temperature: T at the beginning.
        min_temperature: Its least value.
        max_temperature: Its greatest.
        learn_temperature: Whether it is trained.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
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
        self.chunk_size = chunk_size

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature: Tensor = self.temperature()
        return _decoupled(a, b, pairing, temperature, torch.ones_like, self.chunk_size)


@register_loss(
    "dclw",
    formula="as dcl, s_ip weighted by 2 - N softmax_i(s_ip/sigma), without gradient",
    paper=_PAPER,
)
class DCLWLoss(BaseContrastiveLoss):
    """DCL that pulls distant positives harder: negative von Mises-Fisher weights (section 4).

    It equals lightly's, where each tower's weights are normalised by themselves.

    Args:
        temperature: T at the beginning.
        sigma: The weights' temperature.
        min_temperature: T's least value.
        max_temperature: T's greatest.
        learn_temperature: Whether T is trained.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sigma: float = 0.5,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        learn_temperature: bool = False,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature: Temperature = Temperature(
            temperature, min_temperature, max_temperature, learnable=learn_temperature
        )
        self.sigma: float = sigma
        self.chunk_size: int | None = chunk_size

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        temperature: Tensor = self.temperature()

        def weights(similarities: Tensor) -> Tensor:
            towers = similarities.detach() / self.sigma
            by_tower = (towers[: pairing.n], towers[pairing.n :])
            return torch.cat([2 - len(one) * one.softmax(0) for one in by_tower])

        return _decoupled(a, b, pairing, temperature, weights, self.chunk_size)


def _decoupled(
    a: Tensor,
    b: Tensor,
    pairing: Pairing,
    temperature: Tensor,
    weights: Callable[[Tensor], Tensor],
    chunk_size: int | None,
) -> LossOutput:
    """The loss, with each view's positives weighted by ``weights`` of their mean similarity."""
    z = normalize(torch.cat([a, b]), temperature.rsqrt())
    ids = pairing.view_ids(z.device)
    normalizers = self_logsumexp(z, Exclusion(ids, ids), chunk_size)
    logits, counts = view_logits(z, pairing)
    counted = (counts > 0) & ~normalizers.isneginf()
    similarities = logits * temperature
    loss = mean_over(normalizers - logits * weights(similarities), counted)
    similarity = mean_over(similarities, counts > 0)
    return LossOutput(loss, detached(temperature=temperature, positive_similarity=similarity))
