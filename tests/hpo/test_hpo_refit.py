"""The chosen settings are trained on all training data, to the epoch that the folds found."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pytest
from inline_backend import Inline
from tiny_task import TinyConfig, TinyTask, tiny

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.folds import write_split
from tutelage.core.overrides import build_config, read_config_file
from tutelage.core.store import CONFIG, Run
from tutelage.execution.backend import Job, Outcome
from tutelage.execution.process import Ended
from tutelage.execution.result import Result
from tutelage.hpo.config import HpoConfig
from tutelage.hpo.parameters import Choice, LogUniform
from tutelage.hpo.refit import check_refit, plan_refit, run_refit_training
from tutelage.hpo.results import STUDIES, FoldResult, StudyFolder, TrialResult
from tutelage.hpo.selection import cost_of
from tutelage.hpo.space import SearchSpace, require_reached
from tutelage.task import Task, fold_split

SPACE = SearchSpace("s", {"training.learning_rate": LogUniform(min=0.01, max=0.1)})
PARAMS = {"training.learning_rate": 0.02}
TASK: Task[RunConfig] = TinyTask()


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    study = StudyFolder(tmp_path / STUDIES / "20260101-tiny")
    study.path.mkdir(parents=True)
    write_split(fold_split(TASK, base(), tmp_path, "kfold", 3), study.split_file)
    return study


def base(*overrides: str) -> TinyConfig:
    return tiny("training.max_epochs=4", "training.accelerator=cpu", *overrides)


def chosen(*epochs: int | None) -> TrialResult:
    folds = tuple(
        FoldResult(fold=k, run=f"run-{k}", value=0.7, best_epoch=epoch)
        for k, epoch in enumerate(epochs)
    )
    return TrialResult(number=5, status="complete", params=PARAMS, value=0.7, folds=folds)


def trial_config(*overrides: str) -> RunConfig:
    config: RunConfig = base(*overrides)
    return SPACE.config(TASK, config, PARAMS)


@pytest.fixture
def backend() -> Iterator[Inline]:
    with Inline() as place:
        yield place


def test_all_data_train_to_the_epoch_of_the_folds_on_the_schedule_of_all(
    folder: StudyFolder, backend: Inline
) -> None:
    settings = HpoConfig(folds=3, refit_seeds=2)
    config = trial_config("training.seed=7", "training.early_stopping.patience=2")
    plan = plan_refit(settings, "tiny", folder, chosen(2, 2, 3), config)
    refits = run_refit_training(plan, folder, backend)
    assert [refit.seed for refit in refits] == [7, 8]
    for refit in refits:
        run = Run(folder.home / refit.run)
        kept = build_config(TinyConfig, [read_config_file(run.path / CONFIG)])
        assert (kept.data.fold, kept.data.split_file) == ("all", folder.split_file)
        assert (kept.training.stop_epoch, kept.training.max_epochs) == (2, 4)
        assert kept.training.seed == refit.seed
        require_reached(PARAMS, run.settings, run.id)
        rows = (run.path / "metrics.csv").read_text().splitlines()
        assert {row.split(",")[0] for row in rows[1:]} <= {"0", "1", "2"}
        assert run.record.tags == {
            "purpose": "refit", "study": folder.id, "trial": "5", "seed": str(refit.seed)
        }  # fmt: skip
        assert run.record.best_epoch == 2
        assert refit.metrics == run.record.metrics
        assert "test/accuracy" in refit.metrics
    assert refits[0].metrics != refits[1].metrics


def test_a_finished_refit_is_not_trained_again(folder: StudyFolder, backend: Inline) -> None:
    plan = plan_refit(
        HpoConfig(folds=3, refit_seeds=1), "tiny", folder, chosen(2, 2, 2), trial_config()
    )
    first = run_refit_training(plan, folder, backend)
    assert run_refit_training(plan, folder, backend) == first
    assert len(backend.jobs) == 2


def test_without_folds_all_data_train_to_the_epoch_that_validation_chose(
    folder: StudyFolder, backend: Inline
) -> None:
    folder.split_file.unlink()
    plan = plan_refit(HpoConfig(refit_seeds=1), "tiny", folder, chosen(3), trial_config())
    (config,) = plan.configs
    assert (config.data.fold, config.data.split_file) == ("all", None)
    assert config.training.stop_epoch == 3
    assert run_refit_training(plan, folder, backend)[0].metrics["test/accuracy"] > 0.4


def test_where_no_fold_knows_its_best_epoch_all_epochs_are_trained(folder: StudyFolder) -> None:
    plan = plan_refit(HpoConfig(folds=3), "tiny", folder, chosen(None, None, None), trial_config())
    assert [config.training.stop_epoch for config in plan.configs] == [None] * 3


def test_a_refit_by_the_tasks_own_split_keeps_what_validation_decides(folder: StudyFolder) -> None:
    config = trial_config("training.early_stopping.patience=2")
    plan = plan_refit(HpoConfig(refit="split"), "tiny", folder, chosen(2), config)
    assert {config.data.fold for config in plan.configs} == {None}
    assert plan.configs[0].training.early_stopping.patience == 2
    assert plan_refit(HpoConfig(refit="none"), "tiny", folder, chosen(2), config).configs == ()


def test_a_refit_that_fails_says_so_and_which(folder: StudyFolder, backend: Inline) -> None:
    config = trial_config("data.samples=1", "data.tests=1")
    plan = plan_refit(HpoConfig(refit_seeds=1), "tiny", folder, chosen(2), config)
    broken = dataclasses.replace(plan, configs=(config.model_copy(
        update={"data": config.data.model_copy(update={"samples": 0})}),))  # fmt: skip
    with pytest.raises(RunFailedError, match="the refit by seed 0 failed: there are no samples"):
        run_refit_training(broken, folder, backend)


class KilledOnce(Inline):
    """A place whose first job is killed."""

    def run(self, job: Job) -> Outcome:
        if self.jobs:
            return super().run(job)
        self.jobs.append(job)
        return Outcome(Ended("killed", -9, 0.0), Result())


def test_a_refit_that_is_killed_is_tried_again_as_often_as_folds_are(folder: StudyFolder) -> None:
    plan = plan_refit(HpoConfig(refit_seeds=1), "tiny", folder, chosen(2), trial_config())
    with KilledOnce() as backend, pytest.raises(RunFailedError, match="was ended: killed"):
        run_refit_training(plan, folder, backend)
    with KilledOnce() as backend:
        assert run_refit_training(plan, folder, backend, retries=1)[0].metrics
        assert len(backend.jobs) == 2


def test_a_refit_ends_when_the_study_does(folder: StudyFolder, backend: Inline) -> None:
    plan = plan_refit(HpoConfig(refit_seeds=1), "tiny", folder, chosen(2), trial_config())
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(RunFailedError, match="was ended: stopped"):
        run_refit_training(plan, folder, backend, stopping=stopping)


def test_what_can_not_train_on_all_data_is_refused_before_any_trial() -> None:
    settings, plateau = HpoConfig(), "training.scheduler.name=plateau"
    check_refit(settings, TASK, base("training.early_stopping.patience=2"), SPACE)
    with pytest.raises(
        ConfigError, match=r"scheduler\.name=plateau would need\n  Set hpo.refit=split"
    ):
        check_refit(settings, TASK, base(plateau), SPACE)
    shapes = Choice(values=("cosine", "constant", "plateau"))
    varied = SearchSpace("s", {"training.scheduler.name": shapes})
    with pytest.raises(ConfigError, match="could not be trained on all data"):
        check_refit(settings, TASK, base(), varied)
    check_refit(HpoConfig(refit="split"), TASK, base(plateau), SPACE)


def test_what_a_model_takes_is_read_from_its_runs(folder: StudyFolder, backend: Inline) -> None:
    plan = plan_refit(HpoConfig(refit_seeds=2), "tiny", folder, chosen(1), trial_config())
    refits = run_refit_training(plan, folder, backend)
    folds = tuple(FoldResult(fold=k, run=r.run, value=0.5) for k, r in enumerate(refits))
    cost = cost_of(folder.home, chosen(1).model_copy(update={"folds": folds}))
    cards = [json.loads((folder.home / r.run / "model.json").read_text()) for r in refits]
    assert (
        cost.bytes
        == cards[0]["bytes"]
        == (folder.home / refits[0].run / "model.safetensors").stat().st_size
    )
    taken = [json.loads((folder.home / r.run / "record.json").read_text()) for r in refits]
    assert cost.seconds == pytest.approx(fmean(r["seconds"]["evaluate"] for r in taken))
