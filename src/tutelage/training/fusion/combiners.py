"""`Combiner`: experts' margins and a state in, one probability out; mean, logistic, MLP, gated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.training.fusion.calibration import platt
from tutelage.training.fusion.learner import Learner
from tutelage.training.fusion.states import StateBatch, States

LIMIT = 5.0
"""States lie within so many deviations."""
SURE = 1e-4
"""No calibrated probability comes nearer to 0 or 1."""


class Combiner(Learner):
    """Scores samples from their states, which begin with the experts' margins.

    Args:
        width: S, columns of a state.
        experts: E, the first columns.
    """

    mean: Tensor
    deviation: Tensor
    slope: Tensor
    intercept: Tensor
    threshold: Tensor

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.width: int = width
        self.experts: int = experts
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("slope", torch.ones(experts))
        self.register_buffer("intercept", torch.zeros(experts))
        self.register_buffer("threshold", torch.tensor(0.5))

    def fit_inputs(self, states: States) -> None:
        """Take scale and calibration from training states."""
        state, label = states.state, states.label
        deviation, mean = torch.std_mean(state.double(), dim=0)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))
        for expert in range(self.experts):
            self.slope[expert], self.intercept[expert] = platt(state[:, expert], label)

    def scaled(self, state: Tensor) -> Tensor:
        """Return states (B, S) in deviations from the mean, within ±`LIMIT`."""
        return ((state - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)

    def probabilities(self, state: Tensor) -> Tensor:
        """Return (B, E), each expert's calibrated probability of an attack."""
        margin = state[:, : self.experts]
        return (margin * self.slope + self.intercept).sigmoid().clamp(SURE, 1 - SURE)

    @abstractmethod
    def forward(self, state: Tensor) -> Tensor:
        """Return (B,) probabilities of an attack."""

    def weights(self, state: Tensor) -> Tensor | None:
        """Return (B, E), how much each expert counts; None where that is not defined."""
        return None

    def step(self, batch: StateBatch) -> dict[str, Tensor]:
        """Return ``loss``, a scalar with gradient, and other scalars worth following."""
        return {"loss": log_loss(self(batch.state), batch.label)}

    def learning_state(self) -> dict[str, object]:
        """What a resumed run needs beside the weights; by default nothing."""
        return {}

    def load_learning_state(self, state: Mapping[str, object]) -> None:
        """Go on from what `learning_state` returned."""


def log_loss(probability: Tensor, label: Tensor) -> Tensor:
    """Mean negative log-likelihood of labels (B,) under probabilities (B,)."""
    p = probability.float().clamp(SURE, 1 - SURE)
    return -torch.where(label == 1, p.log(), (1 - p).log()).mean()


class MeanCombiner(Combiner):
    """The mean of the experts' calibrated probabilities; nothing else is learned."""

    def forward(self, state: Tensor) -> Tensor:
        """Return (B,) probabilities of an attack."""
        return self.probabilities(state).mean(dim=1)


class PerceptronCombiner(Combiner):
    """A network on the whole state; with no hidden layer it is calibrated logistic regression.

    Args:
        width: S, columns of a state.
        experts: E, the first columns.
        hidden: Width of the hidden layer; 0 for none.
        dropout: Share of hidden units dropped in training.
    """

    def __init__(self, width: int, experts: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__(width, experts)
        head = nn.Linear(hidden or width, 1)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.net: nn.Sequential = (
            nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), head)
            if hidden
            else nn.Sequential(head)
        )

    def _logit(self, state: Tensor) -> Tensor:
        logit: Tensor = self.net(self.scaled(state))
        return logit.squeeze(1)

    def forward(self, state: Tensor) -> Tensor:
        """Return (B,) probabilities of an attack."""
        return self._logit(state).sigmoid()

    def step(self, batch: StateBatch) -> dict[str, Tensor]:
        """Return the logistic loss."""
        logit = self._logit(batch.state)
        label = batch.label.to(logit.dtype)
        return {"loss": F.binary_cross_entropy_with_logits(logit, label)}


class GatedCombiner(Combiner):
    """A mixture of the experts' probabilities, whose weights a network reads off the state.

    Jacobs et al. 1991 (https://doi.org/10.1162/neco.1991.3.1.79), with experts that stay as they
    are.

    Args:
        width: S, columns of a state.
        experts: E, the first columns.
        hidden: Width of the gate's hidden layer.
    """

    def __init__(self, width: int, experts: int, hidden: int) -> None:
        super().__init__(width, experts)
        self.gate: nn.Sequential = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, experts)
        )

    def weights(self, state: Tensor) -> Tensor:
        """Return (B, E) that sum to 1."""
        gates: Tensor = self.gate(self.scaled(state))
        return gates.softmax(dim=1)

    def forward(self, state: Tensor) -> Tensor:
        """Return (B,) probabilities of an attack."""
        return (self.weights(state) * self.probabilities(state)).sum(dim=1)
