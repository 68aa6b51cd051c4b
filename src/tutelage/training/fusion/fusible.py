"""`Fusible`: held-out data of a task on which the models of finished runs can be combined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from tutelage.core.config import FusionMode, Training
from tutelage.core.records import AuditStamp, Figure, Table
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.fusion.expert import Expert
from tutelage.training.fusion.fitting import Samples, pass_order
from tutelage.training.fusion.learner import ExpertsModule
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import SeededBatchSampler


class Fusible(TaskData, ABC):
    """Samples that no expert was trained on, in folds.

    Fold 0 validates, so that it chooses the epoch; the others train.

    Args:
        base: The task's data.
        experts: The models to combine.
        mode: Folds and passes.
        training: Seed, rate, decay and schedule of every fit.
    """

    fold: Tensor
    """(n,) the fold of each sample."""
    train: Samples
    validation: Samples
    evaluation_batch: ClassVar[int]
    """Samples that are validated at once, and trained on where no size is set."""

    def __init__(
        self, base: TaskData, experts: Sequence[Expert], mode: FusionMode, training: Training
    ) -> None:
        super().__init__()
        self.base, self.experts, self.mode, self.training = base, tuple(experts), mode, training
        self.batch_size = self.evaluation_batch

    def setup(self, stage: str) -> None:
        """Do nothing: what the experts say is there."""

    def fit_module(self, module: TaskModule) -> None:
        """Give the experts their weights, and what combines them its scales."""
        assert isinstance(module, ExpertsModule)
        for target, expert in zip(module.experts, self.experts, strict=True):
            target.load_state_dict(expert.module.state_dict())
        module.network.fit_inputs(self.train)

    def train_dataloader(self) -> ResumableLoader[Any]:
        """Shuffled batches; an epoch is `mode.passes` passes over the training samples."""
        order = pass_order(self.train_size, self.batch_size, self.training.seed, self.mode.passes)
        return ResumableLoader(self.train.batch, order)

    def val_dataloader(self) -> EvalLoader[Any]:
        """The samples of fold 0, in order."""
        count = len(self.validation)
        order = SeededBatchSampler(count, self.evaluation_batch, seed=0, shuffle=False)
        return EvalLoader(self.validation.batch, order)

    def batch_of_size(self, size: int) -> Any:
        """The first ``size`` training samples, repeated where there are fewer."""
        return self.train.batch(torch.arange(size) % self.train_size)

    @property
    def train_size(self) -> int:
        """Training samples of one pass."""
        return len(self.train)

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
