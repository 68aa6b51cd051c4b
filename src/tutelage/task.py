"""`Task`: a domain as the core sees it; its capabilities; and how installed tasks are found."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic

from tutelage.capabilities import SupportsAutoencoder as SupportsAutoencoder
from tutelage.capabilities import SupportsBlending as SupportsBlending
from tutelage.capabilities import SupportsCombining as SupportsCombining
from tutelage.capabilities import SupportsCurriculum as SupportsCurriculum
from tutelage.capabilities import SupportsDistillation as SupportsDistillation
from tutelage.capabilities import SupportsExport as SupportsExport
from tutelage.capabilities import SupportsFolds as SupportsFolds
from tutelage.capabilities import SupportsFusion as SupportsFusion
from tutelage.capabilities import SupportsPredictionLines as SupportsPredictionLines
from tutelage.core.config import C, RunConfig
from tutelage.core.errors import ConfigError, RequestError, UnknownNameError
from tutelage.core.files import Json as Json
from tutelage.core.folds import Split, SplitKind
from tutelage.core.installing import install_command
from tutelage.core.overrides import parse_yaml
from tutelage.core.recipes import Recipe, parse_recipe
from tutelage.core.records import AuditStamp, Evaluation, Table

if TYPE_CHECKING:
    from tutelage.training.contracts import TaskData, TaskModule
    from tutelage.training.modes.base import BaseTrainer

PreprocessingStep = Callable[[Json], Json] | str
GROUP = "tutelage.tasks"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A line of a task's table of models.

    Args:
        summary: What it is.
        modes: The modes that can train it.
        guides: Whether its runs can say how hard a sample is, to guide a curriculum.
    """

    summary: str
    modes: tuple[str, ...]
    guides: bool = False


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit of a data set found: the verdict that each record carries, and the tables."""

    stamp: AuditStamp
    tables: tuple[Table, ...]


class Task(ABC, Generic[C]):
    """A domain. A subclass is found through the entry-point group ``tutelage.tasks``.

    Its module must be cheap to import: torch and the like are imported inside the methods, so that
    ``tutelage tasks`` and ``tutelage config`` answer at once.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    data_summary: ClassVar[str]
    """What trains when ``data.root`` is not given."""
    models: ClassVar[Mapping[str, ModelEntry]]
    headline: ClassVar[str]
    """The metric of a split that a table shows first."""
    beside_headline: ClassVar[Mapping[str, str]] = {}
    """Metrics of the model that its results show too, with the heading of each column."""
    group_name: ClassVar[str] = "group"
    """What the groups within a split are: ``split/GROUP/metric`` is a metric of one."""
    config_type: type[C]
    predicts_own_data: ClassVar[bool] = False
    """Whether `predict` may be asked of a run's own data, with no input named."""
    warm_modules: ClassVar[tuple[str, ...]] = ()
    """What a run of this task imports besides torch and Lightning, for processes that are kept
    warm."""
    preprocessing_migrations: ClassVar[tuple[PreprocessingStep, ...]] = ()
    """An entry for each time that what `TaskData.preprocessing` holds, or what it means, changed:
    the function that brings an older card's over that change, or the reason why none can."""

    @property
    def preprocessing_version(self) -> int:
        """The version of what `TaskData.preprocessing` holds, which each model card carries."""
        return 1 + len(self.preprocessing_migrations)

    @abstractmethod
    def data_fingerprint(self, config: C) -> str:
        """Digest the content of the data, without preparing them; `DataError` if there is none."""

    def weights_fingerprint(self, config: C) -> str | None:
        """Digest the weights from elsewhere that the model begins with, if it does."""
        return None

    @abstractmethod
    def datamodule(self, config: C, cache: Path, preprocessing: Json | None = None) -> TaskData:
        """Return the data that ``config`` names.

        Args:
            config: The whole run.
            cache: Folder for things that can be made again.
            preprocessing: What an earlier run learned from its training data (vocabulary,
                baselines); null learns it from these data.
        """

    @abstractmethod
    def build(self, config: C, preprocessing: Json) -> TaskModule:
        """Return the model that ``config`` names, fresh, shaped by ``preprocessing``."""

    @abstractmethod
    def evaluate(self, config: C, module: TaskModule, data: TaskData) -> Evaluation:
        """Score ``module`` on every test split of ``data``, beside the task's trivial baselines."""

    @abstractmethod
    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        """Apply ``module`` to every test sample, labelled or not; a row for each sample."""

    @abstractmethod
    def audit(self, config: C, cache: Path) -> Audit:
        """Look for leakage and damage in the data that ``config`` names."""

    def continues(self, old: Json, new: Json) -> str | None:
        """Say why weights that were trained under ``old`` can't go on under ``new``, if so.

        Args:
            old: The preprocessing of the earlier run.
            new: The preprocessing learned from the data to go on with.
        """
        return None

    def preset(self, name: str) -> Json:
        """Return the settings of a preset of the task; `UnknownNameError` if there is none."""
        known = dict(self.presets())
        if name not in known:
            raise UnknownNameError("preset", name, known, where=self.name)
        return known[name]

    def presets(self) -> Iterator[tuple[str, Json]]:
        """Name and settings of each YAML file in the task's ``presets`` folder."""
        return self._shipped("presets")

    def recipes(self) -> Iterator[Recipe]:
        """The pipelines that ship with the task: each YAML file in its ``recipes`` folder."""
        for name, content in self._shipped("recipes"):
            yield parse_recipe(name, content, f"recipe {name}")

    def spaces(self) -> Iterator[tuple[str, Json]]:
        """Name and content of each search space in the task's ``spaces`` folder."""
        return self._shipped("spaces")

    def _shipped(self, kind: str) -> Iterator[tuple[str, Json]]:
        package = sys.modules[type(self).__module__].__package__
        folder = files(package).joinpath(kind) if package else None  # a task may be one file
        found = folder.iterdir() if folder is not None and folder.is_dir() else ()
        for file in sorted(found, key=lambda f: f.name):
            settings = parse_yaml(file.read_text(encoding="utf-8"))
            assert isinstance(settings, dict)
            yield file.name.removesuffix(".yaml"), settings

    def trainer(self, config: C) -> type[BaseTrainer] | None:
        """Return a trainer of the task's own, in place of the mode's; by default there is none.

        It extends the mode's own, so that the mode's promises hold.
        """
        return None

    def check(self, config: C) -> None:
        """Refuse a model and mode that do not go together, before any work.

        Raises:
            ConfigError: The mode can't train that model.
        """
        modes = self.models[config.model.name].modes
        if config.mode.name not in modes:
            able = [name for name, entry in self.models.items() if config.mode.name in entry.modes]
            fits = ", ".join(f"model={name}" for name in able) or "no model of this task"
            raise ConfigError(
                f"mode {config.mode.name!r} can't train the model {config.model.name!r}",
                where=self.name,
                hint=f"It trains {fits}; {config.model.name!r} takes mode={', '.join(modes)}.",
            )


def load_task(name: str) -> Task[RunConfig]:
    """Return the installed task called ``name``.

    Raises:
        UnknownNameError: No installed package offers it.
        RequestError: Its package can't be imported, or has no such task; the message names what to
            install or to mend.
    """
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if name not in points:
        raise UnknownNameError("task", name, points)
    point = points[name]
    brought_by = point.dist.name if point.dist else "tutelage"
    mend = f"The package {brought_by} offers it as {point.value!r}: mend it there."
    try:
        task: Task[RunConfig] = point.load()()
    except ImportError as error:
        needs = f"pip install '{brought_by}', or mend the import"
        needs = install_command(name) if brought_by == "tutelage" else needs
        hint = f"Install what it needs: {needs}."
        raise RequestError(f"the task can't be loaded: {error}", where=name, hint=hint) from error
    except Exception as error:  # whatever the code of somebody's package may raise
        if brought_by == "tutelage":
            raise
        said = f"{type(error).__name__}: {error}"
        raise RequestError(f"the task can't be loaded: {said}", where=name, hint=mend) from error
    if not isinstance(task, Task) or task.name != name:
        said = f"a task that calls itself {task.name!r}" if isinstance(task, Task) else "no task"
        raise RequestError(
            f"what the package offers under this name is {said}", where=name, hint=mend
        )
    return task


def task_names() -> list[str]:
    """The names of all installed tasks."""
    return sorted(point.name for point in metadata.entry_points(group=GROUP))


def fold_split(
    task: Task[C],
    config: C,
    cache: Path,
    kind: SplitKind | None = None,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
) -> Split:
    """Deal the training pool of ``config`` into folds, as `tutelage.core.dealing.deal` does.

    Without a ``kind`` they are stratified where the data know strata.

    Raises:
        ConfigError: The task has no folds, or its data can't be dealt so.
        DataError: The data are missing or malformed, or too few for so many folds.
    """
    if not isinstance(task, SupportsFolds):
        raise ConfigError("this task's data can't be dealt into folds", where=task.name)
    from tutelage.core.dealing import deal

    units = task.fold_units(config, cache)
    chosen = kind or ("kfold" if units.strata is None else "stratified")
    return deal(units, chosen, folds, repeats, seed, task.name)
