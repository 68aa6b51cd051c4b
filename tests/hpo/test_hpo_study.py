"""Studies of the tiny task: what is asked, judged, tried again, recorded, and found again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch
from inline_backend import SPACE, Inline, plan, study
from tiny_task import OnStep

from tutelage.core.errors import ConfigError, DataError, HeldError, RunFailedError
from tutelage.core.locks import holding
from tutelage.core.store import LOCK, METRICS, Run
from tutelage.execution.backend import Job
from tutelage.hpo.epochs import read_epochs
from tutelage.hpo.finish import study_summary, study_tables
from tutelage.hpo.results import StudyFolder, find_study

NO_PRUNING = ("pruner=none", "fold_pruner=none")
EAGER = ("pruner.startup_trials=1", "pruner.warmup_epochs=0", "fold_pruner.startup_trials=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study with folds, pruning and a refit."""
    path = tmp_path_factory.mktemp("finished")
    settings = ("folds=2", "split=kfold", "trials=8", "refit=all", "refit_seeds=2", *EAGER)
    return study(path, *settings).study


def test_a_trial_runs_every_fold_with_the_sampled_settings_and_says_by_which_runs(
    finished: StudyFolder,
) -> None:
    whole = [trial for trial in finished.trials if trial.status == "complete"]
    assert len(whole) >= 2
    for trial in whole:
        assert set(trial.params) == set(SPACE)
        assert trial.value == pytest.approx(sum(fold.value for fold in trial.folds) / 2)
        for fold in trial.folds:
            run = Run(finished.home / fold.run)
            assert (
                run.settings["training"]["learning_rate"]
                == (trial.params["training.learning_rate"])
            )
            assert run.settings["model"]["hidden"] == trial.params["model.hidden"]
            assert run.settings["data"]["fold"] == fold.fold
            assert run.metrics["held_out/accuracy"] == fold.value
            assert run.record.tags["purpose"] == "trial-fold"
            assert run.record.tags["study"] == finished.id


def test_a_pruned_trial_has_stopped_within_one_epoch(finished: StudyFolder) -> None:
    pruned = [trial for trial in finished.trials if trial.status == "pruned"]
    assert pruned
    within = 0
    for trial in pruned:
        assert trial.value is None
        for path in (finished.path / "trials" / f"{trial.number:04d}").glob("*.result.json"):
            run = Run(Path(json.loads(path.read_text())["run"]))
            if run.status == "finished":
                continue
            within += 1
            assert run.status == "interrupted"
            assert "given up by the study after epoch" in str(run.record.error)
            last = int(str(run.record.error).rpartition(" ")[2])
            assert len(read_epochs(run.path / METRICS, "val/accuracy")) <= last + 1
    assert within


def test_the_chosen_settings_are_refitted_on_all_data_and_tested_once(
    finished: StudyFolder,
) -> None:
    record = finished.record
    chosen = finished.trials[record.chosen]
    assert chosen.value == max(t.value for t in finished.trials if t.status == "complete")
    assert [refit.seed for refit in record.refits] == [0, 1]
    for refit in record.refits:
        run = Run(finished.home / refit.run)
        assert run.settings["data"]["fold"] == "all"
        assert run.settings["model"]["hidden"] == chosen.params["model.hidden"]
        assert run.metrics == refit.metrics and "test/accuracy" in refit.metrics
    tested = [run for run in finished.home.glob("*/record.json") if "test/" in run.read_text()]
    assert len(tested) == 2


def test_only_the_chosen_trials_weights_are_kept(finished: StudyFolder) -> None:
    for trial in finished.trials:
        for fold in trial.folds:
            run = Run(finished.home / fold.run)
            kept = trial.number == finished.record.chosen
            assert (run.path / "model.safetensors").exists() == kept
            assert not run.checkpoints.exists()
            run.verify_artifacts()


def test_a_finished_study_is_found_again_and_more_trials_go_on_with_it(tmp_path: Path) -> None:
    first = study(tmp_path, "trials=2")
    before = first.study.trials
    again = study(tmp_path, "trials=2", backend=lambda: pytest.fail("it opened a backend"))
    assert (again.origin, again.study.path) == ("reused", first.study.path)
    more = study(tmp_path, "trials=3")
    assert (more.origin, more.study.path) == ("resumed", first.study.path)
    assert more.study.trials[:2] == before and len(more.study.trials) == 3
    other = study(tmp_path, "trials=2", "seed=1")
    assert (other.origin, other.study.path != first.study.path) == ("new", True)
    assert find_study(tmp_path / "home", "@last").id == other.study.id


def test_a_named_study_is_not_gone_on_with_under_other_settings(tmp_path: Path) -> None:
    study(tmp_path, "trials=1", "name=mine")
    with pytest.raises(ConfigError, match=r"'mine' was begun under other.*training\.seed"):
        study(tmp_path, "trials=1", "name=mine", base=("training.seed=3",))


def test_a_study_that_somebody_works_on_is_refused(tmp_path: Path) -> None:
    folder = study(tmp_path, "trials=1").study
    with (
        holding(folder.path / LOCK, HeldError("held")),
        pytest.raises(HeldError, match="another process works on this study"),
    ):
        study(tmp_path, "trials=2")


def failing(*failures: BaseException | None):
    """A backend whose jobs fail one after the other, each by the next of these; then none."""
    left = list(failures)

    def on_step(job: Job) -> OnStep:
        error = left.pop(0) if left else None

        def step(module, batch) -> None:
            if error is not None and module._trainer is not None:
                raise error

        return step

    return lambda: Inline(on_step)


def test_a_crashed_fold_is_tried_again_as_often_as_the_settings_say(tmp_path: Path) -> None:
    struck = RuntimeError("lightning struck")
    one = study(tmp_path, "trials=1", "retries=1", backend=failing(struck)).study
    (trial,) = one.trials
    assert trial.status == "complete"
    assert [(f.kind, "lightning struck" in f.said) for f in trial.failures] == [("crash", True)]
    settings, base = ("trials=2", "retries=1"), ("training.seed=1",)
    other = study(tmp_path, *settings, base=base, backend=failing(struck, struck)).study
    assert [trial.status for trial in other.trials] == ["failed", "complete"]
    assert [failure.kind for failure in other.trials[0].failures] == ["crash", "crash"]


def test_a_fold_without_memory_is_not_tried_again(tmp_path: Path) -> None:
    full = MemoryError("Unable to allocate 3 TiB")
    done = study(tmp_path, "trials=2", "retries=5", backend=failing(full)).study
    assert [trial.status for trial in done.trials] == ["failed", "complete"]
    assert [failure.kind for failure in done.trials[0].failures] == ["oom"]


def test_a_diverged_fold_ends_at_once_and_is_not_tried_again(tmp_path: Path) -> None:
    seen = []

    def on_step(job: Job) -> OnStep:
        first = not seen
        seen.append(job)

        def step(module, batch) -> None:
            if first:
                with torch.no_grad():
                    module.network[0].weight.fill_(float("nan"))

        return step

    done = study(tmp_path, "trials=2", backend=lambda: Inline(on_step)).study
    assert [trial.status for trial in done.trials] == ["failed", "complete"]
    (failure,) = done.trials[0].failures
    assert failure.kind == "nan" and "training diverged" in failure.said


def test_a_study_of_failures_alone_says_why(tmp_path: Path) -> None:
    full = MemoryError("no room")
    with pytest.raises(RunFailedError, match=r"none of 2 trials.*\(oom\).*no room"):
        study(tmp_path, "trials=2", backend=failing(full, full))
    folder = find_study(tmp_path / "home", "@last")
    assert folder.record.status == "failed"


def test_a_wrong_request_in_the_first_trial_ends_the_study_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match="no samples"):
        study(tmp_path, base=("data.samples=0",))
    assert not list((tmp_path / "home" / "studies").glob("*/study.json"))


def test_a_parameter_that_does_not_reach_its_run_ends_the_study(tmp_path: Path) -> None:
    def drop(job: Job) -> None:
        settings = json.loads(job.config.read_text())
        del settings["model"]["dropout"]
        settings["model"]["hidden"] = 3
        job.config.write_text(json.dumps(settings))

    with pytest.raises(RunFailedError, match=r"model\.hidden=6 did not reach the run"):
        study(tmp_path, backend=lambda: Inline(prepare=drop))


def test_two_trials_of_the_same_settings_are_one_run(tmp_path: Path) -> None:
    settings = ("trials=2", "workers=2", *NO_PRUNING)
    planned = plan(tmp_path, *settings)
    done = study(tmp_path, *settings, base=()).study
    assert planned.trials == 2
    again = study(tmp_path, *settings, "name=again").study
    assert [f.run for t in again.trials for f in t.folds] == [
        f.run for t in done.trials for f in t.folds
    ]


def test_a_deterministic_study_is_the_same_whichever_trial_is_faster(tmp_path: Path) -> None:
    settings = ("workers=2", "deterministic=true", "folds=2", "trials=4", *EAGER)

    def slow(number: int):
        gate = threading.Event()

        def prepare(job: Job) -> None:
            if f"/{number:04d}/" in job.config.as_posix():
                gate.wait(0.5)

        return lambda: Inline(prepare=prepare)

    one = study(tmp_path / "a", *settings, backend=slow(0)).study
    other = study(tmp_path / "b", *settings, backend=slow(1)).study
    assert tried(one) == tried(other)


def tried(folder: StudyFolder) -> list[object]:
    """What a study did, without clocks and names."""
    return [
        (t.number, t.status, dict(t.params), t.value, [(f.fold, f.value) for f in t.folds])
        for t in folder.trials
    ]


def test_a_study_shows_its_trials_choice_and_tests(finished: StudyFolder) -> None:
    titles = [table.title for table in study_tables(finished)]
    assert titles == ["Trials", "Importance of parameters", "Choice", "Tests"]
    summary = study_summary(finished)
    assert summary["chosen"] == finished.record.chosen
    assert len(summary["trials"]) == 8 and len(summary["refits"]) == 2
    json.dumps(summary, allow_nan=False)
