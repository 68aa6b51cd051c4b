"""What a watch asks for, looked at before anything heavy is imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tutelage.core.errors import RequestError, UnknownNameError
from tutelage.core.installing import install_command
from tutelage.tasks.can.ingest.detect import detect
from tutelage.tasks.can.live.sources import is_log

TORCH, ONNX, COMPILED = "torch", "onnx", "compiled"


def require_stream(source: str, engine: str) -> None:
    """Refuse a log that is none, and an engine that is not there.

    Args:
        source: See `tutelage.tasks.can.live.sources.open_source`.
        engine: `TORCH`, `ONNX` or `COMPILED`.

    Raises:
        UnknownNameError: There is no such engine.
        RequestError: The extra ``live`` is not installed.
        DataError: The file is absent, unreadable, empty, or of no known format.
    """
    if engine not in (TORCH, ONNX, COMPILED):
        raise UnknownNameError("engine", engine, (TORCH, ONNX, COMPILED))
    if engine == COMPILED and find_spec("numba") is None:
        raise RequestError(
            "the compiled engine needs numba", hint=f"Install it: {install_command('live')}"
        )
    if is_log(source):
        detect(Path(source))
