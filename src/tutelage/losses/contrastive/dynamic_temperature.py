"""Dynamic temperature: CLIP whose temperature swings with the steps of training."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from tutelage.losses.base import BaseContrastiveLoss, LossOutput, SameId
from tutelage.losses.contrastive.clip import CLIPLoss
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import CosineTemperature


@register_loss(
    "dynamic_temperature",
    formula="clip with T(t) = T_min + ½ (T_max - T_min)(1 + cos(2πt / period)), t the step",
    paper="https://arxiv.org/abs/2303.13664",
)
class DynamicTemperatureLoss(BaseContrastiveLoss):
    """CLIP with a temperature on a cosine, between two bounds (Kukleva et al. 2023).

    Args:
        min_temperature: The least T.
        max_temperature: The greatest, at which it begins.
        period: Training steps from one greatest T to the next.
        same_id: What items of one id are that are no pair; ``ignored`` needs as many b as a.
        chunk_size: Rows of logits held at once; None: chosen by size.
    """

    takes_targets: ClassVar[bool] = True

    def __init__(
        self,
        min_temperature: float = 0.05,
        max_temperature: float = 0.2,
        period: int = 1000,
        same_id: SameId = "positive",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.clip: CLIPLoss = CLIPLoss(same_id=same_id, chunk_size=chunk_size)
        self.clip.temperature = CosineTemperature(min_temperature, max_temperature, period)

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        return self.clip.compare(a, b, pairing)
