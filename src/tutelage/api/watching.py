"""`watch`: a stream judged by a finished run while it goes on."""

from __future__ import annotations

from pathlib import Path

from tutelage.api.restoring import restore_model
from tutelage.capabilities import SupportsWatch, Watch
from tutelage.core.errors import ConfigError
from tutelage.core.store import Run, RunStore
from tutelage.task import load_task


def watch(
    run: Run | str,
    source: Path | str,
    *overrides: str,
    engine: str = "torch",
    batch: int | None = None,
    every: bool = False,
    home: Path | str | None = None,
) -> Watch:
    """Open a stream to be judged by a finished run, for tasks that can: for CAN a log or a bus.

    ``with tutelage.watch("@last", "socketcan:can0") as watch: for verdict in watch.verdicts(): …``

    Args:
        run: The run.
        source: Names the stream.
        overrides: Settings of data and evaluation, as typed.
        engine: What runs the model: ``torch``, or ``onnx`` for onnxruntime.
        batch: Samples judged together; by default what suits the stream.
        every: Whether samples without an alarm are told too.
        home: Where runs live.

    Raises:
        StoreError: The run isn't finished.
        CheckpointError: Its weights or their card are damaged or were changed.
        ConfigError: The run's model or the settings are not for streams.
        UnknownNameError: There is no such engine.
        RequestError: What the engine takes is not installed.
        DataError: The stream can't be opened.
    """
    found = RunStore.at(home).find(run)
    task = load_task(found.record.task)
    if not isinstance(task, SupportsWatch):  # before anything heavy is imported
        hint = "Use `tutelage predict` on its data."
        raise ConfigError("this task has no models that judge streams", where=task.name, hint=hint)
    task.require_stream(str(source), engine)
    _, config, module, learned = restore_model(found, overrides)
    cache = RunStore.at(home).cache(task.name)
    return task.watch(
        config, module, learned, str(source), cache, engine=engine, batch=batch, every=every
    )
