"""The temperature of a contrastive loss: learned as its logarithm, and held within bounds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError


class _Bounded(torch.autograd.Function):
    """Clamp whose gradient vanishes only where descent would leave the bounds further behind.

    A plain clamp has no gradient outside its bounds, so that a parameter which an optimiser's
    momentum carried across one would stay there for good.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (low, high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        (x,), (low, high) = ctx.saved_tensors, ctx.bounds
        outward = ((x >= high) & (gradient < 0)) | ((x <= low) & (gradient > 0))
        return gradient.masked_fill(outward, 0.0), None, None


class BoundedScalar(nn.Module):
    """One learned number that is read within bounds, whatever the optimiser makes of it.

    Args:
        initial: Its first value.
        low: The least value read.
        high: The greatest.
        learnable: Whether it is trained; fixed, it is still saved with the model.

    Raises:
        ConfigError: ``initial`` is not between the bounds.
    """

    def __init__(self, initial: float, low: float, high: float, *, learnable: bool = True) -> None:
        super().__init__()
        if not low <= initial <= high:
            problem = f"the value {initial:g} is not within its bounds {low:g} and {high:g}"
            raise ConfigError(problem, hint="Choose it between them, or move the bounds.")
        self.low: float = low
        self.high: float = high
        self.value: nn.Parameter = nn.Parameter(
            torch.tensor(float(initial)), requires_grad=learnable
        )

    def forward(self) -> Tensor:
        """Return the value, a scalar within the bounds."""
        bounded: Tensor = _Bounded.apply(self.value, self.low, self.high)  # type: ignore[no-untyped-call]
        return bounded


class Temperature(nn.Module):
    """T, by which similarities are divided; its logarithm is learned (Radford et al. 2021, 2.5).

    Source: https://arxiv.org/abs/2103.00020, where 1 / T is held at 100 or below.

    Args:
        initial: The first temperature.
        minimum: The least; 0.01 as in CLIP.
        maximum: The greatest.
        learnable: Whether it is trained; fixed, it is still saved with the model.

    ``log_temperature.value`` is the parameter, a scalar. Give it no weight decay: decay draws it
    to T = 1.

    Raises:
        ConfigError: The temperature is not positive, or not between its bounds.
    """

    def __init__(
        self,
        initial: float = 0.07,
        minimum: float = 0.01,
        maximum: float = 1.0,
        *,
        learnable: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < minimum <= initial <= maximum:
            problem = f"a temperature of {initial:g} is not within {minimum:g} and {maximum:g}"
            hint = "Give 0 < minimum <= temperature <= maximum."
            raise ConfigError(problem, hint=hint)
        bounds = (math.log(initial), math.log(minimum), math.log(maximum))
        self.log_temperature: BoundedScalar = BoundedScalar(*bounds, learnable=learnable)

    def forward(self) -> Tensor:
        """Return T, a positive scalar."""
        log_temperature: Tensor = self.log_temperature()
        return log_temperature.exp()


class CosineTemperature(nn.Module):
    """T that swings between two bounds as training goes (Kukleva et al. 2023, equation 2).

    Source: https://arxiv.org/abs/2303.13664. A low T tells single items apart, a high one groups
    them; T begins at ``maximum`` and is there again after each period.

    Args:
        minimum: The least temperature.
        maximum: The greatest.
        period: Training steps from one maximum to the next.

    The buffer ``step`` counts training steps; it is saved, so that a resumed run swings on.

    Raises:
        ConfigError: The temperatures are not 0 < minimum <= maximum, or the period is not positive.
    """

    step: Tensor

    def __init__(self, minimum: float = 0.05, maximum: float = 0.2, period: int = 1000) -> None:
        super().__init__()
        if not 0 < minimum <= maximum or period < 1:
            problem = f"T can't swing between {minimum:g} and {maximum:g} in {period} steps"
            raise ConfigError(
                problem, hint="Give 0 < minimum <= maximum and a period of 1 or more."
            )
        self.minimum: float = minimum
        self.maximum: float = maximum
        self.period: int = period
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self) -> Tensor:
        """Return T, a positive scalar; in training, the next call is one step further."""
        share = self.step.to(torch.get_default_dtype()) / self.period
        swing = (1 + torch.cos(2 * math.pi * share)) / 2
        if self.training:
            self.step += 1
        return self.minimum + (self.maximum - self.minimum) * swing
