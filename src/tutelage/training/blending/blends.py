"""`Blend`: experts' outputs in, their weighted mean out; equal weights, learned, keyed or gated."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from tutelage.core.blends import (
    BlendConfig,
    GatedBlendConfig,
    KeyedBlendConfig,
    WeightedBlendConfig,
)
from tutelage.training.blending.likelihoods import Likelihood
from tutelage.training.blending.opinions import OpinionBatch, Opinions
from tutelage.training.fusion.learner import Learner

LIMIT = 5.0
"""States lie within so many deviations."""


class Blend(Learner):
    """A mean of the experts' outputs, with weights that are positive and sum to 1.

    Args:
        likelihood: What the blend is judged by.
    """

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        self.likelihood = likelihood

    @abstractmethod
    def weights(self, batch: OpinionBatch) -> Tensor:
        """Return (B, E), how much each expert counts for each row."""

    def fit_inputs(self, opinions: Opinions) -> None:
        """Take scales from the training rows; by default there are none."""

    def forward(self, batch: OpinionBatch) -> Tensor:
        """Return blended outputs (B, C)."""
        blended: Tensor = (self.weights(batch)[:, :, None] * batch.outputs).sum(dim=1)
        return blended

    def step(self, batch: OpinionBatch) -> dict[str, Tensor]:
        """Return the mean loss of a batch."""
        return {"loss": self.likelihood(self(batch), batch.target).mean()}


class MeanBlend(Blend):
    """All experts count alike."""

    def weights(self, batch: OpinionBatch) -> Tensor:
        """Return 1 / E everywhere."""
        rows, experts, _ = batch.outputs.shape
        return batch.outputs.new_full((rows, experts), 1 / experts)


class WeightedBlend(Blend):
    """A weight for each expert (linear opinion pool: Stone 1961).

    Args:
        experts: E.
        likelihood: What the blend is judged by.
    """

    def __init__(self, experts: int, likelihood: Likelihood) -> None:
        super().__init__(likelihood)
        self.logits = nn.Parameter(torch.zeros(experts))

    def weights(self, batch: OpinionBatch) -> Tensor:
        """Return the same weights for each row."""
        return self.logits.softmax(dim=0).expand(len(batch.outputs), -1)


class KeyedBlend(Blend):
    """Weights that all rows share, and how those of each key differ from them.

    Args:
        experts: E.
        keys: K.
        shrinkage: Weight of the mean square of the differences, which is added to the loss.
        likelihood: What the blend is judged by.
    """

    def __init__(self, experts: int, keys: int, shrinkage: float, likelihood: Likelihood) -> None:
        super().__init__(likelihood)
        self.shrinkage = shrinkage
        self.shared = nn.Parameter(torch.zeros(experts))
        self.own = nn.Parameter(torch.zeros(keys, experts))

    def weights(self, batch: OpinionBatch) -> Tensor:
        """Return the weights of each row's key."""
        return (self.shared + self.own).softmax(dim=1)[batch.key]

    def step(self, batch: OpinionBatch) -> dict[str, Tensor]:
        """Return the mean loss of a batch, with what draws the keys together."""
        fit = super().step(batch)["loss"]
        penalty = self.shrinkage * self.own.square().mean()
        return {"loss": fit + penalty, "penalty": penalty.detach()}


class GatedBlend(Blend):
    """Weights that a network reads off a row's state (Jacobs et al. 1991).

    Source: https://doi.org/10.1162/neco.1991.3.1.79, with experts that stay as they are.

    Args:
        experts: E.
        width: S, columns of a state.
        hidden: Width of the gate's hidden layer.
        likelihood: What the blend is judged by.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, experts: int, width: int, hidden: int, likelihood: Likelihood) -> None:
        super().__init__(likelihood)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.gate = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, experts))

    def fit_inputs(self, opinions: Opinions) -> None:
        """Take the states' scale."""
        deviation, mean = torch.std_mean(opinions.state.double(), dim=0)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def weights(self, batch: OpinionBatch) -> Tensor:
        """Return weights for each row."""
        scaled = ((batch.state - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)
        gates: Tensor = self.gate(scaled)
        return gates.softmax(dim=1)


def make_blend(
    config: BlendConfig, experts: int, keys: int, width: int, likelihood: Likelihood
) -> Blend:
    """Return the blend that ``config`` names, fresh.

    Args:
        config: Its settings.
        experts: E.
        keys: K.
        width: S, columns of a state.
        likelihood: What it is judged by.
    """
    if isinstance(config, WeightedBlendConfig):
        return WeightedBlend(experts, likelihood)
    if isinstance(config, KeyedBlendConfig):
        return KeyedBlend(experts, keys, config.shrinkage, likelihood)
    if isinstance(config, GatedBlendConfig):
        return GatedBlend(experts, width, config.hidden, likelihood)
    return MeanBlend(likelihood)
