"""`open_watch`: a trained detector and a stream, joined into a `CANWatch`."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.core.errors import ConfigError
from tutelage.core.installing import install_command
from tutelage.tasks.can.baseline import KnownDrives
from tutelage.tasks.can.calibration import scale_of
from tutelage.tasks.can.captures import load_dataset
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.datamodule import EVALUATION_BATCH
from tutelage.tasks.can.live.calibrated import CalibratedJudge, Calibration
from tutelage.tasks.can.live.judges import Judge, PlainJudge, Waiting
from tutelage.tasks.can.live.request import COMPILED, TORCH, require_stream
from tutelage.tasks.can.live.scoring import Scorer, TorchScorer
from tutelage.tasks.can.live.sources import is_log, open_source
from tutelage.tasks.can.live.standout import Standouts
from tutelage.tasks.can.live.stream import WindowStream
from tutelage.tasks.can.live.watch import CANWatch
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.profile import TrafficProfile
from tutelage.training.contracts import TaskModule

if TYPE_CHECKING:
    from tutelage.tasks.can.live.lone import LoneWindow

_log = logging.getLogger(__name__)


def open_watch(
    config: CANConfig,
    module: TaskModule,
    learned: Preprocessing,
    source: str,
    cache: Path,
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
        cache: Folder of parsed captures, for drives to calibrate on.
        engine: ``torch``; or ``onnx``, faster for a window by itself, or ``compiled``, the fastest,
            for a gat. Exporting and compiling take seconds.
        batch: Windows judged together; null for one of a live source, many of a log.
        every: Whether windows without an alarm are told too.

    Raises:
        ConfigError: The model is a fusion, or ``batch`` is below 1.
        UnknownNameError: There is no such engine.
        RequestError: The extra ``onnx`` or ``live`` is not installed.
        DataError: The source can't be opened, or the drives to calibrate on can't be read.
    """
    require_stream(source, engine)
    if not isinstance(module, BaseCANGraphModule):
        raise ConfigError(
            f"a fusion ({config.model.name}) can't judge a stream",
            hint="Watch with one of the runs that it combines; its record names them as parents.",
        )
    if batch is not None and batch < 1:
        raise ConfigError(f"{batch} windows can't be judged together", hint="Give at least 1.")
    data, settings, scaler = config.data, config.evaluation, module.input
    scorer, drives = _scorer(engine, module), _drives(config, cache)
    least = batch or (EVALUATION_BATCH if is_log(source) else 1)
    lone = _lone(learned.profile, scorer) if engine != TORCH and least == 1 else None
    waiting = Waiting(least, batch or EVALUATION_BATCH)
    judge: Judge
    if settings.calibration == "none":
        stream = WindowStream(learned.profile, data.window, data.stride, lone)
        judge = PlainJudge(stream, scorer, waiting)
    else:
        how = Calibration(source, data, settings, learned, drives, scale_of(module), lone)
        judge = CalibratedJudge(how, scorer, waiting)
    return CANWatch(
        source=open_source(source, data.columns.given()),
        judge=judge,
        standouts=Standouts(scaler.node_mean.cpu().numpy(), scaler.node_std.cpu().numpy()),
        settings=settings,
        every=every,
    )


def _lone(profile: TrafficProfile, scorer: Scorer) -> type[LoneWindow] | None:
    """Return what describes lone windows fastest, once both are compiled; null without numba."""
    if find_spec("numba") is None:
        _log.info(
            "numba is not installed, so each window takes longer: %s", install_command("live")
        )
        return None
    from tutelage.tasks.can.live.lone import LoneWindow

    scorer.scores(LoneWindow.compile(profile))
    return LoneWindow


def _drives(config: CANConfig, cache: Path) -> KnownDrives | None:
    """Learn from the drives that are named, before the stream begins."""
    settings = config.evaluation
    if settings.calibration != "drives" or settings.drives is None:
        return None
    named = config.data.model_copy(update={"root": settings.drives})
    drives = KnownDrives(load_dataset(named, cache), config.data.window)
    drives.prepare()
    return drives


def _scorer(engine: str, module: BaseCANGraphModule) -> Scorer:
    if engine == TORCH:
        return TorchScorer(module)
    if engine == COMPILED:
        from tutelage.tasks.can.live.compiled_scorer import CompiledScorer

        return CompiledScorer(module)
    from tutelage.tasks.can.onnx_scorer import OnnxScorer

    return OnnxScorer.of(module)
