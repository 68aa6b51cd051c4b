"""Combined: several two-tower losses of one batch, added with weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from torch import Tensor, nn

from tutelage.losses.base import BaseContrastiveLoss, LossOutput
from tutelage.losses.multimodal.multitask import MultitaskLoss, UncertaintyWeightedLoss
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss, two_tower_loss

Weighting = Literal["static", "uncertainty"]

DEFAULT_PARTS = {"clip": 1.0, "vicreg": 0.04}
"""What is combined by default: VICReg with its terms of 25 brought to about one."""


@register_loss(
    "combined",
    formula="sum_k w_k L_k of two-tower losses, w given or by uncertainty",
    paper="https://arxiv.org/abs/1706.05098",
    aliases=("mixed",),
)
class CombinedLoss(BaseContrastiveLoss):
    """Several two-tower losses at once, with weights given or learned.

    Args:
        parts: Weight by the loss's name; with ``uncertainty`` the weights are learned, and those
            given are multiplied with them.
        weighting: ``static``, or ``uncertainty`` as in `multitask_uncertainty`.
        options: Options of a part, by its name: ``{"clip": {"temperature": 0.1}}``.

    Raises:
        UnknownNameError: A part is no loss.
        ConfigError: A part is no loss of two towers, or the weights are no weights.
    """

    def __init__(
        self,
        parts: Mapping[str, float] | None = None,
        weighting: Weighting = "static",
        options: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        super().__init__()
        weights = DEFAULT_PARTS if parts is None else parts
        self.weights: nn.Module = MultitaskLoss(weights)
        self.scales: dict[str, float] = dict.fromkeys(weights, 1.0)
        if weighting == "uncertainty":
            self.weights = UncertaintyWeightedLoss(list(weights))
            self.scales = dict(weights)
        given = options or {}
        made = {name: two_tower_loss(name, **given.get(name, {})) for name in weights}
        self.parts: nn.ModuleDict = nn.ModuleDict(made)

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        found: dict[str, LossOutput] = {
            name: cast(BaseContrastiveLoss, self.parts[name]).compare(a, b, pairing)
            for name in self.scales
        }
        losses = {name: self.scales[name] * output.loss for name, output in found.items()}
        whole: LossOutput = self.weights(losses)
        metrics = {
            f"{name}_{key}": value
            for name, output in found.items()
            for key, value in output.metrics.items()
        }
        return LossOutput(whole.loss, {**metrics, **whole.metrics})
