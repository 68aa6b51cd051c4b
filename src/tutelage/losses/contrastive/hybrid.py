"""Hybrid: a contrastive loss first, which hands over to VICReg."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.losses.base import BaseContrastiveLoss, LossOutput, detached
from tutelage.losses.contrastive.vicreg import VICRegLoss
from tutelage.losses.positives import Pairing
from tutelage.losses.registry import register_loss, two_tower_loss


@register_loss(
    "hybrid",
    formula="(1 - w) L_first + w L_vicreg, w from 0 to 1 over ramp_steps after pretrain_steps",
    paper="https://arxiv.org/abs/2105.04906",
)
class HybridLoss(BaseContrastiveLoss):
    """Pretraining with negatives, then VICReg without any, by a linear ramp of weights.

    Both losses are computed throughout, so that each parameter has a gradient in each step (as
    distributed training asks); the weights alone change.

    Args:
        first: The contrastive loss that training begins with, by name.
        pretrain_steps: Training steps of it alone.
        ramp_steps: Steps over which its weight goes to zero.
        invariance: λ of VICReg.
        variance: μ.
        covariance: ν.

    The buffer ``step`` counts training steps; it is saved.

    Raises:
        ConfigError: ``first`` is no two-tower loss, or a number of steps is negative.
    """

    step: Tensor

    def __init__(
        self,
        first: str = "clip",
        pretrain_steps: int = 1000,
        ramp_steps: int = 500,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__()
        if pretrain_steps < 0 or ramp_steps < 0:
            problem = f"{pretrain_steps} steps of pretraining and {ramp_steps} of a ramp"
            raise ConfigError(problem, hint="Give numbers of steps that are not negative.")
        self.first: BaseContrastiveLoss = two_tower_loss(first)
        self.vicreg: VICRegLoss = VICRegLoss(invariance, variance, covariance)
        self.pretrain_steps: int = pretrain_steps
        self.ramp_steps: int = ramp_steps
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def weight(self) -> Tensor:
        """Return VICReg's weight at this step, a scalar in [0, 1]."""
        after = (self.step - self.pretrain_steps + 1).to(torch.get_default_dtype())
        return (after / (self.ramp_steps + 1)).clamp(0, 1)

    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss; see `BaseContrastiveLoss.forward`."""
        weight = self.weight()
        first, vicreg = (part.compare(a, b, pairing) for part in (self.first, self.vicreg))
        loss = (1 - weight) * first.loss + weight * vicreg.loss
        if self.training:
            self.step += 1
        own = detached(vicreg_weight=weight, first=first.loss, vicreg=vicreg.loss)
        return LossOutput(loss, {**first.metrics, **vicreg.metrics, **own})
