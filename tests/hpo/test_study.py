"""Studies of the tiny task: what is asked, judged, recorded, and gone on with after a cut."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from inline import Inline, home_of
from tiny_task import TinyTask, tiny

from tutelage.core.config import RunConfig
from tutelage.hpo.config import read_hpo_config
from tutelage.hpo.plan import StudyPlan, plan_study
from tutelage.hpo.run import Tuned, run_study
from tutelage.hpo.space import parse_space
from tutelage.task import Task

SPACE = {
    "training.learning_rate": {"type": "loguniform", "min": 1e-4, "max": 0.3},
    "model.hidden": {"type": "int", "min": 2, "max": 8},
    "model.dropout": [0.0, 0.2],
}


def plan(path: Path, *overrides: str, base: tuple[str, ...] = ()) -> StudyPlan:
    parameters = {k: {"values": v} if isinstance(v, list) else v for k, v in SPACE.items()}
    space = parse_space("space", {"parameters": parameters})
    task: Task[RunConfig] = TinyTask()
    own = tuple(f"hpo.{text}" for text in ("trials=6", "refit=none", *overrides))
    return plan_study(task, tiny(*base), read_hpo_config(own), home_of(path), base, space)


def study(path: Path, *overrides: str, base: tuple[str, ...] = (), backend=Inline) -> Tuned:
    return run_study(plan(path, *overrides, base=base), backend=backend)


def test_a_study_tries_settings_on_every_fold_and_remembers_each_run(tmp_path: Path) -> None:
    done = study(tmp_path, "folds=3", "pruner=none", "fold_pruner=none")
    assert done.origin == "new"
    trials = done.study.trials
    assert [trial.number for trial in trials] == list(range(6))
    for trial in trials:
        assert trial.status == "complete" and len(trial.folds) == 3
        assert trial.value == pytest.approx(sum(f.value for f in trial.folds) / 3)
        assert set(trial.params) == set(SPACE)
    record = done.study.record
    assert (record.status, record.metric, record.direction) == ("finished", "accuracy", "maximize")
