"""What a final training takes its settings from: a finished run, or what a study chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, StoreError
from tutelage.core.overrides import build_config
from tutelage.core.store import Run, RunStore
from tutelage.final.data_checks import read_config
from tutelage.final.manifest import read_manifest
from tutelage.hpo.results import StudyFolder, find_study
from tutelage.task import SupportsFolds, Task, load_task
from tutelage.training.parents import how_to_go_on

_UNHELD = {"early_stopping": {"patience": None}, "monitor": None}
"""What decides by held-out data, of which there are none where all train."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the settings come from.

    Args:
        task: The task.
        run: The run that has the settings and the weights that may be begun with.
        config: Its configuration.
        names: What the manifest says: ``kind``, ``run``, ``study``, ``trial``.
    """

    task: Task[RunConfig]
    run: Run
    config: RunConfig
    names: Mapping[str, str]


def find_origin(name: str, store: RunStore) -> Origin:
    """Return the run or the study of that id, unique prefix or path; ``@last`` is a run.

    Of a study it is the first refit, by its seed: to choose one by its score on the tests would be
    to fit the tests.

    Raises:
        StoreError: There is none, both are called so, it isn't finished, or it has no refit.
    """
    study = _study(name, store)
    run = _run(name, store)
    if study is not None and run is not None:
        hint = "Write more of it, or the path of its folder."
        raise StoreError(f"{name!r} fits a run and a study", where=store.home, hint=hint)
    if study is not None:
        return _of_study(study, store)
    if run is None:
        run = store.find(name)  # says what there is
    return _of_run(run, {"kind": "run", "run": run.id})


def _study(name: str, store: RunStore) -> StudyFolder | None:
    try:
        return None if name == "@last" else find_study(store.home, name)
    except StoreError:
        return None


def _run(name: str, store: RunStore) -> Run | None:
    try:
        return store.find(name)
    except StoreError:
        return None


def _of_study(study: StudyFolder, store: RunStore) -> Origin:
    record = study.record
    if record.status != "finished":
        hint = "Finish it: run the same `tutelage hpo` again."
        raise StoreError(f"this study is {record.status}", where=study.id, hint=hint)
    if (model := record.model) is None:
        hint = "Refit what it chose (hpo.refit=all), or name one of its runs."
        raise StoreError("this study has no refit", where=study.id, hint=hint)
    names = {"kind": "study", "study": study.id, "trial": str(record.chosen), "run": model.run}
    return _of_run(store.find(model.run), names)


def _of_run(run: Run, names: Mapping[str, str]) -> Origin:
    if run.status != "finished":
        hint = f"Finish it: {how_to_go_on(run)}."
        raise StoreError(f"this run is {run.status}", where=run.id, hint=hint)
    task = load_task(run.record.task)
    return Origin(task, run, read_config(run, task), names)


def on_all_data(origin: Origin, config: RunConfig) -> RunConfig:
    """Let a configuration train on the whole pool, up to the epoch that was best for its origin.

    Raises:
        ConfigError: The task can't, or the epoch isn't known.
    """
    if config.data.fold == "all":
        return config
    hint = "Set final.on=split to train as the run did, with held-out data to stop by."
    if not isinstance(origin.task, SupportsFolds) or config.mode.name == "fusion":
        said = "this task's data have no folds"
        if config.mode.name == "fusion":
            said = "a fusion is fitted to held-out data"
        raise ConfigError(f"{said}: it can't train on all", where=origin.run.id, hint=hint)
    epoch = config.training.stop_epoch or origin.run.record.best_epoch
    if epoch is None:
        hint = "Set training.stop_epoch, or final.on=split."
        raise ConfigError("its best epoch isn't known", where=origin.run.id, hint=hint)
    layers = [
        config.model_dump(mode="json"),
        {
            "data": {"fold": "all", "split_file": None},
            "training": {**_UNHELD, "stop_epoch": min(epoch, config.training.max_epochs)},
        },
    ]
    return build_config(type(config), layers)


def newest_shipped(config: RunConfig, store: RunStore) -> Run:
    """Return the newest model of the same task, mode and model that passed its gates.

    Raises:
        StoreError: There is none, or a manifest is damaged.
    """
    names = (config.task, config.mode.name, config.model.name)
    for run, record in reversed(store.readable()):
        if (record.task, record.mode, record.model) != names or record.status != "finished":
            continue
        manifest = read_manifest(run)
        if manifest is not None and manifest.passed:
            return run
    hint = "Ship one first, with final.source=scratch."
    raise StoreError(f"no {' '.join(names)} was shipped yet", where=store.home, hint=hint)
