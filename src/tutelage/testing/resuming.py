"""`ResumeConformance`: a run that is cut goes on to the bits of the unbroken one, in each mode."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Protocol

from lightning.pytorch import Callback, LightningModule, Trainer

from tutelage.core.config import RunConfig
from tutelage.core.errors import RunFailedError
from tutelage.core.overrides import build_config
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.task import Task
from tutelage.training.checkpoints import CheckpointManager
from tutelage.training.launch import launch
from tutelage.training.modes import MODES, BaseTrainer

RESUMED = (
    "training.checkpoints.every_n_steps=2",
    "training.log_every_n_steps=3",
    "run.policy=resume_if_incomplete",
)
"""Settings of every run of a suite; a run that is cut in an odd step trains a step twice."""


def trained_modes(task: Task[Any]) -> list[str]:
    """The modes that train a model of the task: its cells in `tutelage modes`."""
    return sorted({mode for entry in task.models.values() for mode in entry.modes})


def differing(one: Run, other: Run) -> list[str]:
    """What of two finished runs is not the same to the bit.

    Compared are all files that their records list (weights, card, configuration, what the
    evaluation kept), scores of model and baselines, tables, figures, the epoch of the best weights,
    and each row of `metrics.csv` but for its clock.
    """
    mine, theirs = (dict(_outcome(run)) for run in (one, other))
    return sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))


def _outcome(run: Run) -> Iterator[tuple[str, object]]:
    record = run.record
    for name, artifact in record.artifacts.items():
        yield name, artifact.digest
    yield from (("scores", record.metrics), ("baselines", record.baselines))
    yield from (("tables", record.tables), ("figures", record.figures))
    yield "the best epoch", record.best_epoch
    lines = (run.path / METRICS).read_text(encoding="utf-8").splitlines()
    yield METRICS, [line.rpartition(",")[0] for line in lines]


class Metafunc(Protocol):
    """The part of pytest that a suite uses."""

    fixturenames: list[str]

    def parametrize(self, name: str, values: Sequence[str]) -> None:
        """Run the test once for each value."""


class ResumeConformance:
    """A run in any mode that is cut within an epoch goes on to the bits of the unbroken one.

    Extend it in a file of tests; pytest finds the rest. Each mode that trains a model of the task
    needs a cell: one that has none fails. A cell may name finished runs, which are trained first::

        class TestResume(ResumeConformance):
            task = MyTask()
            small = ("data.samples=40", "training.max_epochs=3")
            donors = {"teacher": ("model.hidden=8",)}
            cells = {
                "normal": (),
                "distillation": ("mode=distillation", "mode.teacher={teacher}"),
            }
    """

    task: ClassVar[Task[Any]]
    small: ClassVar[Sequence[str]] = ()
    """Settings of every run: few data, and several epochs of few steps."""
    donors: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Settings of each run that cells name."""
    cells: ClassVar[Mapping[str, Sequence[str]]]
    """Settings of a run for each cell, whose name is what you like."""
    _home: ClassVar[tempfile.TemporaryDirectory[str]]
    _trained: ClassVar[dict[str, str]]

    @classmethod
    def setup_class(cls) -> None:
        """Make a home for the donors."""
        cls._home, cls._trained = tempfile.TemporaryDirectory(), {}

    @classmethod
    def teardown_class(cls) -> None:
        """Remove it."""
        cls._home.cleanup()

    def pytest_generate_tests(self, metafunc: Metafunc) -> None:
        """Ask for each cell, and for each mode that has none."""
        if "cell" in metafunc.fixturenames:
            unnamed = {name: name for name in self.donors}
            there = {self._config(cell, unnamed).mode.name for cell in self.cells.values()}
            missing = [mode for mode in trained_modes(self.task) if mode not in there]
            metafunc.parametrize("cell", [*self.cells, *missing])

    def test_a_run_that_is_cut_goes_on_to_the_bits_of_the_unbroken_one(
        self, cell: str, tmp_path: Path
    ) -> None:
        """Train one run unbroken; cut the same in a late step, let it go on, and compare."""
        said = f"no cell of {type(self).__name__} trains {self.task.name!r} in mode {cell!r}"
        assert cell in self.cells, said
        config = self._config(self.cells[cell], self._donors_of(self.cells[cell]))
        homes = [tmp_path / name for name in ("whole", "cut")]
        for home in homes:
            shutil.copytree(self._home.name, home)
        steps: list[int] = []
        whole = self._train(config, homes[0], _Steps(steps))
        assert steps, f"{cell!r} trains no step: is it the same run as a donor?"
        cut = (2 * steps[-1] // 3) | 1
        assert 3 <= cut <= steps[-1], f"a run of {steps[-1] + 1} steps is too short to be cut"
        self._cut(config, homes[1], cut)
        again: list[int] = []
        resumed = self._train(config, homes[1], _Steps(again))
        assert again[0] in (cut - 1, cut), f"cut in step {cut}, went on from {again[0]}"
        apart = differing(whole, resumed)
        assert not apart, f"not the same: {', '.join(apart)}"

    # ---- helpers

    def _config(self, settings: Sequence[str], donors: Mapping[str, str]) -> RunConfig:
        """The configuration of a run, in which donors are called by their ids."""
        named = [*self.small, *settings, *RESUMED]
        for name, run in donors.items():
            named = [text.replace(f"{{{name}}}", run) for text in named]
        config: RunConfig = build_config(self.task.config_type, [], named)
        return config

    def _donors_of(self, settings: Sequence[str]) -> dict[str, str]:
        """Train the donors that a cell names, if that was not done; return their ids."""
        for name, own in self.donors.items():
            if name not in self._trained and any(f"{{{name}}}" in text for text in settings):
                config = self._config(own, self._donors_of(own))
                made = launch(self.task, config, RunStore(Path(self._home.name)))
                self._trained[name] = made.run.id
        return self._trained

    def _train(self, config: RunConfig, home: Path, steps: Callback) -> Run:
        return launch(_beside(self.task, steps), config, RunStore(home)).run

    def _cut(self, config: RunConfig, home: Path, step: int) -> None:
        """Train until that step breaks.

        Raises:
            RunFailedError: It broke elsewhere.
        """
        try:
            self._train(config, home, _Steps([], step))
        except RunFailedError as error:
            if not isinstance(error.__cause__, _CutError):
                raise
        else:
            raise AssertionError(f"the run has no step {step} to be cut in")


class _CutError(Exception):
    """Stands for the death of a process."""


class _Steps(Callback):
    """Notes the number of each step, and breaks one."""

    def __init__(self, steps: list[int], cut: int | None = None) -> None:
        self.steps, self.cut = steps, cut

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        self.steps.append(trainer.global_step)
        if trainer.global_step == self.cut:
            raise _CutError


def _beside(task: Task[Any], callback: Callback) -> Task[Any]:
    """The task, whose trainers call ``callback`` too."""

    def trainer(config: RunConfig) -> type[BaseTrainer]:
        kind = task.trainer(config) or MODES.get(config.mode.name)

        def callbacks(
            self: BaseTrainer, manager: CheckpointManager, monitor: str
        ) -> list[Callback]:
            return [callback, *kind._callbacks(self, manager, monitor)]

        return type(kind.__name__, (kind,), {"_callbacks": callbacks})

    twin = copy(task)
    setattr(twin, "trainer", trainer)  # noqa: B010 - a method of this one object
    return twin
