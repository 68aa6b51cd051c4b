"""MLflow shows what records say: tree, names, settings, curves, status; twice changes nothing."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_store import Store, address
from tiny_task import crash_at, train
from tracked_runs import FAST, STUDY, fold_run, made, make_study

from tutelage.core.config import SCHEMA_VERSION
from tutelage.core.errors import RunFailedError, TrackingError
from tutelage.core.store import METRICS, Run, RunStore
from tutelage.tracking import mirror
from tutelage.tracking.mirror import Mirror

Mirrored = tuple[Store, dict[str, Run]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Iterator[Mirrored]:
    """A study and a run of its own, mirrored; no test changes it."""
    home = tmp_path_factory.mktemp("whole")
    runs = make_study(home)
    store = Store(home, blank)
    assert mirror(RunStore(home), address(home)).sent == len(runs) + 3
    yield store, runs


def test_studies_hold_trials_that_hold_folds_and_a_study_holds_its_refit_and_final_model(
    whole: Mirrored,
) -> None:
    store, runs = whole
    there = store.runs()
    above = {our: store.parent(run) for our, run in there.items()}
    assert above == {
        STUDY: None,
        f"{STUDY}/0": STUDY,
        f"{STUDY}/1": STUDY,
        **{runs[f"{t}/{f}"].id: f"{STUDY}/{t}" for t in (0, 1) for f in (0, 1)},
        runs["refit"].id: STUDY,
        runs["final"].id: STUDY,
        runs["alone"].id: None,
    }
    names = {our: run.info.run_name for our, run in there.items()}
    assert names[STUDY] == "tiny-search"
    assert names[f"{STUDY}/1"] == "trial 1" and names[runs["1/0"].id] == "fold 0"
    assert names[runs["refit"].id] == "refit seed 7" and names[runs["final"].id] == "final"
    assert runs["alone"].id.endswith(names[runs["alone"].id])
    assert {run.info.status for run in there.values()} == {"FINISHED"}


def test_a_run_has_its_curves_its_scores_and_its_baselines(whole: Mirrored) -> None:
    store, runs = whole
    run, record = store.runs()[runs["alone"].id], runs["alone"].record
    with (runs["alone"].path / METRICS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("train/loss", "epoch/loss", "val/accuracy", "learning_rate"):
        written = [(int(r["step"]), float(r["value"])) for r in rows if r["metric"] == name]
        assert store.history(run, name) == written
        assert len(written) >= 2
    last = int(rows[-1]["step"])
    assert store.history(run, "test/accuracy") == [(last, record.metrics["test/accuracy"])]
    rule = record.baselines["always 0"]["test/accuracy"]
    assert run.data.metrics["baselines/always 0/test/accuracy"] == rule


def test_a_run_is_tagged_with_what_it_is_and_what_it_was_made_of(whole: Mirrored) -> None:
    store, runs = whole
    run, record = store.runs()[runs["1/0"].id], runs["1/0"].record
    tags = run.data.tags
    assert tags["tutelage.purpose"] == "trial-fold"
    assert (tags["tutelage.study"], tags["tutelage.trial"], tags["tutelage.fold"]) == (
        STUDY,
        "1",
        "0",
    )
    assert tags["tutelage.data"] == record.fingerprints.data
    assert tags["tutelage.source"] == record.fingerprints.source
    assert (tags["tutelage.mode"], tags["tutelage.model"]) == ("normal", "classifier")
    assert tags["tutelage.path"].endswith(str(runs["1/0"].path))
    assert run.info.start_time == round(1000 * record.created.timestamp())
    assert record.finished is not None
    assert run.info.end_time == round(1000 * record.finished.timestamp())


def test_a_trial_has_what_was_sampled_its_value_and_the_means_of_its_folds(whole: Mirrored) -> None:
    store, runs = whole
    trial = store.runs()[f"{STUDY}/1"]
    assert trial.data.params["model.hidden"] == "6"
    assert "training.seed" not in trial.data.params  # its folds differ by that
    folds = [runs[f"1/{fold}"].metrics["test/accuracy"] for fold in (0, 1)]
    assert trial.data.metrics["test/accuracy"] == pytest.approx(sum(folds) / 2)
    assert trial.data.metrics["objective"] == 0.75
    study = store.runs()[STUDY]
    assert study.data.metrics["accuracy"] == 0.75 and study.data.tags["tutelage.chosen"] == "1"


def test_a_second_mirror_sends_nothing_and_doubles_nothing(whole: Mirrored) -> None:
    store, _ = whole
    points, runs = store.points(), set(store.runs())
    assert mirror(RunStore(store.home), address(store.home)).sent == 0
    assert (store.points(), set(store.runs())) == (points, runs)


def test_a_lost_note_of_what_was_sent_doubles_no_value(store: Store, home: Path) -> None:
    made(home)
    mirror(RunStore(home), address(home))
    points = store.points()
    store.client.set_tag(store.only().info.run_id, "tutelage.sent", "?")
    assert mirror(RunStore(home), address(home)).sent == 1
    assert store.points() == points


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(store: Store, home: Path) -> None:
    settings = (*FAST, "training.max_epochs=3")
    with pytest.raises(RunFailedError):
        train(home, *settings, on_step=crash_at(8, KeyboardInterrupt()))
    follower = Mirror(RunStore(home), address(home))
    follower.update()
    assert store.only().info.status == "KILLED"
    run = train(home, *settings, "run.policy=resume_if_incomplete").run
    follower.update()
    there = store.only()
    assert there.info.status == "FINISHED"
    with (run.path / METRICS).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "train/loss"]
    wanted = [(int(row["step"]), float(row["value"])) for row in rows]
    assert store.history(there, "train/loss") == wanted


def test_only_a_run_that_a_process_works_on_is_running(store: Store, home: Path) -> None:
    run, mirrored = made(home), Mirror(RunStore(home), address(home))
    run.update(status="running", finished=None)
    with run.hold():
        assert mirrored.update().running == 1
        assert store.only().info.status == "RUNNING"
    assert mirrored.update().running == 0  # it was killed: nobody wrote a word
    assert store.only().info.status == "KILLED"


def test_a_run_that_was_removed_is_not_left_running(store: Store, home: Path) -> None:
    run = made(home)
    run.update(status="running", finished=None)
    other = made(home)
    with run.hold():
        mirror(RunStore(home), address(home))
        shutil.rmtree(run.path)
    mirror(RunStore(home), address(home))
    assert store.statuses([run.id, other.id]) == ["KILLED", "FINISHED"]


def test_a_failed_run_says_why(store: Store, home: Path) -> None:
    with pytest.raises(RunFailedError):
        train(home, *FAST, on_step=crash_at(2, RuntimeError("out of luck")))
    mirror(RunStore(home), address(home))
    there = store.only()
    assert there.info.status == "FAILED"
    assert "out of luck" in there.data.tags["mlflow.note.content"]


def test_a_run_that_a_person_deleted_in_mlflow_stays_deleted(store: Store, home: Path) -> None:
    made(home)
    mirror(RunStore(home), address(home))
    store.client.delete_run(store.only().info.run_id)
    mirror(RunStore(home), address(home))
    assert store.only().info.lifecycle_stage == "deleted"


def test_trials_stand_as_the_study_says_and_none_runs_without_a_process(
    store: Store, home: Path
) -> None:
    runs = {f"{t}/{f}": fold_run(home, t, f) for t in (0, 1) for f in (0,)}
    folder = home / "studies" / STUDY
    folder.mkdir(parents=True)
    study = {
        "schema_version": SCHEMA_VERSION, "id": STUDY, "task": "tiny", "status": "running",
        "created": "2026-01-01T00:00:00Z", "metric": "accuracy", "direction": "maximize",
        "data": "d",
    }  # fmt: skip
    states = ("pruned", "failed", "running", "waiting")
    trials = [{"number": n, "status": said} for n, said in enumerate(states)]
    (folder / "study.json").write_text(json.dumps(study))
    (folder / "trials.json").write_text(json.dumps({"trials": trials}))
    mirrored = Mirror(RunStore(home), address(home), study=STUDY)
    ids = [STUDY, *(f"{STUDY}/{n}" for n in range(4))]
    with Run(folder).hold():
        mirrored.update()
        assert store.statuses(ids) == ["RUNNING", "KILLED", "FAILED", "SCHEDULED", "SCHEDULED"]
    mirrored.update()
    assert store.statuses(ids)[0] == "KILLED"
    assert {store.parent(store.runs()[run.id]) for run in runs.values()} == {*ids[1:3]}


def test_files_are_copied_only_where_they_are_asked_for(
    store: Store, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made(home, "tracking.artifacts=[hits.txt, missing.bin]")
    other = made(home)
    mirror(RunStore(home), address(home))
    copied = {
        our: [file.path for file in store.client.list_artifacts(run.info.run_id)]
        for our, run in store.runs().items()
    }
    assert copied.pop(other.id) == []
    assert list(copied.values()) == [["hits.txt"]]
    assert "has no file 'missing.bin' to copy" in caplog.text
    assert mirror(RunStore(home), address(home)).sent == 0


def test_a_damaged_run_is_left_out_and_the_others_are_mirrored(
    store: Store, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, damaged, torn = made(home), made(home), made(home)
    (damaged.path / "record.json").write_text("{")
    (torn.path / METRICS).write_text("epoch,step,metric,value,seconds\n0,?,a,1,2\n")
    mirror(RunStore(home), address(home))
    assert set(store.runs()) == {whole.id}
    assert damaged.id in caplog.text and "the metrics can't be read" in caplog.text


def test_a_deleted_experiment_is_said_with_a_way_out(store: Store, home: Path) -> None:
    made(home)
    mirror(RunStore(home), address(home))
    experiment = store.client.get_experiment_by_name("tutelage/tiny")
    store.client.delete_experiment(experiment.experiment_id)
    with pytest.raises(TrackingError, match=r"was deleted[\s\S]*tracking.experiment"):
        mirror(RunStore(home), address(home))
