"""onnxruntime as this package uses it: on one thread, from files of known content."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.core.errors import CheckpointError, RequestError
from tutelage.core.files import digest_bytes
from tutelage.core.installing import install_command
from tutelage.training.export.card import ExportCard, read_export_card

if TYPE_CHECKING:
    import onnxruntime

ERRORS_ONLY = 3
_SLOWER = ["SkipLayerNormFusion"]
"""Optimisations that are none: on a CPU that kernel takes four times as long as its parts."""


def require_exporter() -> None:
    """Import what exporting to ONNX takes.

    Raises:
        RequestError: A package of the extra ``onnx`` is missing.
    """
    for name in ("onnxruntime", "onnx", "onnxscript"):
        _require(name)


def _require(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as error:
        hint = f"Install it: {install_command('onnx')}."
        raise RequestError(f"ONNX needs {name}: {error}", hint=hint) from error


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return a session that runs a model on the CPU.

    Args:
        model: Content of an ONNX file with all its weights in it.
        threads: Threads that one call may use.

    Raises:
        RequestError: onnxruntime is not installed.
        CheckpointError: It is no model, or one that this onnxruntime can't run.
    """
    _require("onnxruntime")
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    refusals = (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
        )
    except refusals as error:
        said = f"onnxruntime {onnxruntime.__version__} can't run this model: {error}"
        raise CheckpointError(said, hint="Export the run again.") from error


def read_exported(path: Path) -> tuple[bytes, ExportCard]:
    """Return an exported file's content and card.

    Raises:
        CheckpointError: One is missing, or the file is not the one that the card is about.
    """
    card = read_export_card(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        said = error.strerror or str(error)
        raise CheckpointError(f"can't be read: {said}", where=path) from error
    if digest_bytes(content) != card.digest:
        hint = "The file is truncated or altered: export the run again."
        raise CheckpointError("differs from its card's digest", where=path, hint=hint)
    return content, card
