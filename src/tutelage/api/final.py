"""The model to ship, as a person and a Python caller ask for it: trained, exported, judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.api.dispatch import Dispatch
from tutelage.api.exporting import export
from tutelage.core.config import RunConfig
from tutelage.core.files import digest_file
from tutelage.core.store import WEIGHTS, Run, RunStore
from tutelage.final import training
from tutelage.final.config import FinalConfig, Format, read_final_config
from tutelage.final.manifest import ExportedFile
from tutelage.final.source import Origin, find_origin
from tutelage.task import Task

if TYPE_CHECKING:
    from rich.console import Console

    from tutelage.final.training import FinalRun


@dataclass(frozen=True, slots=True)
class FinalPlan:
    """The training of a model to ship, checked.

    Args:
        origin: The run or study whose settings it has.
        settings: What is asked of it.
        config: The run to be made.
        store: Where runs live.
    """

    origin: Origin
    settings: FinalConfig
    config: RunConfig
    store: RunStore


def plan_final_training(
    source: Run | str, *overrides: str, home: Path | str | None = None
) -> FinalPlan:
    """Return what `execute_final_training` would train; nothing is made.

    Raises:
        RequestError: The request is wrong.
    """
    settings, rest = read_final_config(overrides)
    store = RunStore.at(home)
    origin = find_origin(str(source.path) if isinstance(source, Run) else source, store)
    config = training.plan_final(origin, settings, rest, store)
    return FinalPlan(origin, settings, config, store)


def execute_final_training(
    source: Run | str,
    *overrides: str,
    home: Path | str | None = None,
    console: Console | None = None,
) -> FinalRun:
    """Train the model to ship by the settings of a run, or of what a study chose; export and judge.

    ``execute_final_training("@last", "final.export=onnx", "final.gate.metric=test/f1",
    "final.gate.minimum=0.4")`` is ``tutelage final @last final.export=onnx …``.

    Args:
        source: A finished run or a finished study.
        overrides: ``final.…`` settings, and settings of the run over those of the source.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.
        console: Where to draw progress.

    Returns:
        The run and its manifest, which says whether it passed.

    Raises:
        RequestError: The request is wrong; nothing was made.
        RunFailedError: Training failed, or an exported file says something else than the model.
    """
    plan = plan_final_training(source, *overrides, home=home)
    settings, store = plan.settings, plan.store
    if set(settings.export) - {"hf"}:
        from tutelage.training.export.runtime import require_exporter

        require_exporter()

    def train(task: Task[RunConfig], wanted: RunConfig) -> Run:
        with Dispatch() as launcher:
            return launcher(task, wanted, store, console).run

    def write(run: Run, name: Format) -> ExportedFile:
        card = (exported := export(run, format=name, home=store.home)).card
        file = exported.path / WEIGHTS if name == "hf" else exported.path
        slowest = max((row.p50_ms for row in card.latency if row.engine == name), default=None)
        return ExportedFile(
            path=file.relative_to(run.path).as_posix(),
            digest=digest_file(file),
            format=name,
            bytes=card.bytes,
            latency_p50_ms=slowest,
        )

    final = training.execute_final_training(plan.origin, settings, plan.config, store, train, write)
    store.note_last(final.run)
    return final
