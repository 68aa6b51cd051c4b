"""Settings of the combiners, which are the models of mode *fusion*."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tutelage.core.config import ModelConfig


class FusionConfig(ModelConfig):
    """A model that combines experts."""


class MeanConfig(FusionConfig):
    """Mean of the experts' calibrated probabilities."""

    name: Literal["mean"] = "mean"
    """Averages the experts' calibrated probabilities; learns nothing else."""


class LogisticConfig(FusionConfig):
    """Logistic regression on the whole state."""

    name: Literal["logistic"] = "logistic"
    """Calibrated logistic regression on margins, rules and window statistics."""


class MLPConfig(FusionConfig):
    """Perceptron on the whole state."""

    name: Literal["mlp"] = "mlp"
    """A perceptron with one hidden layer on the same."""
    hidden: int = Field(default=32, ge=1)
    """Units of the hidden layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of them dropped in training."""


class GatedConfig(FusionConfig):
    """Mixture of the experts, weighed by a gate."""

    name: Literal["gated"] = "gated"
    """A mixture of the experts' probabilities; a network sets the weights for each window."""
    hidden: int = Field(default=16, ge=1)
    """Units of the gate's hidden layer."""


class AgentConfig(FusionConfig):
    """An agent that chooses the experts' weights for each window."""

    hidden: int = Field(default=64, ge=1)
    """Units of each of two hidden layers."""
    choices: int = Field(default=21, ge=2, le=1001)
    """Most weightings to choose from: for two experts α = 0, 0.05, …, 1."""
    epsilon_first: float = Field(default=1.0, ge=0, le=1)
    """Share of random choices at the start of training."""
    epsilon_final: float = Field(default=0.05, ge=0, le=1)
    """Share of random choices at its end."""
    epsilon_updates: int = Field(default=500, ge=1)
    """Updates over which the share falls."""
    miss_cost: float = Field(default=2.0, gt=0)
    """What a missed attack costs; a false alarm costs 1, a right verdict earns 1."""


class BanditConfig(AgentConfig):
    """Contextual bandit that chooses the experts' weights."""

    name: Literal["bandit"] = "bandit"
    """A contextual bandit: learns by trying which weighting of the experts is right."""


class DQNConfig(AgentConfig):
    """Double DQN that chooses the experts' weights."""

    name: Literal["dqn"] = "dqn"
    """Double deep Q-learning of the weightings, over windows in order of time."""
    discount: float = Field(default=0.5, gt=0, lt=1)
    """What the next window's reward counts today; with 0 it would be the bandit."""
    replay: int = Field(default=4096, ge=1)
    """Transitions in the replay buffer."""
    target_every: int = Field(default=50, ge=1)
    """Updates after which the target network takes over the weights."""


class BestConfig(FusionConfig):
    """The best expert alone, unless a combiner beats it."""

    name: Literal["best"] = "best"
    """The best expert alone, unless another combiner beats it on held-out time beyond chance."""


COMBINERS: tuple[FusionConfig, ...] = (
    MeanConfig(),
    LogisticConfig(),
    MLPConfig(),
    GatedConfig(),
    BanditConfig(),
    DQNConfig(),
)
"""Every combiner that learns; a run fits them all: its own as set, the others as they come."""
