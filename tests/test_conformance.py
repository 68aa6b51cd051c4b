"""Every cell of `tutelage modes`, cut within a run, goes on to the same bits; none is left out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import pytest

from resume_cells import TASKS
from tutelage.task import load_task, task_names
from tutelage.testing import ResumeConformance

for folder in ("training", "tasks/can", "tasks/multimodal"):
    sys.path.insert(0, str(Path(__file__).parent / folder))
from made_captures import write_drive  # noqa: E402
from made_pairs import make_folder  # noqa: E402
from tiny_task import Batch, TinyModule, TinyTask  # noqa: E402

pytestmark = pytest.mark.system

SHORT = ("training.max_epochs=2",)


class OwnTask(ResumeConformance):
    """The suite of a task that ships with Tutelage."""

    def __init_subclass__(cls, task: str) -> None:
        chosen = TASKS[task]
        cls.task, cls.small = load_task(task), (*chosen.small, *SHORT)
        cls.donors, cls.cells = chosen.donors, chosen.cells


class TestCAN(OwnTask, task="can"):
    @classmethod
    def setup_class(cls) -> None:
        super().setup_class()
        root = Path(cls._home.name) / "captures"
        write_drive(root / "train_01" / "dos.csv", 1, "dos", seconds=10)
        write_drive(root / "test_01" / "fuzzing.csv", 2, "fuzzing", seconds=5)
        cls.small = (*cls.small, f"data.root={root}", "training.batch_size=16")


class TestMultimodal(OwnTask, task="multimodal"):
    @classmethod
    def setup_class(cls) -> None:
        super().setup_class()
        root = make_folder(Path(cls._home.name) / "drawings", copies=1)
        cls.small = (*cls.small, f"data.root={root}", "data.languages=[]", "training.batch_size=16")


class TestNER(OwnTask, task="ner"):
    pass


class TestNeural(OwnTask, task="neural"):
    pass


class TestTiny(ResumeConformance):
    """A task from outside."""

    task = TinyTask()
    small = ("training.accelerator=cpu", "model.hidden=4")
    donors: ClassVar = {"teacher": ("training.seed=1",)}
    cells: ClassVar = {
        "normal": (),
        "autoencoder": ("mode=autoencoder",),
        "curriculum": ("mode=curriculum", "mode.memory.name=replay"),
        "distillation": ("mode=distillation", "mode.teacher={teacher}"),
    }


def test_every_task_that_ships_with_tutelage_has_a_suite() -> None:
    own = [n for n in task_names() if type(load_task(n)).__module__.startswith("tutelage.")]
    suites = (TestCAN, TestMultimodal, TestNER, TestNeural)
    assert own == sorted(TASKS) == [suite.task.name for suite in suites]


def cut(suite: ResumeConformance, cell: str, tmp_path: Path) -> None:
    """Run the suite's test of one cell."""
    suite.setup_class()
    try:
        suite.test_a_run_that_is_cut_goes_on_to_the_bits_of_the_unbroken_one(cell, tmp_path)
    finally:
        suite.teardown_class()


def test_a_mode_without_a_cell_fails(tmp_path: Path) -> None:
    class Forgets(TestTiny):
        cells: ClassVar = {"normal": ()}

    class Asked:
        fixturenames: ClassVar = ["cell", "tmp_path"]

        def parametrize(self, name: str, values: list[str]) -> None:
            self.values = values

    asked = Asked()
    Forgets().pytest_generate_tests(asked)
    assert asked.values == ["normal", "autoencoder", "curriculum", "distillation"]
    with pytest.raises(AssertionError, match="no cell of Forgets trains 'tiny' in mode 'curric"):
        cut(Forgets(), "curriculum", tmp_path)


def test_a_task_that_keeps_a_state_out_of_its_checkpoints_fails(tmp_path: Path) -> None:
    seen: list[int] = []

    def remembers(module: TinyModule, batch: Batch) -> None:
        seen.append(1)
        batch[0].mul_(1 + len(seen) / 1000)

    class Inexact(TestTiny):
        task = TinyTask(remembers)

    with pytest.raises(AssertionError, match=r"not the same: .*model\.safetensors"):
        cut(Inexact(), "normal", tmp_path)


def test_a_cell_that_is_a_donor_fails(tmp_path: Path) -> None:
    class Same(TestTiny):
        donors: ClassVar = {"teacher": ()}
        cells: ClassVar = {"normal": ("run.tags.taught_by={teacher}",)}

    with pytest.raises(AssertionError, match="'normal' trains no step"):
        cut(Same(), "normal", tmp_path)


def test_a_run_too_short_to_be_cut_fails(tmp_path: Path) -> None:
    class Short(TestTiny):
        small = (*TestTiny.small, "training.max_epochs=1", "training.batch_size=70")

    with pytest.raises(AssertionError, match="of 1 steps is too short"):
        cut(Short(), "normal", tmp_path)
