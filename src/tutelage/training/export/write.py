"""Write a finished run's model in one of the formats that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tutelage.capabilities import SupportsTransformersExport
from tutelage.core.config import RunConfig
from tutelage.core.files import digest_file, digest_json, write_json
from tutelage.core.store import Run
from tutelage.task import SupportsExport, Task
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.export.card import ExportCard
from tutelage.training.export.onnx_file import export_onnx

FOLDER_CARD = "tutelage.json"
"""The card in an exported folder."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run, restored, with data to check what is exported by.

    Args:
        run: The run.
        task: Its task.
        config: Its configuration.
        module: Its model.
        preprocessing: What it learned from its training data.
        data: Data whose test splits the samples come from.
    """

    run: Run
    task: Task[RunConfig]
    config: RunConfig
    module: TaskModule
    preprocessing: Mapping[str, object]
    data: TaskData

    @property
    def parameters(self) -> int:
        """Numbers that training set in the network."""
        return sum(p.numel() for p in self.module.network.parameters())


def export_file(trained: Trained, path: Path, format: str) -> ExportCard:
    """Write an ONNX file and its card; see `export_onnx`."""
    assert isinstance(trained.task, SupportsExport)
    return export_onnx(
        trained.task.exportable(trained.module, trained.data),
        path,
        run=trained.run.id,
        task=trained.config.task,
        model=trained.config.model.name,
        parameters=trained.parameters,
        preprocessing_digest=digest_json(trained.preprocessing),
        format="onnx-int8" if format == "onnx-int8" else "onnx",
    )


def export_folder(trained: Trained, path: Path) -> ExportCard:
    """Write a folder for `transformers`, with its card in it.

    Raises:
        ConfigError: `transformers` has no such model.
        RunFailedError: Opened there, it says something else.
    """
    import transformers

    assert isinstance(trained.task, SupportsTransformersExport)
    parity = trained.task.save_for_transformers(trained.module, trained.data, path)
    weights = path / "model.safetensors"
    card = ExportCard(
        format="hf",
        run=trained.run.id,
        task=trained.config.task,
        model=trained.config.model.name,
        opset=None,
        exporter=f"transformers {transformers.__version__}",
        parameters=trained.parameters,
        bytes=weights.stat().st_size,
        digest=digest_file(weights),
        inputs={},
        outputs={},
        preprocessing_digest=digest_json(trained.preprocessing),
        facts={},
        parity=parity,
    )
    write_json(path / FOLDER_CARD, card.model_dump(mode="json"))
    return card
