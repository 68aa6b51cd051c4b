"""A run is mirrored while it lasts by a process that never hinders it and soon ends after it."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest
from mlflow_store import Store, address
from tiny_task import train
from tracked_runs import FAST, STUDY

from tutelage.core.store import LOG, Run, RunStore
from tutelage.core.tracking import Tracking
from tutelage.tracking import followed, mirror
from tutelage.tracking.following import FOLLOWER

pytestmark = pytest.mark.system
FOLLOWED = (*FAST, "run.policy=force_new", "tracking=mlflow")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers that give a server one second."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def wait_for_follower(folder: Path) -> None:
    """Wait until no follower works for a folder."""
    with (folder / FOLLOWER).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def complaints(run: Run) -> list[str]:
    lines = (run.path / LOG).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "MLflow at" in line]


def test_a_followed_run_is_there_when_its_follower_has_ended(store: Store, home: Path) -> None:
    run = train(home, *FOLLOWED).run
    wait_for_follower(run.path)
    there = store.only()
    assert there.info.status == "FINISHED"
    assert there.data.metrics["test/accuracy"] == run.metrics["test/accuracy"]
    assert complaints(run) == []
    assert mirror(RunStore(home), address(home)).sent == 0


def test_a_server_that_hangs_then_goes_away_holds_no_run_up_and_gets_what_it_lacks_later(
    store: Store, home: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, never answers
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        run = train(home, *FOLLOWED, f"tracking.uri={uri}").run
        assert run.record.status == "finished"
        with (run.path / FOLLOWER).open("a") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its follower still waits
    wait_for_follower(run.path)
    (said,) = complaints(run)
    assert f"MLflow at {uri} does not take what is sent" in said
    assert "the work goes on" in said
    assert mirror(RunStore(home), address(home)).sent == 1
    assert store.only().info.status == "FINISHED"


def test_what_hinders_the_follower_from_starting_hinders_no_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    run = train(home, *FOLLOWED).run
    assert run.record.status == "finished"
    log = (run.path / LOG).read_text(encoding="utf-8")
    assert "not mirrored to MLflow: MLFLOW_TRACKING_URI=./mlruns: can't be used" in log


def test_runs_of_a_study_that_is_followed_have_no_follower_of_their_own(
    store: Store, home: Path
) -> None:
    folder = home / "studies" / STUDY
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(
        f'{{"id": "{STUDY}", "task": "tiny", "status": "finished", "metric": "accuracy", '
        '"created": "2026-01-01T00:00:00Z", "direction": "maximize", "data": "d"}'
    )
    tags = (f"run.tags.study={STUDY}", "run.tags.trial=0", "run.tags.fold=0")
    with followed(folder, home, Tracking(name="mlflow")):
        run = train(home, *FOLLOWED, *tags).run
    assert not (run.path / FOLLOWER).exists()
    wait_for_follower(folder)
    assert store.statuses([STUDY, f"{STUDY}/0", run.id]) == ["FINISHED"] * 3


def test_a_run_that_is_not_tracked_starts_no_process(home: Path) -> None:
    run = train(home, *FAST).run
    assert not (run.path / FOLLOWER).exists()
