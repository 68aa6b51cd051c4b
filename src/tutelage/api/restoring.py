"""A finished run's model and data, rebuilt; and `LoadedRun`, which has them at hand."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, StoreError
from tutelage.core.extras import require_extra
from tutelage.core.files import Json
from tutelage.core.migrations import migrate_config
from tutelage.core.overrides import build_config, parse_override
from tutelage.core.records import Table
from tutelage.core.store import CONFIG, Run, RunStore
from tutelage.task import Task, load_task
from tutelage.training.parents import how_to_go_on

if TYPE_CHECKING:
    from tutelage.training.contracts import TaskData, TaskModule

FREE = ("data", "evaluation")
"""Sections that may change after training."""


class LoadedRun(Run):
    """A run with its model at hand, as Python callers get it."""

    @cached_property
    def model(self) -> TaskModule:
        """The trained model, a `torch.nn.Module` in evaluation, rebuilt from its card.

        Raises:
            StoreError: The run isn't finished.
            CheckpointError: Its weights or their card are damaged or were changed.
        """
        return restore_model(self, ())[2]

    def predict(self, source: Path | str | None = None, *overrides: str) -> tuple[Table, ...]:
        """Apply the run to data, labelled or not, by default its own; a table for each input.

        Args:
            source: File or folder of data.
            overrides: Settings of data and evaluation, as typed.

        Raises:
            StoreError: The run isn't finished.
            CheckpointError: Its weights or their card are damaged or were changed.
            DataError: The data are missing or malformed.
        """
        store = RunStore(self.path.parent)
        task, _, module, data = restore(self, overrides, store, source)
        return task.predict(module, data)


def load_run(name: str, home: Path | str | None = None) -> LoadedRun:
    """Return a run by id, unique prefix, path or ``@last``: its scores, model and predictions.

    Raises:
        StoreError: There is none, or the name fits several.
    """
    return LoadedRun(RunStore.at(home).find(name).path)


def run_config(run: Run, overrides: Iterable[str] = ()) -> tuple[Task[RunConfig], RunConfig]:
    """Return a run's task and its configuration, with what training does not read changed.

    That is its data, and the section `evaluation` where the task has one. Other data are not those
    that its fold is of.

    Raises:
        ConfigError: An override is of another section or is wrong, or the run's ``config.json`` is.
    """
    given = tuple(overrides)
    task = load_task(run.record.task)
    free = [name for name in FREE if name in task.config_type.model_fields]
    for text in given:
        if parse_override(text)[0][0] not in free:
            may = " and ".join(f"{name}.…" for name in free)
            raise ConfigError(
                f"{text!r} can't change a finished run", hint=f"Only {may} settings may change."
            )
    path = run.path / CONFIG
    settings = migrate_config(run.settings, path)
    build_config(task.config_type, [settings], where=path)  # so that a wrong file is named
    if any(parse_override(text)[0][:2] in (("data",), ("data", "root")) for text in given):
        data = settings.get("data")
        assert isinstance(data, dict)
        own = {key: value for key, value in data.items() if key not in ("split_file", "fold")}
        settings = {**settings, "data": own}
    return task, build_config(task.config_type, [settings], given)


def restore(
    run: Run, overrides: Iterable[str], store: RunStore, source: Path | str | None = None
) -> tuple[Task[RunConfig], RunConfig, TaskModule, TaskData]:
    """Rebuild a finished run's model from its card, and the data to apply it to.

    Args:
        run: The run.
        overrides: Settings of data and evaluation, as typed.
        store: Where data are cached.
        source: ``data.root`` over the run's own, to predict all of it.
    """
    rooted = (*overrides,) if source is None else (*overrides, f"data.root={source}")
    task, config, module, learned = restore_model(run, rooted)
    data = task.datamodule(config, store.cache(task.name), learned)
    data.setup("test" if source is None else "predict")
    return task, config, module, data


def restore_model(
    run: Run, overrides: Iterable[str]
) -> tuple[Task[RunConfig], RunConfig, TaskModule, Json]:
    """Rebuild a finished run's model from its card; return what it learned before training too."""
    from tutelage.training.model_card import read_preprocessing
    from tutelage.training.restore import restore_module

    if run.status != "finished":
        hint = f"Finish it: {how_to_go_on(run)}."
        raise StoreError(f"this run is {run.status}", where=run.id, hint=hint)
    require_extra(run.record.task)
    task, config = run_config(run, overrides)
    module = restore_module(task, run)
    return task, config, module, read_preprocessing(run.path, task)
