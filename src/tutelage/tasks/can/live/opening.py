"""`open_watch`: a trained detector and a stream, joined into a `CANWatch`."""

from __future__ import annotations

from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.live.scoring import Scorer, TorchScorer
from tutelage.tasks.can.live.sources import open_source
from tutelage.tasks.can.live.standout import Standouts
from tutelage.tasks.can.live.stream import WindowStream
from tutelage.tasks.can.live.watch import CANWatch
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.training.contracts import TaskModule

TORCH, ONNX = "torch", "onnx"


def open_watch(
    config: CANConfig,
    module: TaskModule,
    learned: Preprocessing,
    source: str,
    engine: str = TORCH,
    batch: int | None = None,
    every: bool = False,
) -> CANWatch:
    """Open a source to be judged by a trained detector.

    Args:
        config: The run's configuration.
        module: Its detector.
        learned: What it learned from its training captures.
        source: See `tutelage.tasks.can.live.sources.open_source`.
        engine: `TORCH`, or `ONNX`: faster for a window by itself; exporting takes seconds.
        batch: Windows judged together; null for one of a live source, many of a log.
        every: Whether windows without an alarm are told too.

    Raises:
        ConfigError: The model is a fusion, or the settings need more than the model.
        UnknownNameError: There is no such engine.
        RequestError: The extra ``onnx`` is not installed.
        DataError: The source can't be opened.
    """
    if not isinstance(module, BaseCANGraphModule):
        raise ConfigError(
            f"a fusion ({config.model.name}) can't judge a stream",
            hint="Watch with one of the runs that it combines; its record names them as parents.",
        )
    if config.evaluation.calibration != "none":
        raise ConfigError(
            f"evaluation.calibration={config.evaluation.calibration} needs the whole capture",
            hint="Add evaluation.calibration=none: the model alone judges a stream.",
        )
    if batch is not None and batch < 1:
        raise ConfigError(f"{batch} windows can't be judged together", hint="Give at least 1.")
    data, scaler = config.data, module.input
    scorer = _scorer(engine, module)
    return CANWatch(
        source=open_source(source, data.columns.given()),
        stream=WindowStream(learned.profile, data.window, data.stride),
        scorer=scorer,
        standouts=Standouts(scaler.node_mean.cpu().numpy(), scaler.node_std.cpu().numpy()),
        settings=config.evaluation,
        batch=batch,
        every=every,
    )


def _scorer(engine: str, module: BaseCANGraphModule) -> Scorer:
    if engine == TORCH:
        return TorchScorer(module)
    if engine != ONNX:
        raise UnknownNameError("engine", engine, (TORCH, ONNX))
    from tutelage.tasks.can.onnx_scorer import OnnxScorer

    return OnnxScorer.of(module)
