"""What a run is removed with: all that was made from it, the studies it has part in, their runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tutelage
from made_runs import finish_run, make_run
from tutelage.api.removing import carry_out, plan_removal
from tutelage.core.errors import HeldError, StoreError
from tutelage.core.store import LOCK, Run, RunStore

MOMENT = "2026-01-01T00:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def make_study(store: RunStore, name: str, trials: list[Run], **more: object) -> Path:
    """The files of a finished study whose trials of one fold are these runs."""
    folder = store.home / "studies" / name
    folder.mkdir(parents=True)
    record = {"id": name, "task": "can", "status": "finished", "created": MOMENT, "data": "d",
              "fingerprint": "f", "study_name": name, "hpo": {}, "base": {}, "space": {},
              "metric": "f1", "direction": "maximize"} | more  # fmt: skip
    (folder / "study.json").write_text(json.dumps(record))
    told = [{"number": n, "status": "complete", "folds": [{"fold": 0, "run": r.id, "value": 0.5}]}
            for n, r in enumerate(trials)]  # fmt: skip
    (folder / "trials.json").write_text(json.dumps({"trials": told}))
    return folder


def test_what_descends_at_any_depth_keeps_a_run_and_is_named_with_its_reason(
    store: RunStore,
) -> None:
    first = finish_run(store)
    second = finish_run(store, parent=first)
    third, other = finish_run(store, parent=second), finish_run(store)
    with pytest.raises(StoreError, match=rf"{second.id} \(made from {first.id}: initial w") as why:
        tutelage.remove(first.id, home=store.home)
    assert third.id in str(why.value) and "--cascade" in str(why.value)
    assert len(store.runs()) == 4
    removal = tutelage.remove(first.id, cascade=True, home=store.home)
    assert [run.id for run in removal.descendants] == [second.id, third.id]
    assert [run.id for run in store.runs()] == [other.id]


def test_a_run_that_stands_alone_needs_no_cascade(store: RunStore) -> None:
    run, other = finish_run(store), finish_run(store)
    assert tutelage.remove(run, home=store.home).alone
    assert [run.id for run in store.runs()] == [other.id]


def test_a_trial_is_kept_by_its_study_and_takes_the_study_with_all_its_runs(
    store: RunStore,
) -> None:
    trials = [finish_run(store, "run.tags.study=s1") for _ in range(2)]
    shipped = finish_run(store, "run.tags.study=s1", "run.tags.purpose=final")
    other = finish_run(store)
    folder = make_study(store, "s1", trials)
    with pytest.raises(StoreError, match=rf"s1 \(study with {trials[1].id} in trial 1\)"):
        tutelage.remove(trials[1], home=store.home)
    removal = tutelage.remove(trials[1], cascade=True, home=store.home)
    assert {run.id for run in removal.descendants} == {trials[0].id, shipped.id}
    assert [run.id for run in store.runs()] == [other.id]
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["base", "refits"])
def test_a_study_that_names_a_run_keeps_it(store: RunStore, place: str) -> None:
    run = finish_run(store)
    named = {"base": {"mode": {"experts": [run.id]}}, "refits": [{"seed": 0, "run": run.id}]}
    make_study(store, "s1", [], **{place: named[place]})
    with pytest.raises(StoreError, match="s1"):
        tutelage.remove(run, home=store.home)


def test_while_a_process_works_on_any_of_it_nothing_is_removed(store: RunStore) -> None:
    trial = finish_run(store, "run.tags.study=s1")
    child = make_run(store, parent=trial)
    folder = make_study(store, "s1", [trial])
    with child.hold(), pytest.raises(HeldError, match=child.id):
        tutelage.remove(trial, cascade=True, home=store.home)
    with Run(folder).hold(), pytest.raises(HeldError, match="study"):
        tutelage.remove(trial, cascade=True, home=store.home)
    assert len(store.runs()) == 2 and (folder / LOCK).exists()


def test_a_run_that_was_made_after_one_agreed_is_not_orphaned(store: RunStore) -> None:
    parent = finish_run(store)
    removal = plan_removal(parent, store.home)
    child = make_run(store, parent=parent)
    with pytest.raises(StoreError, match=f"is the parent of {child.id}"):
        carry_out(removal, cascade=True, home=store.home)
    assert len(store.runs()) == 2


def test_a_damaged_study_keeps_no_run(store: RunStore, caplog: pytest.LogCaptureFixture) -> None:
    run = finish_run(store)
    (make_study(store, "s1", [run]) / "study.json").write_text("{")
    assert tutelage.remove(run, home=store.home).alone
    assert "study.json" in caplog.text
