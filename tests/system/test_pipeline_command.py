"""The recipe that ships with the CAN task, as a person runs it: again, changed, and killed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from command import Tutelage, assert_refused, record

from tutelage import api

SMALL = (
    "data.simulated_seconds=5",
    "training.max_epochs=2",
    "training.checkpoints.every_n_steps=10",
    "training.batch_size=64",
    "vgae.model.hidden=2",
    "gat.model.hidden=2",
    "student.model.hidden=2",
    "fusion.mode.folds=2",
    "fusion.mode.passes=1",
)
STAGES = ["vgae", "gat", "student", "fusion"]
NAMING_MODULES = """
import sys
from tutelage.cli import main
try:
    main()
finally:
    print("loaded", *sorted(set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tutelage:
    """A home in which the recipe was run."""
    folder = tmp_path_factory.mktemp("whole")
    tutelage = Tutelage(folder / "home", folder)
    said = tutelage.done("pipeline", "can-full", *SMALL)
    for number, name in enumerate(STAGES, 1):
        assert f"[{number}/4] {name} · model" in said.err
        assert f"[{number}/4] {name} trained in" in said.err
    assert "f1 by stage and test split" in said.out and "two_gap" in said.out
    for run in tutelage.runs():
        assert run.name in said.out
    return tutelage


def told(tutelage: Tutelage, *settings: str) -> Mapping[str, Mapping[str, object]]:
    """Run the recipe and return what ``--json`` says of each stage."""
    answer = tutelage.done("pipeline", "can-full", *SMALL, *settings, "--json").json
    stages = answer["stages"]
    assert isinstance(stages, dict) and list(stages) == STAGES
    assert answer["run"] == stages["fusion"]["run"]
    assert answer["metrics"] == stages["fusion"]["metrics"] and answer["baselines"]
    return stages


def origins(stages: Mapping[str, Mapping[str, object]]) -> list[object]:
    return [stage["origin"] for stage in stages.values()]


def test_run_again_every_stage_is_reused_without_importing_torch(whole: Tutelage) -> None:
    command = (sys.executable, "-c", NAMING_MODULES)
    again = whole("pipeline", "can-full", *SMALL, command=command)
    assert again.code == 0 and again.err.count(" reused in ") == 4
    loaded = again.err.partition("loaded ")[2].split()
    assert "tutelage.training.pipeline" in loaded and "torch" not in loaded


def test_another_width_of_the_student_trains_student_and_fusion_alone(
    whole: Tutelage, tutelage: Tutelage
) -> None:
    tutelage.copy_from(whole)
    before = [run.name for run in whole.runs()]
    stages = told(tutelage, "student.model.hidden=3")
    assert origins(stages) == ["reused", "reused", "new", "new"]
    assert [stages[name]["run"] for name in ("vgae", "gat")] == before[:2]
    parents = [{"run": stages[name]["run"], "role": "expert", "same_data": True}
               for name in ("vgae", "student")]  # fmt: skip
    assert stages["fusion"]["parents"] == parents


def test_lineage_leads_from_the_fusion_back_to_the_data(whole: Tutelage) -> None:
    names = dict(zip(STAGES, (run.name for run in whole.runs()), strict=True))
    tree = whole.done("runs", "lineage", names["fusion"], "--json").json
    vgae, student = tree["parents"]  # type: ignore[misc]
    (gat,) = student["parents"]
    (guide,) = gat["parents"]
    found = [vgae["run"], student["run"], gat["run"], guide["run"]]
    assert found == [names[name] for name in ("vgae", "student", "gat", "vgae")]
    data = record(whole.runs()[0])["fingerprints"]["data"]  # type: ignore[index]
    assert guide["data"] == data == tree["data"] and guide["source"] == "embedded"


def test_a_killed_pipeline_goes_on_to_the_same_weights(whole: Tutelage, tutelage: Tutelage) -> None:
    process = tutelage.start("pipeline", "can-full", *SMALL)
    while process.poll() is None:
        if list(tutelage.home.glob("*-gat-curriculum-*/checkpoints/step-*.json")):
            process.kill()
    tutelage.finish(process)
    assert [record(run)["status"] for run in tutelage.runs()] == ["finished", "running"]
    stages = told(tutelage)
    assert origins(stages) == ["reused", "resumed", "new", "new"]
    for mine, theirs in zip(tutelage.runs(), whole.runs(), strict=True):
        assert weights(mine) == weights(theirs)


def weights(run: Path) -> object:
    return record(run)["artifacts"]["model.safetensors"]["digest"]  # type: ignore[index]


def test_python_finds_the_very_same_runs(whole: Tutelage) -> None:
    settings = [text for text in SMALL if not text.startswith("student")]
    done = api.pipeline("can-full", *settings, home=whole.home, student={"model": {"hidden": 2}})
    assert [stage.run.id for stage in done.stages.values()] == [run.name for run in whole.runs()]
    assert done.run.metrics == record(whole.runs()[-1])["metrics"]


def test_recipes_are_listed(tutelage: Tutelage) -> None:
    assert "can-full" in tutelage.done("pipeline", "--list").out
    listed = tutelage.done("pipeline", "--list", "--json").json["recipes"]
    assert listed["can-full"]["stages"] == STAGES  # type: ignore[index]


GOOD = "task: can\nstages:\n  a: {model: vgae, mode: autoencoder}\n"


@pytest.mark.parametrize(("recipe", "settings", "words"), [
    ("can-ful", (), ("unknown recipe 'can-ful'", "'can-full'")),
    (None, (), ("no recipe is named", "--list")),
    ("can-full", ("studnet.model.hidden=3",), ("'studnet'", "'student'")),
    ("can-full", ("student.model.hiden=3",), ("recipe can-full, stage student", "'hidden'")),
    ("can-full", ("model.hidden=3",), ("'model' belongs to one stage",)),
    ("can-full", ("data.root=absent",), ("absent",)),
    ("can-full", ("gat.mode.guide=fusion",), ("stage gat", "comes later")),
    ("absent.yaml", (), ("absent.yaml", "no such file")),
    (GOOD + "  b: {mode: {name: distillation, teacher: a}}\n", (),
     ("mine.yaml, stage b", "mode.teacher=a", "'vgae' can't be a teacher", "gat")),
    (GOOD + "  b: {mode: {name: distillation}}\n", (), ("stage b", "mode.teacher is missing")),
    (GOOD + "  a: {}\n", (), ("mine.yaml", "'a' stands twice")),
    (GOOD + "stage: {}\n", (), ("mine.yaml", "unknown key 'stage'", "'stages'")),
    ("\0", (), ("mine.yaml", "can't be read")),
], ids=str)  # fmt: skip
def test_a_wrong_request_is_refused_before_any_work(
    tutelage: Tutelage, recipe: str | None, settings: tuple[str, ...], words: tuple[str, ...]
) -> None:
    if recipe and ("\n" in recipe or recipe == "\0"):
        (tutelage.folder / "mine.yaml").write_text(recipe)
        recipe = "mine.yaml"
    assert_refused(tutelage("pipeline", *([recipe] if recipe else []), *settings), *words)
    assert tutelage.runs() == []
