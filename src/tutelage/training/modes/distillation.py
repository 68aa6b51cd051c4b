"""Mode *distillation*: a student learns from the task and from a finished run, its teacher."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from tutelage.core.config import DistillationMode
from tutelage.core.errors import ConfigError
from tutelage.core.records import INITIAL_WEIGHTS, Cell, Evaluation, Table
from tutelage.core.store import Run
from tutelage.losses import FeatureMatchingLoss, SoftTargetLoss
from tutelage.task import SupportsDistillation
from tutelage.training.contracts import Objective, TaskData, TaskModule
from tutelage.training.model_card import read_preprocessing
from tutelage.training.modes.base import BaseTrainer
from tutelage.training.restore import restore_module


@runtime_checkable
class Distillable(Protocol):
    """A module that can be teacher and student: it shows its outputs, and its loss of them.

    Rows of outputs and features mean the same for every model of the task: samples, words, cells.
    """

    feature_width: int
    """F, the number of features of a row."""

    def outputs(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return outputs, such as logits (B, C), and features (B, F) of them, in one pass."""
        ...

    def task_loss(self, outputs: Tensor, batch: Any) -> Tensor:
        """Return the task's own loss, a scalar, of its outputs."""
        ...


@runtime_checkable
class Teaching(Protocol):
    """A module that takes another part of a batch as a teacher than as a student."""

    def teach(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return outputs and features for a student's batch."""
        ...


@runtime_checkable
class OwnSoftTargets(Protocol):
    """A module whose outputs are no logits of classes."""

    def soft_targets(self, mode: DistillationMode) -> nn.Module:
        """Return the loss, a scalar, of (student's outputs, teacher's outputs).

        Raises:
            ConfigError: A setting of the mode does nothing for such outputs.
        """
        ...


@runtime_checkable
class Heir(Protocol):
    """A module that can begin with weights of its teacher."""

    def inherit(self, teacher: TaskModule) -> None:
        """Take over what the teacher has and the student can use; it is changed nowhere else.

        Raises:
            ConfigError: There is nothing.
        """
        ...


class Distillation(Objective):
    """alpha · soft targets + (1 - alpha) · the task's loss + feature_weight · feature matching.

    The teacher is no part of it but moves with it: it is in evaluation, without gradients, and in
    no state dict and no optimiser. What has no weight is not computed.

    Args:
        mode: Temperature and weights.
        teacher: The model to learn from.
        student: The model that learns.

    Raises:
        ConfigError: A setting of the mode does nothing for such models.
    """

    def __init__(self, mode: DistillationMode, teacher: TaskModule, student: TaskModule) -> None:
        super().__init__()
        assert isinstance(teacher, Distillable) and isinstance(student, Distillable)
        self.alpha, self.feature_weight = mode.alpha, mode.feature_weight
        self.soft_targets = (
            student.soft_targets(mode)
            if isinstance(student, OwnSoftTargets)
            else SoftTargetLoss(mode.temperature)
        )
        self.features = (
            FeatureMatchingLoss(student.feature_width, teacher.feature_width)
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
        outputs, features = module.outputs(batch)
        parts = {"task_loss": module.task_loss(outputs, batch)}
        loss = (1 - self.alpha) * parts["task_loss"]
        if self.alpha or self.features is not None:
            with torch.no_grad():
                taught, shown = self._ask(batch)
        if self.alpha:
            parts["soft_loss"] = self.soft_targets(outputs, taught)
            loss = loss + self.alpha * parts["soft_loss"]
        if self.features is not None:
            parts["feature_loss"] = self.features(features, shown)
            loss = loss + self.feature_weight * parts["feature_loss"]
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    def _ask(self, batch: Any) -> tuple[Tensor, Tensor]:
        teacher = self._teacher[0]
        return teacher.teach(batch) if isinstance(teacher, Teaching) else teacher.outputs(batch)


class DistillationTrainer(BaseTrainer):
    """Trains a student beside its teacher; what is saved is the student alone."""

    teacher_parameters: int

    def prepare(self) -> TaskData:
        """Look at the teacher before any work, and at what it knows of the data before training.

        Raises:
            ConfigError: The teacher can't teach, or it was made for other inputs.
        """
        (teacher,) = self.parents["teacher"]
        where = f"mode.teacher={teacher.id}"
        able = [n for n, e in self.task.models.items() if self.config.mode.name in e.modes]
        if teacher.record.model not in able:
            said = f"a {teacher.record.model!r} can't teach"
            raise ConfigError(said, where=where, hint=f"Teachers are runs of {', '.join(able)}.")
        known = read_preprocessing(teacher.path, self.task)
        data = super().prepare()
        assert isinstance(self.task, SupportsDistillation)
        if (apart := self.task.inputs_differ(known, data.preprocessing)) is not None:
            said = f"teacher and student would not see the same inputs: {apart}"
            raise ConfigError(said, where=where, hint=self._hint(teacher))
        return self.task.teaching_data(data, known)

    def _hint(self, teacher: Run) -> str:
        """Say which settings of data the teacher had that are others here."""
        here, there = self.config.data.model_dump(mode="json"), teacher.settings.get("data")
        assert isinstance(there, dict)
        folds = ("split_file", "fold")
        if any(here[name] != there.get(name) for name in folds):
            return (
                "Take a teacher of the same fold: any other has seen other data. In a study leave "
                "hpo.folds out and set hpo.refit=split, so that one teacher serves all trials."
            )
        differ = [f"data.{k}={json.dumps(v)}" for k, v in there.items() if here.get(k) != v]
        theirs = f" The teacher had {', '.join(differ)}." if differ else ""
        return f"Train a teacher on these data, under these settings of them.{theirs}"

    def evaluate(self, module: TaskModule, data: TaskData) -> Evaluation:
        """Score every test split; set the teacher's recorded scores beside the student's."""
        found = super().evaluate(module, data)
        beside = self._beside(module, found.metrics)
        return found.model_copy(update={"tables": (beside, *found.tables)})

    def _beside(self, student: TaskModule, metrics: Mapping[str, float]) -> Table:
        """What both score on each test split, where their tests are the same, and their sizes."""
        (teacher,) = self.parents["teacher"]
        same = any(p.same_data for p in self.run.record.parents if p.run == teacher.id)
        end = f"/{self.task.headline}"
        shown = [key for key in metrics if key.count("/") == 1 and key.endswith(end)]
        known = teacher.metrics if same else {}
        rows: list[tuple[Cell, ...]] = [(key, metrics[key], known.get(key)) for key in shown]
        weights = sum(parameter.numel() for parameter in student.parameters())
        rows.append(("parameters", weights, self.teacher_parameters))
        return Table(
            title="Student beside its teacher",
            columns=("", "student", f"teacher {teacher.id}"),
            rows=tuple(rows),
            note=""
            if same
            else "The teacher was tested on other data, so its scores are left out.",
        )

    def build(self, data: TaskData) -> TaskModule:
        """Make the student as in mode normal, or out of its teacher, and put that beside it.

        Raises:
            ConfigError: The student can take over nothing of its teacher.
        """
        mode = self.config.mode
        assert isinstance(mode, DistillationMode)
        teacher = restore_module(self.task, self.parents["teacher"][0])  # before the seed is set
        self.teacher_parameters = sum(parameter.numel() for parameter in teacher.parameters())
        module = super().build(data)
        if mode.start == "teacher" and not self.parents.get(INITIAL_WEIGHTS):
            if not isinstance(module, Heir):
                said = f"a {self.config.model.name!r} can't begin with its teacher's weights"
                raise ConfigError(said, where="mode.start", hint="Leave mode.start out.")
            module.inherit(teacher)
        module.objective = Distillation(mode, teacher, module)
        return module

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Train, then let the teacher and the projection go."""
        super().fit(module, data)
        module.objective = None
