"""`Fusible`: held-out data of a task on which the models of finished runs can be combined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tutelage.core.config import FusionMode, Training
from tutelage.core.records import AuditStamp, Figure, Table
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.fusion.expert import Expert


class Fusible(TaskData, ABC):
    """Samples that no expert was trained on, in folds.

    Args:
        base: The task's data.
        experts: The models to combine.
        mode: Folds and passes.
        training: Seed, rate, decay and schedule of every fit.
    """

    def __init__(
        self, base: TaskData, experts: Sequence[Expert], mode: FusionMode, training: Training
    ) -> None:
        super().__init__()
        self.base, self.experts, self.mode, self.training = base, tuple(experts), mode, training

    def setup(self, stage: str) -> None:
        """Do nothing: what the experts say is there."""

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """The task's own, and what rebuilds the experts."""
        cards = [expert.card() for expert in self.experts]
        return {**self.base.preprocessing, "experts": cards}

    @property
    def audit(self) -> AuditStamp:
        """The verdict on the task's data."""
        return self.base.audit

    def test_loaders(self) -> Mapping[str, Iterable[Any]]:
        """Those of the task's data."""
        return self.base.test_loaders()

    @abstractmethod
    def compare(self, module: TaskModule) -> tuple[tuple[Table, ...], tuple[Figure, ...]]:
        """Finish the module after training; compare all ways of combining, cross-fitted."""
