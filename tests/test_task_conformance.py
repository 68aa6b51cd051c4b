"""The suite that every task passes fails for a task that breaks a promise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from new_task import Digits, DigitsConfig
from tutelage.core.records import Evaluation
from tutelage.task import ModelEntry, Task, load_task, task_names
from tutelage.testing import TaskConformance, offered
from tutelage.training.contracts import TaskData, TaskModule

SMALL = ("training.max_steps=1", "training.accelerator=cpu")


@contextmanager
def suite_of(task: Task[Any]) -> Iterator[TaskConformance]:
    """The suite of a task, with a home."""
    made = type("Suite", (TaskConformance,), {"task": task, "small": SMALL})()
    made.setup_class()
    try:
        yield made
    finally:
        made.teardown_class()


def test_a_suite_has_a_cell_for_each_mode_and_the_donors_that_these_need() -> None:
    class Suite(TaskConformance):
        task = Digits  # type: ignore[assignment]  # or made, as below

    model = "model=convnet"
    assert Suite.cells == {
        "normal": ("mode=normal", model),
        "curriculum": ("mode=curriculum", model, "mode.guide={guide_1}"),
        "distillation": ("mode=distillation", model, "mode.teacher={teacher_1}"),
    }
    plain = ("mode=normal", model, "training.seed=1")
    assert Suite.donors == {"guide_1": plain, "teacher_1": plain}


def test_experts_are_two() -> None:
    class Fused(Digits):
        models: ClassVar = {**Digits.models, "mean": ModelEntry("an average", ("fusion",))}

    class Suite(TaskConformance):
        task = Fused()

    assert Suite.cells["fusion"][2] == "mode.experts=[{experts_1},{experts_2}]"
    assert [Suite.donors[f"experts_{n}"][2] for n in (1, 2)] == [
        "training.seed=1",
        "training.seed=2",
    ]


@pytest.mark.system
def test_a_task_is_offered_only_meanwhile() -> None:
    with offered(Digits()) as folder:
        assert folder is not None and isinstance(load_task("digits"), Digits)
    assert "digits" not in task_names() and str(folder) not in sys.path
    with offered(load_task("can")) as folder:
        assert folder is None


def test_a_task_that_imports_torch_at_once_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "eager_task.py").write_text(
        "import torch\nfrom new_task import Digits\nclass Eager(Digits):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    eager = import_module("eager_task").Eager()
    with suite_of(eager) as suite, pytest.raises(AssertionError, match="imports torch"):
        suite.test_it_is_named_before_anything_heavy_is_imported()


def test_a_table_of_models_that_is_not_true_fails() -> None:
    class Promises(Digits):
        models: ClassVar = {**Digits.models, "resnet": ModelEntry("a dream", ("normal",))}

    with (
        suite_of(Promises()) as suite,
        pytest.raises(AssertionError, match="resnet in mode normal: listed True, else False"),
    ):
        suite.test_every_model_takes_the_modes_that_it_names_and_no_other()


def test_data_whose_digest_changes_by_itself_fail() -> None:
    class Fickle(Digits):
        numbers = count()

        def data_fingerprint(self, config: DigitsConfig) -> str:
            return f"digits-{next(self.numbers)}"

    with suite_of(Fickle()) as suite, pytest.raises(AssertionError):
        suite.test_its_data_are_told_apart_audited_and_dealt_into_folds(Path())


def test_a_task_that_trains_on_something_else_where_data_are_absent_fails(tmp_path: Path) -> None:
    class Falls(Digits):
        def examples(self, config: DigitsConfig) -> Any:
            return super().examples(DigitsConfig())

    with (
        suite_of(Falls()) as suite,
        pytest.raises(AssertionError, match=r"data\.root=absent is not refused"),
    ):
        suite.test_what_can_not_be_is_refused_and_nothing_is_left(tmp_path)


def test_scores_that_stand_alone_fail() -> None:
    class Boasts(Digits):
        def evaluate(self, config: DigitsConfig, module: TaskModule, data: TaskData) -> Evaluation:
            return super().evaluate(config, module, data).model_copy(update={"baselines": {}})

    with suite_of(Boasts()) as suite, pytest.raises(AssertionError, match="no baseline has"):
        suite.test_a_run_is_scored_beside_baselines_and_reported()
