"""Capabilities that a mode of training asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from tutelage.core.config import C
from tutelage.core.files import Json

if TYPE_CHECKING:
    from torch import Tensor

    from tutelage.training.blending.opinions import Opinions
    from tutelage.training.contracts import Objective, TaskData, TaskModule
    from tutelage.training.curriculum import CurriculumData
    from tutelage.training.fusion.expert import Expert
    from tutelage.training.fusion.states import States


class SupportsAutoencoder(Generic[C]):
    """A task with models that learn to reconstruct, for their own sake or before anything else."""

    def normal_data(self, data: TaskData) -> TaskData:
        """Return ``data`` with training and validation reduced to what is to be reconstructed.

        By default everything is; a detector of anomalies leaves what is known to be normal.
        """
        return data

    def pretraining(self, config: C, module: TaskModule, data: TaskData) -> Objective | None:
        """Return the objective that ``module`` is pretrained by, or null if its own is enough.

        Args:
            config: The whole run.
            module: The model, fresh.
            data: The data that it is trained on.
        """
        return None


class SupportsCurriculum(ABC, Generic[C]):
    """A task whose training samples can be drawn in any order and mix."""

    @abstractmethod
    def curriculum_data(self, config: C, cache: Path) -> CurriculumData:
        """Return the data that ``config`` names, with batches as a curriculum draws them.

        Args:
            config: The whole run.
            cache: Folder for things that can be made again.
        """


class SupportsDistillation(ABC):
    """A task with models that can teach each other (`training.modes.distillation.Distillable`)."""

    @abstractmethod
    def inputs_differ(self, teacher: Json, student: Json) -> str | None:
        """Say how the inputs of two models differ, if no batch can serve both.

        Args:
            teacher: The preprocessing that the teacher was trained under.
            student: The preprocessing learned from the student's data.
        """

    def teaching_data(self, data: TaskData, teacher: Json) -> TaskData:
        """Return ``data`` with batches that the teacher reads too; by default it reads any.

        Args:
            data: The student's data.
            teacher: The preprocessing that the teacher was trained under.
        """
        return data


class SupportsFusion(ABC):
    """A task whose models can be combined by what they say of held-out samples."""

    @abstractmethod
    def fusion_states(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> States:
        """Return the held-out training samples of ``data`` as a combiner sees them.

        The task's `build` makes a `tutelage.training.fusion.module.CombinerModule` of a model of
        mode *fusion*; the experts to rebuild are in the preprocessing, under ``experts``.

        Args:
            data: The task's data.
            experts: The models to combine, in order.
            cache: Folder for things that can be made again.

        Raises:
            ConfigError: An expert was made for other inputs.
        """

    @abstractmethod
    def keep_held_out(self, data: TaskData, rows: Tensor) -> None:
        """Leave to ``data``, as held out, only those of its samples that no combiner is fitted on.

        Args:
            data: The task's data.
            rows: (m,) ascending, numbers of samples in what `fusion_states` returned.
        """


class SupportsBlending(ABC):
    """A task whose models give distributions, rates or similarities that can be averaged."""

    @abstractmethod
    def opinions(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> Opinions:
        """Return what the experts say of the held-out training rows of ``data``.

        The task's `build` makes a `tutelage.training.blending.module.BlendModule` of a model of
        mode *fusion*; the experts to rebuild are in the preprocessing, under ``experts``.

        Args:
            data: The task's data.
            experts: The models to blend, in order.
            cache: Folder for things that can be made again.

        Raises:
            ConfigError: An expert was made for other inputs.
        """
