"""Mode *distillation*: a student learns from the task and from a finished run, its teacher."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from tutelage.core.config import DistillationMode
from tutelage.core.errors import ConfigError
from tutelage.core.store import Run
from tutelage.losses import FeatureMatchingLoss, SoftTargetLoss
from tutelage.task import SupportsDistillation
from tutelage.training.contracts import Objective, TaskData, TaskModule
from tutelage.training.model_card import read_preprocessing
from tutelage.training.modes.base import BaseTrainer
from tutelage.training.restore import restore_module


@runtime_checkable
class Distillable(Protocol):
    """A module that can be teacher and student: it shows its outputs, and its loss of them."""

    feature_width: int
    """F, the number of features of a sample."""

    def outputs(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return logits (B, C), and features (B, F) that they are made from, in one pass."""
        ...

    def task_loss(self, logits: Tensor, batch: Any) -> Tensor:
        """Return the task's own loss, a scalar, of logits (B, C)."""
        ...


class Distillation(Objective):
    """alpha · soft targets + (1 - alpha) · the task's loss + feature_weight · feature matching.

    The teacher is no part of it but moves with it: it is in evaluation, without gradients, and in
    no state dict and no optimiser. What has no weight is not computed.

    Args:
        mode: Temperature and weights.
        teacher: The model to learn from.
        feature_width: The student's.
    """

    def __init__(self, mode: DistillationMode, teacher: TaskModule, feature_width: int) -> None:
        super().__init__()
        assert isinstance(teacher, Distillable)
        self.alpha, self.feature_weight = mode.alpha, mode.feature_weight
        self.soft_targets = SoftTargetLoss(mode.temperature)
        self.features = (
            FeatureMatchingLoss(feature_width, teacher.feature_width)
            if mode.feature_weight
            else None
        )
        self._teacher = (teacher.eval().requires_grad_(False),)  # a tuple: nn.Module looks away

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Take the teacher along to a device or to another arithmetic."""
        self._teacher[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, module: TaskModule, batch: Any) -> dict[str, Tensor]:
        """Return the weighted sum as ``loss``, and its parts."""
        assert isinstance(module, Distillable)
        logits, features = module.outputs(batch)
        parts = {"task_loss": module.task_loss(logits, batch)}
        loss = (1 - self.alpha) * parts["task_loss"]
        if self.alpha or self.features is not None:
            with torch.no_grad():
                taught, shown = self._teacher[0].outputs(batch)
        if self.alpha:
            parts["soft_loss"] = self.soft_targets(logits, taught)
            loss = loss + self.alpha * parts["soft_loss"]
        if self.features is not None:
            parts["feature_loss"] = self.features(features, shown)
            loss = loss + self.feature_weight * parts["feature_loss"]
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}


class DistillationTrainer(BaseTrainer):
    """Trains a student beside its teacher; what is saved is the student alone."""

    def prepare(self) -> TaskData:
        """Look at the teacher before any work, and at what it knows of the data before training.

        Raises:
            ConfigError: The teacher can't teach, or it was made for other inputs.
        """
        (teacher,) = self.parents["teacher"]
        where = f"mode.teacher={teacher.id}"
        able = [n for n, e in self.task.models.items() if self.config.mode.name in e.modes]
        if teacher.record.model not in able:
            said = f"a {teacher.record.model!r} can't teach: it has no logits of classes"
            raise ConfigError(said, where=where, hint=f"Teachers are runs of {', '.join(able)}.")
        known = read_preprocessing(teacher.path, self.task)
        data = super().prepare()
        assert isinstance(self.task, SupportsDistillation)
        if (apart := self.task.inputs_differ(known, data.preprocessing)) is not None:
            said = f"teacher and student would not see the same inputs: {apart}"
            raise ConfigError(said, where=where, hint=self._hint(teacher))
        return data

    def _hint(self, teacher: Run) -> str:
        """Say which settings of data the teacher had that are others here."""
        here, there = self.config.data.model_dump(mode="json"), teacher.settings.get("data")
        assert isinstance(there, dict)
        differ = [f"data.{k}={json.dumps(v)}" for k, v in there.items() if here.get(k) != v]
        theirs = f" The teacher had {', '.join(differ)}." if differ else ""
        return f"Train a teacher on these data, under these settings of them.{theirs}"

    def build(self, data: TaskData) -> TaskModule:
        """Make the student as in mode normal, and put the teacher beside it."""
        mode = self.config.mode
        assert isinstance(mode, DistillationMode)
        teacher = restore_module(self.task, self.parents["teacher"][0])  # before the seed is set
        module = super().build(data)
        assert isinstance(module, Distillable)
        module.objective = Distillation(mode, teacher, module.feature_width)
        return module

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Train, then let the teacher and the projection go."""
        super().fit(module, data)
        module.objective = None
