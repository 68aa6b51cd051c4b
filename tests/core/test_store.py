"""The store finds, guards and removes runs, also beside other processes and damaged ones."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from made_runs import can_config, finish_run, make_run, prints
from tutelage.core.config import RunConfig
from tutelage.core.errors import CheckpointError, StorageError, StoreError
from tutelage.core.overrides import build_config, read_config_file
from tutelage.core.removal import REMOVED
from tutelage.core.run import Scores
from tutelage.core.store import CONFIG, LAST, LOCK, RECORD, Run, RunStore
from tutelage.tasks.can.config import CANConfig

HOLD = """
import sys
from pathlib import Path
from tutelage.core.store import LAST, Run
with Run(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.read()
"""
CROWD = """
import os, random, sys
from pathlib import Path
from tutelage.core.errors import StoreError
from tutelage.core.records import Fingerprints, Parent
from tutelage.core.store import LAST, RunStore
from tutelage.tasks.can.config import CANConfig

def work(number):
    store, draw, mine = RunStore(Path(sys.argv[1])), random.Random(number), []
    prints = Fingerprints(run=f"of-{number}", config="c", data="d", source="s")
    for _ in range(6):
        parents = (Parent(run=draw.choice(mine).id, role="r"),) if mine else ()
        mine.append(store.create(CANConfig(), prints, parents))
        mine[-1].update(status="finished")
        assert len(store.with_fingerprint(f"of-{number}")) == len(mine)
        assert store.find(mine[0].id).record.status == "finished"
        assert all(run.record.id == run.id for run in mine)
        if len(mine) > 3:
            victim = draw.choice(mine)
            try:
                store.remove(victim)
                mine.remove(victim)
            except StoreError as error:
                assert "is the parent of" in str(error), error
    os.write(1, "".join(run.id + "\\n" for run in mine).encode())

for number in range(16):
    if os.fork() == 0:
        work(number)
        os._exit(0)
assert [os.wait()[1] for _ in range(16)] == [0] * 16
"""


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def test_a_new_run_has_a_record_and_settings_that_re_create_it(store: RunStore) -> None:
    config = can_config("training.seed=7", "run.name=mine")
    run = store.create(config, prints())
    assert run.status == run.record.status == "created"
    assert build_config(CANConfig, [read_config_file(run.path / CONFIG)]) == config
    assert "-can-gat-normal-mine-" in run.id
    assert run.settings["training"] == config.model_dump(mode="json")["training"]


def test_runs_sort_by_the_time_they_were_made(store: RunStore) -> None:
    made = [make_run(store).id for _ in range(5)]
    assert [run.id for run in store.runs()] == sorted(made)
    created = [run.record.created for run in store.runs()]
    assert created == sorted(created)


def test_a_store_that_does_not_exist_is_empty_and_stays_away(store: RunStore) -> None:
    assert store.runs() == [] and not store.home.exists()
    with pytest.raises(StoreError, match="no runs in .* yet"):
        store.find("@last")


def test_a_run_is_found_by_id_prefix_path_and_last(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = make_run(store, "run.name=a"), make_run(store, "run.name=b")
    assert store.find(first.id).id == store.find(str(first.path)).id == first.id
    assert store.find(first.id[:-2]).id == first.id
    assert store.find("@last").id == last.id
    store.note_last(first)
    assert store.find("@last").id == first.id
    store.note_last(Run(store.home / "gone"))
    assert store.find("@last").id == last.id
    (store.home / LAST).write_text("no JSON")
    assert store.find("@last").id == last.id
    monkeypatch.chdir(first.path)
    assert store.find(".").id == first.id
    monkeypatch.chdir(first.checkpoints.parent.parent)
    assert store.find(f"{last.id}/").id == last.id


def test_a_path_outside_the_store_is_found(store: RunStore, tmp_path: Path) -> None:
    other = make_run(RunStore(tmp_path / "other"))
    assert store.find(str(other.path)).record.id == other.id


@pytest.mark.parametrize("name", ["", "x" * 300, "no-such-run", "../escape", "nul\0"])
def test_a_name_that_no_run_has_is_refused(store: RunStore, name: str) -> None:
    make_run(store)
    with pytest.raises(StoreError, match="no run"):
        store.find(name)


def test_a_prefix_of_several_runs_is_refused_with_their_ids(store: RunStore) -> None:
    ids = [make_run(store).id for _ in range(2)]
    with pytest.raises(StoreError, match="fits 2 runs") as caught:
        store.find(ids[0][:4])
    assert all(name in str(caught.value) for name in ids)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b"{}", b'{"schema_version":9}']
)
def test_a_damaged_record_is_refused_and_blocks_no_other_run(
    store: RunStore, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, whole = make_run(store), finish_run(store)
    (damaged.path / RECORD).write_bytes(content)
    with pytest.raises(StoreError, match=damaged.id):
        _ = damaged.record
    with caplog.at_level(logging.WARNING):
        assert [run.id for run in store.with_fingerprint("one")] == [whole.id]
    assert damaged.id in caplog.text
    store.remove(damaged)
    assert not damaged.path.exists() and whole.path.exists()


@pytest.mark.parametrize("content", ["{}", '{"id": "an artist", "status": "finished"}', "[", ""])
def test_a_folder_that_only_has_a_record_of_something_else_is_not_removed(
    store: RunStore, tmp_path: Path, content: str
) -> None:
    mine = tmp_path / "music"
    mine.mkdir()
    (mine / RECORD).write_text(content)
    (mine / "song").write_text("la")
    make_run(store)
    with pytest.raises(StoreError, match="this is no run"):
        store.remove(store.find(str(mine)))
    assert sorted(p.name for p in mine.iterdir()) == [RECORD, "song"]


def test_a_whole_run_outside_the_store_is_removed(store: RunStore, tmp_path: Path) -> None:
    away = finish_run(store).path.rename(tmp_path / "away")
    store.remove(store.find(str(away)))
    assert not away.exists()


def test_a_record_that_was_changed_by_hand_is_refused_in_words(store: RunStore) -> None:
    run = make_run(store)
    path = run.path / RECORD
    path.write_text(path.read_text().replace('"created"', '"sleepy"', 1))
    with pytest.raises(StoreError) as caught:
        _ = run.record
    assert "status" in caught.value.problem and "\n" not in caught.value.problem
    assert "http" not in str(caught.value) and "runs rm" in str(caught.value)


def test_damaged_settings_are_refused(store: RunStore) -> None:
    run = make_run(store)
    (run.path / CONFIG).write_text("[]")
    with pytest.raises(StoreError, match="no JSON object"):
        _ = Run(run.path).settings
    (run.path / CONFIG).unlink()
    with pytest.raises(StoreError, match="can't be read"):
        _ = Run(run.path).settings


def test_an_update_changes_what_it_names_and_keeps_the_rest(store: RunStore) -> None:
    run = finish_run(store)
    before = run.record
    run.update(error="late", metrics={})
    assert run.record == before.model_copy(update={"error": "late", "metrics": {}})
    with pytest.raises(ValueError, match="mood"):
        run.update(mood="good")


def test_a_held_run_is_running_and_one_whose_process_was_killed_is_interrupted(
    store: RunStore,
) -> None:
    run = make_run(store)
    run.update(status="running")
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        assert run.is_held() and run.status == "running"
        with pytest.raises(StoreError, match="another process works on this run"):
            store.remove(run)
        with pytest.raises(StoreError, match=run.id), run.hold():
            pytest.fail("held twice")
        os.kill(child.pid, signal.SIGKILL)
    assert not run.is_held() and run.status == "interrupted"
    with run.hold():
        assert run.is_held()


def test_a_lock_that_can_not_be_read_is_refused_by_its_name(store: RunStore) -> None:
    run = make_run(store)
    run.update(status="running")
    assert run.status == "interrupted"
    (run.path / ".lock").mkdir()
    with pytest.raises(StoreError, match=f"{run.id}/.lock: whether a process works"):
        _ = run.status


def test_a_files_absence_or_change_is_found_by_the_digests_of_the_record(store: RunStore) -> None:
    run = make_run(store)
    file = run.path / "model.json"
    file.write_text("{}")
    run.update(status="finished", artifacts={"model.json": run.artifact(file)})
    run.verify_artifacts()
    file.write_text("{} ")
    with pytest.raises(CheckpointError, match=r"model.json: was changed after the run finished"):
        run.verify_artifacts()
    file.unlink()
    with pytest.raises(CheckpointError, match=r"model.json: can't be read: No such file"):
        run.verify_artifacts()


def test_one_who_looks_at_a_run_keeps_no_other_from_working_on_it(store: RunStore) -> None:
    run = make_run(store)
    with (run.path / ".lock").open("a") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        gone = threading.Timer(0.01, fcntl.flock, (looking, fcntl.LOCK_UN))
        gone.start()
        with run.hold():
            assert run.is_held()
        gone.join()


@pytest.mark.system
def test_an_error_inside_a_held_run_is_not_taken_for_a_storage_error(store: RunStore) -> None:
    run = make_run(store)
    with pytest.raises(FileNotFoundError), run.hold():
        raise FileNotFoundError("a capture")
    assert not run.is_held()


def test_sixteen_processes_that_make_read_list_and_remove_runs_at_once_lose_none(
    store: RunStore,
) -> None:
    command = (sys.executable, "-c", CROWD, str(store.home))
    crowd = subprocess.run(command, capture_output=True, text=True, check=True)
    assert crowd.stderr == ""  # what is removed while it is listed is no damage
    left = set(crowd.stdout.split())
    assert {run.record.id for run in store.runs()} == left and len(left) >= 16 * 3
    records = [run.record for run in store.runs()]
    assert {p.run for record in records for p in record.parents} <= left
    assert not list(store.home.glob(f"{REMOVED}*"))


def test_what_a_killed_removal_left_is_no_run_and_goes_with_the_next(store: RunStore) -> None:
    half, other = finish_run(store), finish_run(store)
    half.path.rename(store.home / f"{REMOVED}{half.id}")
    assert [run.id for run in store.runs()] == [other.id]
    store.remove(other)
    assert [path.name for path in store.home.iterdir()] == [LOCK]


def test_one_who_waited_for_a_run_that_was_removed_does_not_get_it(store: RunStore) -> None:
    run = finish_run(store)
    with (run.path / LOCK).open("a") as removing:
        fcntl.flock(removing, fcntl.LOCK_EX)

        def remove() -> None:
            run.path.rename(store.home / f"{REMOVED}{run.id}")
            fcntl.flock(removing, fcntl.LOCK_UN)

        gone = threading.Timer(0.05, remove)
        gone.start()
        with pytest.raises(StoreError, match=f"{run.id}: another process works on this run"):
            run.hold().__enter__()
        gone.join()


def test_a_parent_is_kept_until_its_children_are_gone(store: RunStore) -> None:
    parent = finish_run(store)
    child = make_run(store, parent=parent)
    assert [run.id for run in store.children(parent)] == [child.id]
    with pytest.raises(StoreError, match=f"is the parent of {child.id}"):
        store.remove(parent)
    store.remove(child)
    store.remove(parent)
    assert store.runs() == []


def test_a_store_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config: RunConfig = can_config()
    with pytest.raises(StorageError, match="is a file(.|\n)*Set TUTELAGE_HOME"):
        RunStore(tmp_path / "file").create(config, prints())
    with pytest.raises(StorageError, match="is a file(.|\n)*Set TUTELAGE_HOME"):
        RunStore(tmp_path / "file").runs()
    with pytest.raises(StorageError, match="can't be written(.|\n)*Set TUTELAGE_HOME"):
        RunStore(tmp_path / "file" / "runs").cache("can")


def test_a_store_below_a_file_is_refused_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = RunStore(tmp_path / "file" / "runs")
    for use in (store.runs, store.readable, lambda: store.find("@last")):
        with pytest.raises(StoreError, match="file/runs: (.|\n)*Not a dir(.|\n)*Set TUTELAGE_HOME"):
            use()


def test_the_default_store_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path))
    assert RunStore.default().home == tmp_path
    monkeypatch.setenv("TUTELAGE_HOME", "")
    assert RunStore.default().home == Path("runs")


def test_caches_are_no_runs(store: RunStore) -> None:
    (store.cache("can") / "x").write_text("")
    assert store.runs() == []


def test_a_score_that_is_not_there_is_told_with_those_that_are() -> None:
    scores = Scores({"test/f1": 0.5})
    assert scores["test/f1"] == 0.5 and scores.get("test_f1") is None
    with pytest.raises(KeyError, match="no score 'test_f1'. Did you mean 'test/f1'"):
        scores["test_f1"]
