"""A recipe's stages are runs made from earlier ones; each reruns when its own inputs changed."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tiny_fusion import TinyFusionTask
from tiny_task import crash_at, same_bits

from tutelage import api
from tutelage.core.errors import ConfigError, RunFailedError, UnknownNameError
from tutelage.core.recipes import Recipe, read_recipe
from tutelage.core.store import Run, RunStore
from tutelage.training.launch import launch
from tutelage.training.pipeline import Pipeline, PipelineRun, execute
from tutelage.training.planning import find_recipe, plan

RECIPE = """
task: tiny
summary: a reconstructor guides a classifier, which teaches another; both are combined
common:
  training: {accelerator: cpu, max_epochs: 2}
stages:
  normal:
    model: reconstructor
    mode: autoencoder
  big:
    mode: {name: curriculum, guide: normal}
  small:
    model: {name: classifier, hidden: 3}
    mode: {name: distillation, teacher: big}
  both:
    model: combiner
    mode: {name: fusion, experts: [normal, small], folds: 2, passes: 1}
"""
NAMES = ["normal", "big", "small", "both"]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the tiny task by a package, as any plug-in is."""
    info = folder / "site" / "tiny_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tutelage.tasks]\ntiny = tiny_fusion:TinyFusionTask\n")
    monkeypatch.syspath_prepend(folder / "site")


@pytest.fixture(autouse=True)
def tiny_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which every stage was run, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        install(folder, patch)
        path = folder / "tiny-full.yaml"
        path.write_text(RECIPE)
        run(path, RunStore(folder / "home"))
    return folder / "home"


@pytest.fixture
def whole(finished: Path, tmp_path: Path) -> RunStore:
    """A store in which every stage was run."""
    shutil.copytree(finished, tmp_path / "whole")
    return RunStore(tmp_path / "whole")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-full.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "home")


def planned(path: Path, store: RunStore, *overrides: str) -> Pipeline:
    return plan(read_recipe(path), store, overrides)


def run(path: Path, store: RunStore, *overrides: str) -> PipelineRun:
    return execute(planned(path, store, *overrides), store)


def origins(done: PipelineRun) -> list[str]:
    return [stage.origin for stage in done.stages.values()]


def parents(run: Run) -> list[tuple[str, str]]:
    return [(parent.role, parent.run) for parent in run.record.parents]


def test_each_stage_is_made_from_the_runs_of_the_stages_that_it_names(
    file: Path, store: RunStore
) -> None:
    done = run(file, store)
    made = {name: stage.run for name, stage in done.stages.items()}
    assert list(made) == NAMES and origins(done) == ["new"] * 4
    assert parents(made["normal"]) == []
    assert parents(made["big"]) == [("guide", made["normal"].id)]
    assert parents(made["small"]) == [("teacher", made["big"].id)]
    assert parents(made["both"]) == [("expert", made["normal"].id), ("expert", made["small"].id)]
    assert done.run.id == made["both"].id
    for name, stage in made.items():
        assert f"-{name}-" in stage.id and stage.settings["training"]["max_epochs"] == 2  # type: ignore[index]


def test_a_stage_is_the_very_run_that_train_makes_of_its_settings(
    file: Path, whole: RunStore
) -> None:
    done = run(file, whole)
    fast = ("training.accelerator=cpu", "training.max_epochs=2", "model.hidden=3")
    teacher = f"mode.teacher={done.stages['big'].run.id}"
    found = api.train("tiny", *fast, "mode=distillation", teacher, home=whole.home)
    assert found.id == done.stages["small"].run.id


def test_run_again_every_stage_is_reused(file: Path, whole: RunStore) -> None:
    before = [run.id for run in whole.runs()]
    again = run(file, whole)
    assert origins(again) == ["reused"] * 4
    assert [stage.run.id for stage in again.stages.values()] == before


@pytest.mark.parametrize(("override", "reruns"), [
    ("small.model.hidden=4", ["small", "both"]),
    ("big.mode.end_ratio=3", ["big", "small", "both"]),
    ("both.model.kind=mean", ["both"]),
    ("training.seed=5", NAMES),
    ("data.samples=60", NAMES),
    ("run.name=other", []),
])  # fmt: skip
def test_a_stage_reruns_exactly_when_its_own_inputs_changed(
    file: Path, whole: RunStore, override: str, reruns: list[str]
) -> None:
    changed = run(file, whole, override)
    assert [name for name, stage in changed.stages.items() if stage.origin == "new"] == reruns
    assert origins(run(file, whole)) == ["reused"] * 4  # what was there before is there still


def test_a_stage_that_was_cut_goes_on_to_the_same_bits(
    file: Path, store: RunStore, whole: RunStore
) -> None:
    done: list[str] = []
    task = TinyFusionTask(crash_at(7, KeyboardInterrupt()))  # where stage normal has 6 steps
    cut = replace(planned(file, store), task=task)  # type: ignore[arg-type]
    with pytest.raises(RunFailedError, match="stage big, .*interrupted") as caught:
        execute(cut, store, finished=lambda stage, _: done.append(stage.name))
    assert done == ["normal"] and "Run the same pipeline again" in str(caught.value)
    resumed = run(file, store)
    assert origins(resumed) == ["reused", "resumed", "new", "new"]
    assert len(store.runs()) == 4
    assert same_bits(resumed.run, run(file, whole).run)


def test_a_failure_names_the_stage_and_keeps_what_was_finished(file: Path, whole: RunStore) -> None:
    checked = planned(file, whole, "small.model.hidden=5")
    task = TinyFusionTask(crash_at(2, ValueError("broken")))
    with pytest.raises(RunFailedError, match=r"stage small, .*: ValueError: broken") as caught:
        execute(replace(checked, task=task), whole)  # type: ignore[arg-type]
    assert "log.jsonl" in str(caught.value) and "Run the same pipeline again" in str(caught.value)
    again = run(file, whole, "small.model.hidden=5")
    assert origins(again) == ["reused", "reused", "resumed", "new"]


def test_another_policy_is_obeyed_and_no_false_promise_is_made(file: Path, whole: RunStore) -> None:
    forced = run(file, whole, "both.run.policy=force_new")
    assert origins(forced) == ["reused", "reused", "reused", "new"]
    checked = planned(file, whole, "run.policy=force_new")
    task = TinyFusionTask(crash_at(2, KeyboardInterrupt()))
    with pytest.raises(RunFailedError) as caught:
        execute(replace(checked, task=task), whole)  # type: ignore[arg-type]
    assert "Run the same pipeline again" not in str(caught.value)


def test_a_stage_may_be_made_from_a_finished_run_of_before(file: Path, whole: RunStore) -> None:
    teacher = api.train("tiny", "training.accelerator=cpu", "training.seed=9", home=whole.home)
    done = run(file, whole, f"small.mode.teacher={teacher.id}")
    assert parents(done.stages["small"].run) == [("teacher", teacher.id)]
    assert origins(run(file, whole, f"small.mode.teacher={teacher.path}")) == ["reused"] * 4


# ---- settings


def test_settings_for_one_stage_stand_over_those_for_all_in_whatever_order(
    file: Path, store: RunStore
) -> None:
    typed = ("small.training.max_epochs=4", "training.max_epochs=3", "small.mode.alpha=0.5")
    configs = {s.name: s.config for s in planned(file, store, *typed).stages}
    assert [configs[name].training.max_epochs for name in NAMES] == [3, 3, 4, 3]
    assert configs["small"].mode.alpha == 0.5  # type: ignore[attr-defined]
    assert configs["small"].model.hidden == 3  # type: ignore[attr-defined]


def test_python_values_say_the_same_as_typed_settings(file: Path, store: RunStore) -> None:
    typed = planned(file, store, "training.seed=3", "small.model.hidden=4")
    nested = {"training": {"seed": 3}, "small": {"model": {"hidden": 4}}}
    given = plan(read_recipe(file), store, (), nested)
    assert [s.config for s in given.stages] == [s.config for s in typed.stages]


def test_python_runs_a_recipe_as_the_command_does(file: Path, store: RunStore) -> None:
    done = api.pipeline(file, "training.max_epochs=1", home=store.home, small={"preset": None})
    again = api.pipeline(str(file), home=store.home, training={"max_epochs": 1})
    assert origins(again) == ["reused"] * 4
    summary = done.summary()
    assert summary["recipe"] == "tiny-full" and summary["run"] == done.run.id
    assert summary["metrics"] == done.run.metrics
    stages = summary["stages"]
    assert isinstance(stages, dict) and list(stages) == NAMES
    assert stages["big"]["origin"] == "new" and stages["big"]["metrics"]


# ---- recipes that are wrong


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize(("content", "words"), [
    ({"stages": {"a": {}}}, ("names no task",)),
    ({"task": "tiny"}, ("has no stages",)),
    ({"task": "tiny", "stages": []}, ("has no stages",)),
    ({"task": "tinny", "stages": {"a": {}}}, ("unknown task 'tinny'", "'tiny'")),
    ({"task": "tiny", "stagse": {"a": {}}}, ("unknown key 'stagse'", "'stages'")),
    ({"task": "tiny", "summary": 3, "stages": {"a": {}}}, ("summary=3",)),
    ({"task": "tiny", "stages": {"a": "classifier"}}, ("a='classifier'",)),
    ({"task": "tiny", "common": 3, "stages": {"a": {}}}, ("common=3",)),
    ({"task": "tiny", "stages": {"2nd": {}}}, ("'2nd' can't be the name of a stage",)),
    ({"task": "tiny", "stages": {"model": {}}}, ("'model' can't be the name of a stage",)),
    ({"task": "tiny", "stages": {"preset": {}}}, ("'preset' can't be the name of a stage",)),
    ({"task": "tiny", "common": {"model": "classifier"}, "stages": {"a": {}}},
     ("'model' belongs to one stage", "a.model")),
    ({"task": "tiny", "common": {"trainin": {}}, "stages": {"a": {}}}, ("'trainin'", "'training'")),
    ({"task": "tiny", "common": {3: 1}, "stages": {"a": {}}}, ("called 3", "training")),
    ({"task": "tiny", 3: 1, "stages": {"a": {}}}, ("unknown key 3",)),
    ({"task": "tiny", "stages": {"a": {3: 1}}}, ("stage a", "keys should be strings")),
    ({"task": "tiny", "stages": {"a": {"modle": "x"}}}, ("stage a", "'modle'", "'model'")),
    ({"task": "tiny", "stages": {"a": {"training": {"sead": 1}}}},
     ("stage a", "training.sead", "'seed'")),
    ({"task": "tiny", "stages": {"a": {"model": "reconstructor"}}},
     ("stage a", "'normal' can't train")),
    ({"task": "tiny", "stages": {"a": {"preset": "big"}}}, ("stage a", "unknown preset 'big'")),
])  # fmt: skip
def test_a_wrong_recipe_is_refused_with_its_file_and_the_nearest_names(
    tmp_path: Path, store: RunStore, content: object, words: Iterable[str]
) -> None:
    path = write(tmp_path / "mine.yaml", content)
    with pytest.raises(ConfigError) as caught:
        planned(path, store)
    assert str(caught.value).startswith(str(path))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("override", "words"), [
    ("small.mode.teacher=bgi", ("mode.teacher=bgi", "no such stage", "'big'")),
    ("small.mode.teacher=small", ("stage small", "made from itself")),
    ("small.mode.teacher=both", ("comes later", "Before it: normal, big")),
    ("small.mode.teacher=normal", ("'reconstructor' can't be a teacher", "classifier")),
    ("small.mode.teacher=@last", ("stage small", "changes with each run")),
    ("small.mode.teacher=20260101-1", ("no run '20260101-1'",)),
    ("big.mode.guide=small", ("stage big", "comes later")),
    ("both.mode.experts=[small,small]", ("named twice",)),
    ("normal.data.samples=60", ("mode.experts=normal", "other settings of data", "common:")),
    ("small.modle.hidden=3", ("stage small", "'modle'", "'model'")),
    ("smal.model.hidden=3", ("'smal'", "'small'")),
    ("trainin.seed=3", ("'trainin'", "'training'")),
    ("model.hidden=3", ("'model' belongs to one stage", "normal.model")),
    ("small=3", ("small=3", "this is a stage")),
    ("small.preset=big", ("stage small", "unknown preset 'big'")),
    ("task=can", ("'task'",)),
])  # fmt: skip
def test_a_wrong_setting_is_refused_before_any_work(
    file: Path, store: RunStore, override: str, words: Iterable[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(file, store, override)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert store.runs() == []


def test_a_guide_has_to_say_what_is_hard_and_a_fusion_is_no_expert(
    tmp_path: Path, store: RunStore
) -> None:
    content = yaml.safe_load(RECIPE)
    content["stages"]["late"] = {"mode": {"name": "curriculum", "guide": "both"}}
    with pytest.raises(ConfigError, match="stage late: .*'combiner' can't be a guide"):
        planned(write(tmp_path / "mine.yaml", content), store)
    content["stages"]["late"] = {
        "model": "combiner",
        "mode": {"name": "fusion", "experts": ["both", "small"]},
    }
    with pytest.raises(ConfigError, match="stage late: .*itself a fusion"):
        planned(write(tmp_path / "mine.yaml", content), store)


def test_a_run_that_a_stage_names_has_to_be_finished(file: Path, store: RunStore) -> None:
    with pytest.raises(RunFailedError):
        task = TinyFusionTask(crash_at(1, ValueError("broken")))
        launch(task, planned(file, store).stages[0].config, store)  # type: ignore[arg-type]
    (broken,) = store.runs()
    with pytest.raises(ConfigError, match="stage big: .*this run is failed"):
        planned(file, store, f"big.mode.guide={broken.id}")


@pytest.mark.parametrize(
    "text", ["", "- a", "task: tiny\ntask: tiny\n", "task: [", "stages: {a: 1"]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        find_recipe(path)


def test_a_file_that_is_not_there_and_a_name_that_no_task_has_are_told_apart(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        find_recipe(str(tmp_path / "absent.yaml"))
    with pytest.raises(UnknownNameError, match="unknown recipe 'can-ful'\n.*'can-full'"):
        find_recipe("can-ful")


# ---- recipes that ship


def test_a_package_ships_recipes_beside_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: RunStore
) -> None:
    package = tmp_path / "more_tiny"
    (package / "recipes").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from tiny_fusion import TinyFusionTask\n\nclass More(TinyFusionTask):\n    pass\n"
    )
    (package / "recipes" / "tiny-short.yaml").write_text("task: tiny\nstages: {only: {}}\n")
    entry = tmp_path / "site" / "tiny_plugin-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[tutelage.tasks]\ntiny = more_tiny:More\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "more_tiny", raising=False)
    recipe = find_recipe("tiny-short")
    assert isinstance(recipe, Recipe) and list(recipe.stages) == ["only"]
    assert [stage.name for stage in plan(recipe, store).stages] == ["only"]


def test_two_tasks_with_a_recipe_of_one_name_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tmp_path / "site" / "tiny_plugin-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[tutelage.tasks]\ntiny = tiny_can:TinyCAN\n")
    package = tmp_path / "site" / "tiny_can"
    (package / "recipes").mkdir(parents=True)
    (package / "recipes" / "can-full.yaml").write_text("task: can\nstages: {one: {}}\n")
    (package / "__init__.py").write_text(
        "from tutelage.tasks.can import CANTask\nclass TinyCAN(CANTask):\n    name = 'tiny'\n"
    )
    with pytest.raises(ConfigError, match="both have a recipe 'can-full'"):
        find_recipe("can-full")
