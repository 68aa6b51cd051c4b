"""`ReplayBuffer`: the newest transitions of an agent, in tensors, drawn from at random."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tutelage.training.fusion.states import StateBatch


class ReplayBuffer:
    """A ring of transitions: state, following state, whether it was the last, action, reward.

    Args:
        capacity: Transitions kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._columns: dict[str, Tensor] = {}
        self._next = self._filled = 0

    def __len__(self) -> int:
        return self._filled

    def push(self, batch: StateBatch, action: Tensor, reward: Tensor) -> None:
        """Take up B transitions in the place of the oldest ones."""
        new = {
            "state": batch.state,
            "following": batch.following,
            "last": batch.last,
            "action": action,
            "reward": reward,
        }
        new = {name: value.detach()[-self.capacity :] for name, value in new.items()}
        count = len(new["action"])
        if not self._columns:
            self._columns = {n: v.new_zeros(self.capacity, *v.shape[1:]) for n, v in new.items()}
        self._columns = {n: v.to(action.device) for n, v in self._columns.items()}  # after a resume
        place = (self._next + torch.arange(count, device=action.device)) % self.capacity
        for name, value in new.items():
            self._columns[name][place] = value
        self._next = (self._next + count) % self.capacity
        self._filled = min(self._filled + count, self.capacity)

    def sample(self, count: int) -> dict[str, Tensor]:
        """Return ``count`` transitions drawn with replacement by torch's global generator."""
        device = self._columns["action"].device
        rows = torch.randint(self._filled, (count,)).to(device)
        return {name: column[rows] for name, column in self._columns.items()}

    def state_dict(self) -> dict[str, object]:
        """Return the transitions and the place of the next one."""
        filled = {name: column[: self._filled] for name, column in self._columns.items()}
        return {"columns": filled, "next": self._next, "filled": self._filled}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from what `state_dict` returned."""
        columns, place, filled = state["columns"], state["next"], state["filled"]
        assert isinstance(columns, dict) and isinstance(place, int) and isinstance(filled, int)
        self._columns = {n: v.new_zeros(self.capacity, *v.shape[1:]) for n, v in columns.items()}
        for name, value in columns.items():
            self._columns[name][:filled] = value
        self._next, self._filled = place, filled
