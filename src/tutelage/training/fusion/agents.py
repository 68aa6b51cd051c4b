"""Agents that choose the experts' weights for each sample: contextual bandit and double DQN."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.training.fusion.combiners import Combiner
from tutelage.training.fusion.replay import ReplayBuffer
from tutelage.training.fusion.states import StateBatch


def weight_choices(experts: int, at_most: int) -> Tensor:
    """Return (A, E) weightings, evenly spread, that sum to 1: the most that ``at_most`` allows.

    Two experts and 21 choices give α = 0, 0.05, …, 1; three give steps of a fifth, four of a third.
    """
    steps = 1
    while math.comb(steps + experts, experts - 1) <= at_most:
        steps += 1
    slots = steps + experts - 1
    parts = [
        [b - a - 1 for a, b in zip((-1, *bars), (*bars, slots), strict=True)]
        for bars in combinations(range(slots), experts - 1)
    ]
    return torch.tensor(parts[::-1], dtype=torch.float32) / steps


@dataclass(frozen=True, slots=True)
class Exploration:
    """How an agent tries things out.

    Args:
        first: Share of random actions at the start.
        final: Share of them at the end.
        updates: Updates over which the share falls, in a straight line.
        miss_cost: What a missed attack costs; a false alarm costs 1, a right verdict earns 1.
    """

    first: float
    final: float
    updates: int
    miss_cost: float

    def share(self, done: int) -> float:
        """The share of random actions after so many updates."""
        return self.first + (self.final - self.first) * min(1.0, done / self.updates)


class WeightAgent(Combiner):
    """Values each weighting of the experts from the state and takes the best.

    The fused probability is the weighted mean of the experts' calibrated ones. The reward is known
    for the weighting that was tried alone. Errors are squared, so that a value is a mean reward: a
    Huber loss would hardly tell a dear miss from a cheap one.

    Args:
        width: S, columns of a state.
        experts: E, the first columns.
        hidden: Width of the two hidden layers.
        choices: Most weightings.
        exploration: How the agent tries things out.
    """

    choices: Tensor
    updates: Tensor

    def __init__(
        self, width: int, experts: int, hidden: int, choices: int, exploration: Exploration
    ) -> None:
        super().__init__(width, experts)
        self.exploration = exploration
        self.register_buffer("choices", weight_choices(experts, choices))
        self.register_buffer("updates", torch.tensor(0))
        self.values = nn.Sequential(
            *(nn.Linear(width, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, len(self.choices)),
        )

    def value(self, state: Tensor) -> Tensor:
        """Return (B, A), what each weighting is worth."""
        values: Tensor = self.values(self.scaled(state))
        return values

    def weights(self, state: Tensor) -> Tensor:
        """Return (B, E), the weighting of greatest value."""
        return self.choices[self.value(state).argmax(dim=1)]

    def forward(self, state: Tensor) -> Tensor:
        """Return (B,) probabilities of an attack under the best weighting."""
        return (self.weights(state) * self.probabilities(state)).sum(dim=1)

    def explore(self, batch: StateBatch) -> tuple[Tensor, Tensor]:
        """Choose a weighting for each sample, some at random; return choices and rewards, (B,)."""
        with torch.no_grad():
            best = self.value(batch.state).argmax(dim=1)
            count = len(best)
            # Drawn in main memory, so that a seed means the same on every device.
            guess = torch.randint(len(self.choices), (count,)).to(best.device)
            tries = torch.rand(count).to(best.device) < self.exploration.share(int(self.updates))
            action = torch.where(tries, guess, best)
            return action, self.reward(batch, action)

    def reward(self, batch: StateBatch, action: Tensor) -> Tensor:
        """Return (B,): 1 for a right verdict, -1 for a false alarm, -`miss_cost` for a miss."""
        fused = (self.choices[action] * self.probabilities(batch.state)).sum(dim=1)
        right = (fused > 0.5) == (batch.label == 1)
        wrong = torch.where(batch.label == 1, -self.exploration.miss_cost, -1.0)
        return torch.where(right, 1.0, wrong)

    def step(self, batch: StateBatch) -> dict[str, Tensor]:
        """Try weightings and return the error of what they were thought to be worth."""
        action, reward = self.explore(batch)
        loss = self.learn(batch, action, reward)
        if self.training:
            self.updates += 1
        return {"loss": loss, "reward": reward.mean()}

    @abstractmethod
    def learn(self, batch: StateBatch, action: Tensor, reward: Tensor) -> Tensor:
        """Return the loss of one update."""


class BanditCombiner(WeightAgent):
    """A contextual bandit: what a weighting is worth is its reward on this sample."""

    def learn(self, batch: StateBatch, action: Tensor, reward: Tensor) -> Tensor:
        """Return the squared error of the value of what was tried."""
        tried = self.value(batch.state).gather(1, action[:, None]).squeeze(1)
        return F.mse_loss(tried, reward)


class DQNCombiner(WeightAgent):
    """Double deep Q-learning; the next state is that of the sample that follows in time.

    van Hasselt et al. 2016 (https://arxiv.org/abs/1509.06461). What follows does not depend on the
    action here, so the best policy is a contextual bandit's: what learning adds is in the values.

    Args:
        width: S, columns of a state.
        experts: E, the first columns.
        hidden: Width of the two hidden layers.
        choices: Most weightings.
        exploration: How the agent tries things out.
        discount: What a reward of the next sample counts today.
        capacity: Transitions in the replay buffer.
        target_every: Updates after which the target network takes over the weights.
    """

    def __init__(
        self,
        width: int,
        experts: int,
        hidden: int,
        choices: int,
        exploration: Exploration,
        discount: float,
        capacity: int,
        target_every: int,
    ) -> None:
        super().__init__(width, experts, hidden, choices, exploration)
        self.discount, self.target_every = discount, target_every
        self.replay = ReplayBuffer(capacity)
        self._target = (deepcopy(self.values).requires_grad_(False),)  # nn.Module looks away

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Take the target network along to a device or to another arithmetic."""
        self._target[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def learn(self, batch: StateBatch, action: Tensor, reward: Tensor) -> Tensor:
        """Keep the transitions and return the double-Q loss of as many drawn from the buffer."""
        if int(self.updates) % self.target_every == 0:
            self._target[0].load_state_dict(self.values.state_dict())
        self.replay.push(batch, action, reward)
        old = self.replay.sample(len(action))
        with torch.no_grad():
            following = self.scaled(old["following"])
            chosen = self.values(following).argmax(dim=1, keepdim=True)
            worth = self._target[0](following).gather(1, chosen).squeeze(1)
            target = old["reward"] + self.discount * worth * ~old["last"]
        tried = self.value(old["state"]).gather(1, old["action"][:, None]).squeeze(1)
        return F.mse_loss(tried, target)

    def learning_state(self) -> dict[str, object]:
        """What a resumed run needs beside the weights: the target network and the buffer."""
        return {"target": dict(self._target[0].state_dict()), "replay": self.replay.state_dict()}

    def load_learning_state(self, state: Mapping[str, object]) -> None:
        """Go on from what `learning_state` returned."""
        target, replay = state["target"], state["replay"]
        assert isinstance(target, dict) and isinstance(replay, dict)
        self._target[0].load_state_dict(target)
        self.replay.load_state_dict(replay)
