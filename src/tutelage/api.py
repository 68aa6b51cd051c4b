"""The Python interface: what a person can type, a caller can do; both go through the same door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, StorageError, UnknownNameError
from tutelage.core.extras import require_extra
from tutelage.core.files import write_files, write_json
from tutelage.core.overrides import build_config, read_config_file
from tutelage.core.records import AuditStamp, Evaluation, Table, now
from tutelage.core.store import Run, RunStore
from tutelage.dispatch import Dispatch
from tutelage.restoring import FREE, LoadedRun, restore, restore_model, run_config
from tutelage.task import Audit, Json, SupportsPredictionLines, Task, load_task
from tutelage.training.pipeline import PipelineRun, execute
from tutelage.training.planning import find_recipe, plan
from tutelage.watching import SupportsWatch, Watch

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tutelage.training.export.card import ExportCard

Settings = Mapping[str, object]
EXPORTED_AS = {"onnx": "model.onnx", "onnx-int8": "model-int8.onnx", "hf": "hf"}
"""What models are exported as, and what the file or folder is called."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A run's scores on some data, the audit's stamp on those data, and the file of the result."""

    run: Run
    evaluation: Evaluation
    audit: AuditStamp
    path: Path

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints: the shape of `RunRecord.summary`."""
        record = self.run.record
        scored = record.model_copy(
            update={"metrics": self.evaluation.metrics, "baselines": self.evaluation.baselines}
        )
        return scored.summary(self.run.path)


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported model: the file, and what the card beside it says."""

    run: Run
    path: Path
    card: ExportCard

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints: the card, with the file's place."""
        return {"path": str(self.path.absolute())} | self.card.model_dump(mode="json")


def configure(
    task: str,
    overrides: Iterable[str] = (),
    *,
    preset: str | None = None,
    config: Path | None = None,
    settings: Settings | None = None,
) -> tuple[Task[RunConfig], RunConfig]:
    """Return a task that can work, and its validated configuration, as `resolve` does.

    Raises:
        UnknownNameError: No such task or preset.
        ConfigError: A setting is unknown or wrong.
        RequestError: What the task needs is not installed.
    """
    found, resolved = resolve(task, overrides, preset=preset, config=config, settings=settings)
    require_extra(found.name)
    return found, resolved


def resolve(
    task: str,
    overrides: Iterable[str] = (),
    *,
    preset: str | None = None,
    config: Path | None = None,
    settings: Settings | None = None,
) -> tuple[Task[RunConfig], RunConfig]:
    """Return the task and its validated configuration: preset, file, settings, then overrides.

    Raises:
        UnknownNameError: No such task or preset.
        ConfigError: A setting is unknown or wrong.
    """
    found = load_task(task)
    layers: list[Settings] = [found.preset(preset)] if preset else []
    if config is not None:
        layers.append(read_config_file(config))
    if settings:
        layers.append(settings)
    resolved = build_config(found.config_type, layers, overrides)
    found.check(resolved)
    return found, resolved


def train(
    task: str,
    *overrides: str,
    preset: str | None = None,
    config: Path | str | None = None,
    home: Path | str | None = None,
    **settings: object,
) -> LoadedRun:
    """Train and return a finished run, as `run.policy` says.

    ``tutelage.train("can", mode="autoencoder", model="vgae", training={"max_epochs": 5})`` is
    ``tutelage train can mode=autoencoder model=vgae training.max_epochs=5``.

    Args:
        task: Name of an installed task.
        overrides: Settings as typed: ``"training.max_epochs=5"``.
        preset: One of the task's presets.
        config: YAML or JSON file of settings.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.
        settings: Sections as mappings, or names: ``mode="autoencoder"``.

    Raises:
        RequestError: The request is wrong; nothing was made.
        RunFailedError: The run failed; its record says why.
    """
    file = None if config is None else Path(config)
    found, resolved = configure(task, overrides, preset=preset, config=file, settings=settings)
    with Dispatch() as go:
        return LoadedRun(go(found, resolved, _store(home)).run.path)


def pipeline(
    recipe: str | Path, *overrides: str, home: Path | str | None = None, **settings: object
) -> PipelineRun:
    """Run the stages of a recipe, each made from earlier ones; reuse those that nothing changed.

    ``tutelage.pipeline("can-full", data={"root": "captures"}, student={"model": {"hidden": 16}})``
    is ``tutelage pipeline can-full data.root=captures student.model.hidden=16``.

    Args:
        recipe: Name of a recipe of an installed task, or the path of your own.
        overrides: Settings as typed, for every stage or, led by a stage's name, for that.
        home: Where runs live; by default ``TUTELAGE_HOME``, or ``./runs``.
        settings: Sections for every stage, and stages with sections of their own, as mappings.

    Raises:
        RequestError: The recipe or a setting is wrong, or a stage can't use its data.
        RunFailedError: A stage failed; run the same again to go on.
    """
    store = _store(home)
    with Dispatch() as go:
        return execute(plan(find_recipe(recipe), store, overrides, settings), store, launcher=go)


def load_run(name: str, home: Path | str | None = None) -> LoadedRun:
    """Return a run by id, unique prefix, path or ``@last``: its scores, model and predictions.

    Raises:
        StoreError: There is none, or the name fits several.
    """
    return LoadedRun(_store(home).find(name).path)


def evaluate(run: Run | str, *overrides: str, home: Path | str | None = None) -> Evaluated:
    """Score a finished run, on its own test data or on what ``data.…`` overrides name.

    Overrides ``evaluation.…``, where the task has them, say how it is scored.

    The result is kept in the run's folder, under ``evaluations``, its files in a folder beside it.

    Raises:
        StoreError: The run isn't finished.
        CheckpointError: Its weights or their card are damaged or were changed.
        ConfigError: An override is not about data.
        DataError: The data are missing, malformed or unlabelled.
    """
    store = _store(home)
    found = store.find(run) if isinstance(run, str) else run
    task, config, module, data = restore(found, overrides, store)
    evaluation = task.evaluate(config, module, data)
    folder = found.path / "evaluations"
    folder.mkdir(exist_ok=True)
    path = folder / f"{now():%Y%m%d-%H%M%S-%f}.json"
    stamp = data.audit.beside(found.record.parents)
    result = Evaluated(found, evaluation, stamp, path)
    dumped = config.model_dump(mode="json")
    source = {name: dumped[name] for name in FREE if name in dumped}
    if evaluation.files:
        path.with_suffix("").mkdir()
        write_files(path.with_suffix(""), evaluation.files)
    write_json(path, result.summary() | source | {"audit": stamp.model_dump(mode="json")})
    return result


def predict(
    run: Run | str, source: Path | str | None, *overrides: str, home: Path | str | None = None
) -> tuple[Table, ...]:
    """Apply a finished run to unlabelled data, by default its own; a table for each input.

    Raises:
        StoreError: The run isn't finished.
        CheckpointError: Its weights or their card are damaged or were changed.
        DataError: The data are missing or malformed.
    """
    store = _store(home)
    found = store.find(run) if isinstance(run, str) else run
    task, _, module, data = restore(found, overrides, store, source)
    return task.predict(module, data)


def predict_lines(
    run: Run | str, source: Path | str | None, *overrides: str, home: Path | str | None = None
) -> Iterator[Json]:
    """Apply a finished run to unlabelled data; a JSON object for each sample.

    Raises:
        StoreError: The run isn't finished.
        CheckpointError: Its weights or their card are damaged or were changed.
        ConfigError: The task's predictions are rows of a table: use `predict`.
        DataError: The data are missing or malformed.
    """
    store = _store(home)
    found = store.find(run) if isinstance(run, str) else run
    task, _, module, data = restore(found, overrides, store, source)
    if not isinstance(task, SupportsPredictionLines):
        hint = "Take them as tables, with `tutelage.predict`."
        raise ConfigError("this task's predictions are rows of a table", where=task.name, hint=hint)
    return task.predict_lines(module, data)


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
    store = _store(home)
    found = store.find(run) if isinstance(run, str) else run
    path = found.path / EXPORTED_AS[format] if out is None else Path(out)
    if not path.parent.is_dir():
        raise StorageError("there is no such folder to write to", where=path.parent)
    from tutelage.training.export.write import Trained, export_file, export_folder, require_export
    from tutelage.training.model_card import read_preprocessing

    require_export(found, format)
    task, config, module, data = restore(found, overrides, store)
    trained = Trained(found, task, config, module, read_preprocessing(found.path, task), data)
    write = export_folder if format == "hf" else partial(export_file, format=format)
    return Exported(found, path, write(trained, path))


def service(
    run: Run | str,
    *overrides: str,
    format: str = "onnx",
    model: Path | str | None = None,
    limits: Mapping[str, int] = MappingProxyType({}),
    home: Path | str | None = None,
) -> ASGIApp:
    """Return a web application that answers by a finished run's ONNX file.

    That is ``model``, or the one in the run's folder, which is exported there if it is missing.
    ``limits`` are the most that a request may ask, by name. It raises what `export` does, and
    `TutelageError` where the task has no service or the file is of another run.
    """
    from tutelage.serving import build_service, require_service
    from tutelage.training.model_card import read_preprocessing

    found = _store(home).find(run) if isinstance(run, str) else run
    task, config = run_config(found, overrides)
    require_service(task, format)
    file = found.path / EXPORTED_AS[format] if model is None else Path(model)
    if model is None and not file.exists():
        export(found, *overrides, format=format, home=home)
    return build_service(task, config, found, read_preprocessing(found.path, task), file, limits)


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
    found = _store(home).find(run) if isinstance(run, str) else run
    task, config, module, learned = restore_model(found, overrides)
    if not isinstance(task, SupportsWatch):
        hint = "Use `tutelage predict` on its data."
        raise ConfigError("this task has no models that judge streams", where=task.name, hint=hint)
    cache = _store(home).cache(task.name)
    return task.watch(
        config, module, learned, str(source), cache, engine=engine, batch=batch, every=every
    )


def audit(task: str, *overrides: str, home: Path | str | None = None) -> Audit:
    """Look for leakage and damage in a task's data.

    Raises:
        DataError: The data are missing, unreadable or malformed.
    """
    found, config = configure(task, overrides)
    return found.audit(config, _store(home).cache(task))


def _store(home: Path | str | None) -> RunStore:
    return RunStore.default() if home is None else RunStore(Path(home))
