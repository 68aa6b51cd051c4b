"""`Learner`: what combines experts; `ExpertsModule`: it and the experts, as the loop sees them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from torchmetrics import MeanMetric

from tutelage.core.config import Training
from tutelage.training.contracts import TaskModule


class Learner(nn.Module, ABC):
    """A module that fits itself to samples of its own kind."""

    @abstractmethod
    def fit_inputs(self, samples: Any, /) -> None:
        """Take scales from the training samples."""

    @abstractmethod
    def step(self, batch: Any, /) -> dict[str, Tensor]:
        """Return ``loss``, a scalar with gradient, and other scalars."""


N = TypeVar("N", bound=Learner)


class ExpertsModule(TaskModule, Generic[N]):
    """What combines experts, and the experts, which are in its weights file and never trained.

    Args:
        training: Optimiser, schedule and loop settings.
        experts: The models to combine.
        makers: Makes a fresh one of each kind of what combines them.
        own: The kind to train.
    """

    network: N

    def __init__(
        self,
        training: Training,
        experts: Sequence[TaskModule],
        makers: Mapping[str, Callable[[], N]],
        own: str,
    ) -> None:
        super().__init__(training)
        self.makers: Mapping[str, Callable[[], N]] = makers
        self.own: str = own
        self.network = makers[own]()
        self.experts: nn.ModuleList = nn.ModuleList(experts).requires_grad_(False)
        self.mean_loss: MeanMetric = MeanMetric()

    def step(self, batch: Any) -> dict[str, Tensor]:
        """Return the loss on a batch of what the experts say."""
        return self.network.step(batch)
