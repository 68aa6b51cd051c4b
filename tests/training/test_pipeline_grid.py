"""A stage with a grid is a family of stages; later stages may be made from all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_pipeline import install
from tiny_task import same_bits

from tutelage.core.errors import ConfigError
from tutelage.core.recipes import read_recipe
from tutelage.core.store import RunStore
from tutelage.training.pipeline import Pipeline, execute
from tutelage.training.planning import plan

RECIPE = """
task: tiny
common:
  training: {accelerator: cpu, max_epochs: 1}
stages:
  base:
    model: classifier
  student:
    model: classifier
    mode: {name: distillation, teacher: base}
    grid:
      training.seed: [0, 1]
      model.hidden: [3, 4]
  both:
    model: combiner
    mode: {name: fusion, experts: [base, student], folds: 2, passes: 1}
"""
STUDENTS = ["student-1", "student-2", "student-3", "student-4"]


@pytest.fixture(autouse=True)
def tiny_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


def planned(folder: Path, *overrides: str, recipe: str = RECIPE, **settings: object) -> Pipeline:
    path = folder / "grid.yaml"
    path.write_text(recipe)
    return plan(read_recipe(path), RunStore(folder / "home"), overrides, settings)


def values(pipeline: Pipeline) -> list[tuple[int, int]]:
    return [
        (stage.config.training.seed, stage.config.model.hidden)  # type: ignore[attr-defined]
        for stage in pipeline.stages
        if stage.name in STUDENTS
    ]


def test_each_choice_of_values_is_a_stage_and_the_last_setting_changes_fastest(
    tmp_path: Path,
) -> None:
    pipeline = planned(tmp_path)
    assert [stage.name for stage in pipeline.stages] == ["base", *STUDENTS, "both"]
    assert values(pipeline) == [(0, 3), (0, 4), (1, 3), (1, 4)]
    assert pipeline.stages[2].varied == {"training.seed": 0, "model.hidden": 4}
    assert all(stage.uses == ("base",) for stage in pipeline.stages[1:5])


def test_a_later_stage_is_made_from_the_whole_family(tmp_path: Path) -> None:
    pipeline = planned(tmp_path)
    assert pipeline.stages[-1].uses == ("base", *STUDENTS)
    done = execute(pipeline, RunStore(tmp_path / "home"))
    made = [done.stages[name].run for name in ("base", *STUDENTS)]
    experts = [parent.run for parent in done.run.record.parents]
    assert experts == [run.id for run in made]
    assert not any(same_bits(made[1], other) for other in made[2:])
    again = execute(planned(tmp_path), RunStore(tmp_path / "home"))
    assert {stage.origin for stage in again.stages.values()} == {"reused"}


def test_a_setting_is_for_the_family_or_for_one_of_it(tmp_path: Path) -> None:
    typed = ("student-2.mode.alpha=0.25", "student.mode.alpha=0.5", "student-3.model.hidden=9")
    pipeline = planned(tmp_path, *typed, student={"training": {"max_epochs": 3}})
    assert [s.config.mode.alpha for s in pipeline.stages[1:5]] == [0.5, 0.25, 0.5, 0.5]  # type: ignore[union-attr]
    assert [s.config.training.max_epochs for s in pipeline.stages] == [1, 3, 3, 3, 3, 1]
    assert values(pipeline)[2] == (1, 9)


@pytest.mark.parametrize("override", ["student.model.hidden=5", "training.seed=7"])
def test_what_would_make_the_family_all_alike_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="the grid of 'student' gives"):
        planned(tmp_path, override)


def test_one_run_can_not_be_a_family(tmp_path: Path) -> None:
    recipe = RECIPE.replace("combiner", "classifier").replace(
        "name: fusion, experts: [base, student], folds: 2, passes: 1",
        "name: distillation, teacher: student",
    )
    with pytest.raises(ConfigError, match="not a family") as refusal:
        planned(tmp_path, recipe=recipe)
    assert "student-1, student-2" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("grid: {}", "it holds no settings"),
        ("grid: [1]", "it holds no settings"),
        ("grid: {model.hidden: 3}", "no list of values"),
        ("grid: {model.hidden: []}", "no list of values"),
        ("grid: {model.hidden: [3, 3]}", "the value 3 twice"),
        ("grid: {model..hidden: [3]}", "'model..hidden' is no setting"),
        ("grid: {7: [3]}", "7 is no setting"),
        (
            "grid: {training.scheduler: [{}], training.scheduler.name: [step]}",
            "vary the same setting",
        ),
        ("grid: {model.name: [classifier]}", "the stage gives 'model.name' as well"),
        ("grid: {model.hiden: [3]}", "unknown setting 'model.hiden'"),
    ],
)
def test_a_wrong_grid_is_refused_with_its_place(tmp_path: Path, wrong: str, said: str) -> None:
    recipe = f"task: tiny\nstages:\n  one:\n    model: {{name: classifier}}\n    {wrong}\n"
    with pytest.raises(ConfigError) as refusal:
        planned(tmp_path, recipe=recipe)
    assert said in str(refusal.value)
    assert "grid.yaml, stage one" in str(refusal.value.where) and refusal.value.hint


def test_a_stage_and_one_of_a_family_can_not_share_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'student-1' is a stage, and one of the grid"):
        planned(tmp_path, recipe=RECIPE.replace("  base:", "  student-1:"))
