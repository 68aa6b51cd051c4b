"""The trials of a study in a storage: given, asked, left, taken over, shared by machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from tutelage.core.errors import ConfigError, StorageError
from tutelage.execution.backend import Outcome
from tutelage.execution.process import Ended
from tutelage.execution.result import Result
from tutelage.hpo import owners
from tutelage.hpo.failures import classify
from tutelage.hpo.ledger import ASKED, Ledger, labels, open_storage, result_of, shown_url
from tutelage.hpo.owners import Owner, Watch

LINE = {"x": FloatDistribution(0.0, 1.0)}


@pytest.fixture(params=[None, "journal"], ids=["sqlite", "journal"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(open_storage(request.param, tmp_path), "study", "maximize")


def test_a_trial_is_asked_in_one_piece_and_ends_with_a_value(ledger: Ledger) -> None:
    number = ledger.begin(Owner.here().as_json())
    assert labels(ledger.trial(number)) is None
    ledger.ask(number, {"x": 0.25}, {"x": 0.25}, LINE)
    ledger.report(number, 1, 0.5)
    ledger.tell(number, "complete", 0.75)
    (trial,) = ledger.trials()
    assert (trial.params, trial.value, trial.intermediate_values) == ({"x": 0.25}, 0.75, {1: 0.5})
    assert result_of(trial).status == "complete"


def test_what_was_asked_is_written_out_after_a_cut_in_between(ledger: Ledger) -> None:
    number = ledger.begin(Owner.here().as_json())
    whole = {"x": {"label": 0.5, "value": 0.5, "distribution": _as_json()}}
    ledger.note(number, ASKED, whole)
    assert ledger.trial(number).params == {}
    ledger.write_asked(ledger.trial(number))
    ledger.write_asked(ledger.trial(number))
    assert ledger.trial(number).params == {"x": 0.5}


def test_a_trial_that_was_left_is_taken_by_one_of_those_who_want_it(ledger: Ledger) -> None:
    number = ledger.begin(Owner.here().as_json())
    assert not ledger.claim(number, Owner.here().as_json())
    ledger.leave(number)
    assert ledger.trial(number).state == TrialState.WAITING
    assert ledger.claim(number, Owner.here().as_json())
    assert not ledger.claim(number, Owner.here().as_json())


def test_an_owner_here_is_dead_when_its_process_is() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    there = owners.psutil.Process(process.pid).create_time()
    watch, owner = Watch(), Owner(owners.host_name(), process.pid, there)
    assert not watch.is_dead(0, owner)
    assert watch.is_dead(0, Owner(owner.host, owner.pid, there - 100))
    process.communicate()
    assert watch.is_dead(0, owner)


def test_an_owner_elsewhere_is_dead_when_it_gave_no_sign_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(owners.time, "monotonic", lambda: clock[0])
    watch = Watch()

    def dead(beat: int, at: float) -> bool:
        clock[0] = at
        return watch.is_dead(3, Owner("elsewhere", 7, 1.0, beat))

    assert [dead(0, 0.0), dead(0, 119.0), dead(1, 121.0), dead(1, 240.0)] == [False] * 4
    assert dead(1, 242.0)


def test_a_storages_password_is_not_shown_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert shown_url("postgresql://me:secret@db/x") == "postgresql://me:***@db/x"
    with pytest.raises(ConfigError, match="no storage"):
        shown_url("here")
    with pytest.raises(StorageError, match="can't be reached"):
        open_storage(f"sqlite:///{tmp_path}/none/study.db", tmp_path)


@pytest.mark.parametrize(
    ("ended", "result", "kernel", "kind"),
    [
        (Ended("killed", -9, 1.0), Result(), False, "killed"),
        (Ended("killed", -9, 1.0), Result(), True, "oom"),
        (Ended("timeout", -15, 60.0), Result(kind="RunFailedError"), False, "timeout"),
        (Ended("refused", 2, 1.0), Result(kind="DataError", problem="none"), False, "refused"),
        (Ended("failed", 1, 1.0), Result(kind="RunFailedError", cause="MemoryError"), False, "oom"),
        (Ended("failed", 1, 1.0), Result(kind="DivergedError"), False, "nan"),
        (Ended("failed", 1, 1.0), Result(kind="RunFailedError", problem="odd"), False, "crash"),
        (Ended("failed", 1, 1.0), Result(), False, "crash"),
    ],
)
def test_every_way_to_fail_has_its_class(
    ended: Ended, result: Result, kernel: bool, kind: str
) -> None:
    failure = classify(1, Outcome(ended, result), ["first", "the last line", ""], kernel)
    assert (failure.kind, failure.fold) == (kind, 1)
    if result == Result() and ended.reason == "failed":
        assert failure.said == "the last line"


def _as_json() -> object:
    import json

    return json.loads(optuna.distributions.distribution_to_json(LINE["x"]))
