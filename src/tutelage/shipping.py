"""Capabilities of tasks whose models leave Tutelage as a folder for `transformers` or a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tutelage.core.config import RunConfig
    from tutelage.training.contracts import TaskData, TaskModule
    from tutelage.training.export.card import ExportCard, Parity


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
        preprocessing: Mapping[str, object],
        model: bytes,
        card: ExportCard,
        lineage: Mapping[str, object],
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
