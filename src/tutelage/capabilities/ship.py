"""Capabilities of a task whose models leave Tutelage: as lines, files, a folder or a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tutelage.core.files import Json

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tutelage.core.config import RunConfig
    from tutelage.training.contracts import TaskData, TaskModule
    from tutelage.training.export.card import ExportCard, Parity
    from tutelage.training.export.form import Exportable


class SupportsPredictionLines(ABC):
    """A task whose predictions are not cells of a table, such as the entities of a text."""

    @abstractmethod
    def predict_lines(self, module: TaskModule, data: TaskData) -> Iterator[Json]:
        """Apply ``module`` to every sample, labelled or not; a JSON object for each, in order."""


class SupportsExport(ABC):
    """A task with models that can leave Tutelage as files for other runtimes."""

    exported_models: ClassVar[tuple[str, ...]]
    """Names of the models that `exportable` takes."""

    @abstractmethod
    def exportable(self, module: TaskModule, data: TaskData) -> Exportable:
        """Return ``module`` in the form in which it is exported, with samples to check it by.

        Args:
            module: A trained model of `exported_models`.
            data: Data to take the samples from: its test splits.
        """


class SupportsTransformersExport(ABC):
    """A task with models that `transformers` has too."""

    @abstractmethod
    def save_for_transformers(self, module: TaskModule, data: TaskData, folder: Path) -> Parity:
        """Write ``module`` as a folder that `transformers` opens, and compare what it says there.

        Args:
            module: A trained model.
            data: Data to take samples from: its test splits.
            folder: Made when needed.

        Raises:
            ConfigError: `transformers` has no such model.
            RunFailedError: Opened there, it says something else.
        """


class SupportsService(ABC):
    """A task whose exported models can answer over HTTP."""

    @abstractmethod
    def service(
        self,
        config: RunConfig,
        preprocessing: Json,
        model: bytes,
        card: ExportCard,
        lineage: Json,
        limits: Mapping[str, int],
    ) -> ASGIApp:
        """Return an application that answers by an exported model, without torch.

        Args:
            config: The run's configuration.
            preprocessing: What it learned from its training data.
            model: Content of its ONNX file.
            card: The card of that file.
            lineage: What the service says of where its model comes from.
            limits: The most that it takes, by name; what is not given has a default.

        Raises:
            ConfigError: There is no such limit.
            RequestError: The extra ``serve`` is not installed.
        """
