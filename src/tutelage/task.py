"""`Task`: a domain as the core sees it; its capabilities; and how installed tasks are found."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RequestError, UnknownNameError
from tutelage.core.folds import FoldUnits, Split, SplitKind
from tutelage.core.overrides import parse_yaml
from tutelage.core.recipes import Recipe, parse_recipe
from tutelage.core.records import AuditStamp, Evaluation, Table

if TYPE_CHECKING:
    from torch import Tensor

    from tutelage.training.blending.opinions import Opinions
    from tutelage.training.contracts import Objective, TaskData, TaskModule
    from tutelage.training.curriculum import CurriculumData
    from tutelage.training.export.form import Exportable
    from tutelage.training.fusion.expert import Expert
    from tutelage.training.fusion.states import States
    from tutelage.training.modes.base import BaseTrainer

C = TypeVar("C", bound=RunConfig)
Json = Mapping[str, object]
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


class SupportsAutoencoder(Generic[C]):
    """A task with models that learn to reconstruct, for their own sake or before anything else."""

    def normal_data(self, data: TaskData) -> TaskData:
        """Return ``data`` with training and validation reduced to what is to be reconstructed.

        By default everything is; a detector of anomalies leaves what is known to be normal.
        """
        return data

    def pretraining(self, config: C, module: TaskModule, data: TaskData) -> Objective | None:
        """Return the objective that ``module`` is pretrained by, or null if its own is enough.

        Args:
            config: The whole run.
            module: The model, fresh.
            data: The data that it is trained on.
        """
        return None


class SupportsCurriculum(ABC, Generic[C]):
    """A task whose training samples can be drawn in any order and mix."""

    @abstractmethod
    def curriculum_data(self, config: C, cache: Path) -> CurriculumData:
        """Return the data that ``config`` names, with batches as a curriculum draws them.

        Args:
            config: The whole run.
            cache: Folder for things that can be made again.
        """


class SupportsDistillation(ABC):
    """A task with models that can teach each other (`training.modes.distillation.Distillable`)."""

    @abstractmethod
    def inputs_differ(self, teacher: Json, student: Json) -> str | None:
        """Say how the inputs of two models differ, if no batch can serve both.

        Args:
            teacher: The preprocessing that the teacher was trained under.
            student: The preprocessing learned from the student's data.
        """

    def teaching_data(self, data: TaskData, teacher: Json) -> TaskData:
        """Return ``data`` with batches that the teacher reads too; by default it reads any.

        Args:
            data: The student's data.
            teacher: The preprocessing that the teacher was trained under.
        """
        return data


class SupportsFusion(ABC):
    """A task whose models can be combined by what they say of held-out samples."""

    @abstractmethod
    def fusion_states(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> States:
        """Return the held-out training samples of ``data`` as a combiner sees them.

        The task's `build` makes a `tutelage.training.fusion.module.CombinerModule` of a model of
        mode *fusion*; the experts to rebuild are in the preprocessing, under ``experts``.

        Args:
            data: The task's data.
            experts: The models to combine, in order.
            cache: Folder for things that can be made again.

        Raises:
            ConfigError: An expert was made for other inputs.
        """

    @abstractmethod
    def keep_held_out(self, data: TaskData, rows: Tensor) -> None:
        """Leave to ``data``, as held out, only those of its samples that no combiner is fitted on.

        Args:
            data: The task's data.
            rows: (m,) ascending, numbers of samples in what `fusion_states` returned.
        """


class SupportsBlending(ABC):
    """A task whose models give distributions, rates or similarities that can be averaged."""

    @abstractmethod
    def opinions(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> Opinions:
        """Return what the experts say of the held-out training rows of ``data``.

        The task's `build` makes a `tutelage.training.blending.module.BlendModule` of a model of
        mode *fusion*; the experts to rebuild are in the preprocessing, under ``experts``.

        Args:
            data: The task's data.
            experts: The models to blend, in order.
            cache: Folder for things that can be made again.

        Raises:
            ConfigError: An expert was made for other inputs.
        """


class SupportsFolds(ABC, Generic[C]):
    """A task whose training data can be dealt into folds, for a cross-validation.

    Its `datamodule` heeds ``data.fold``: with a number, the training pool (what would train or
    validate) trains but for the units that `tutelage.core.folds.held_out_units` says; these
    validate, and are the one test split, called ``held_out``; test data are not read. With
    ``all``, the whole pool trains, nothing validates, and the tests are as ever.
    """

    @abstractmethod
    def fold_units(self, config: C, cache: Path) -> FoldUnits:
        """Return what folds are dealt from: the training pool that ``config`` names, in units.

        A unit is what the task's own split keeps whole, and is named by what is in it, so that the
        same data have the same names wherever they lie. Settings of folds in ``config`` do not
        count, nor are test data read that are known as such by their name.
        """

    @abstractmethod
    def predicted_units(self, data: TaskData) -> Sequence[str]:
        """Return the unit of each held-out row, in order.

        Args:
            data: The data of a run with ``data.fold=K``, set up.

        Returns:
            (rows,) one for each line of `predict_lines` where the task has that, else for each row
            of all tables of `predict`.
        """


class SupportsCombining(ABC, Generic[C]):
    """A task that can put new data together with older ones, such as those of an earlier run."""

    @abstractmethod
    def combined(self, config: C, older: C, how: str) -> C:
        """Return a configuration whose data are put together with those of another.

        Args:
            config: Names the new data.
            older: Names the older ones.
            how: ``new_only``, ``combined`` or ``append``.

        Raises:
            ConfigError: The older data can't be combined with others.
        """


class SupportsPredictionLines(ABC):
    """A task whose predictions are not cells of a table, such as the entities of a text."""

    @abstractmethod
    def predict_lines(self, module: TaskModule, data: TaskData) -> Iterator[Json]:
        """Apply ``module`` to every sample, labelled or not; a JSON object for each, in order."""


class SupportsExport(ABC):
    """A task with models that can leave Tutelage as files for other runtimes."""

    exported_models: ClassVar[tuple[str, ...]]
    """Names of the models that `exportable` takes."""

    @abstractmethod
    def exportable(self, module: TaskModule, data: TaskData) -> Exportable:
        """Return ``module`` in the form in which it is exported, with samples to check it by.

        Args:
            module: A trained model of `exported_models`.
            data: Data to take the samples from: its test splits.
        """


def load_task(name: str) -> Task[RunConfig]:
    """Return the installed task called ``name``.

    Raises:
        UnknownNameError: No installed package offers it.
        RequestError: Its package can't be imported; the message names the extra to install.
    """
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if name not in points:
        raise UnknownNameError("task", name, points)
    try:
        task: Task[RunConfig] = points[name].load()()
    except ImportError as error:
        hint = f"Install what it needs: pip install 'tutelage[{name}]'."
        raise RequestError(f"the task can't be loaded: {error}", where=name, hint=hint) from error
    return task


def task_names() -> list[str]:
    """The names of all installed tasks."""
    return sorted(point.name for point in metadata.entry_points(group=GROUP))


def fold_split(
    task: Task[C],
    config: C,
    cache: Path,
    kind: SplitKind | None = "kfold",
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
