"""`export`: a finished run's model as a file for other runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.api.restoring import restore
from tutelage.core.errors import StorageError, UnknownNameError
from tutelage.core.store import Run, RunStore

if TYPE_CHECKING:
    from tutelage.training.export.card import ExportCard

EXPORTED_AS = {"onnx": "model.onnx", "onnx-int8": "model-int8.onnx", "hf": "hf"}
"""What models are exported as, and what the file or folder is called."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported model: the file, and what the card beside it says."""

    run: Run
    path: Path
    card: ExportCard

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints: the card, with the file's place."""
        return {"path": str(self.path.absolute())} | self.card.model_dump(mode="json")


def export(
    run: Run | str,
    *overrides: str,
    out: Path | str | None = None,
    format: str = "onnx",
    home: Path | str | None = None,
) -> Exported:
    """Write a finished run's model as a file for other runtimes, checked on real samples.

    Args:
        run: The run.
        overrides: ``data.…`` settings, to check the file by other data than the run's own.
        out: The file, or the folder of ``hf``; by default in the run's folder. A card, which has
            ``.json`` after the file's name, says where it comes from and how it was checked; that
            of a folder is ``tutelage.json`` in it.
        format: ``onnx``; ``onnx-int8``, matrices as 8-bit integers, refused if they cost the model
            more than 0.02 of its metric; or ``hf``, a folder that transformers opens.
        home: Where runs live.

    Raises:
        RequestError: There is no such format, its extra is not installed, the run isn't finished,
            its model can't be exported so, or its files or the data are missing or damaged.
        RunFailedError: The file says something else than the model; nothing was written.
    """
    if format not in EXPORTED_AS:
        raise UnknownNameError("format", format, EXPORTED_AS)
    store = RunStore.at(home)
    found = store.find(run)
    path = found.path / EXPORTED_AS[format] if out is None else Path(out)
    if not path.parent.is_dir():
        raise StorageError("there is no such folder to write to", where=path.parent)
    from tutelage.training.export.require import require_export

    require_export(found, format)
    from tutelage.training.export.write import Trained, export_file, export_folder
    from tutelage.training.model_card import read_preprocessing

    task, config, module, data = restore(found, overrides, store)
    trained = Trained(found, task, config, module, read_preprocessing(found.path, task), data)
    write = export_folder if format == "hf" else partial(export_file, format=format)
    return Exported(found, path, write(trained, path))
