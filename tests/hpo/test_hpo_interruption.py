"""Orchestrators killed at given moments, and studies that go on as if they had not been."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from inline_backend import Inline, plan, study
from optuna.trial import TrialState
from tiny_task import OnStep

from tutelage.execution.backend import Job
from tutelage.hpo.ledger import Ledger, open_storage
from tutelage.hpo.results import StudyFolder, find_study
from tutelage.hpo.run import run_study

pytestmark = pytest.mark.system
SETTINGS = (
    *("folds=2", "trials=4", "refit=none"),
    *("pruner.startup_trials=1", "pruner.warmup_epochs=0", "fold_pruner.startup_trials=1"),
)
RULES = {
    "one worker": ("workers=1",),
    "two workers": ("workers=2", "deterministic=true"),
}


@pytest.fixture(scope="module", params=RULES)
def unbroken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A study that nothing stopped, and its settings."""
    settings = (*SETTINGS, *RULES[request.param])
    return study(tmp_path_factory.mktemp("unbroken"), *settings).study, settings


def told(folder: StudyFolder) -> list[object]:
    """All that a study's storage says of its trials, without clocks and names."""
    ledger = Ledger(open_storage(None, folder.path), folder.record.study_name, "maximize")
    trials = [
        (t.number, t.state, t.params, t.value if t.state == TrialState.COMPLETE else None,
         t.intermediate_values, t.user_attrs.get("fold_scores"))
        for t in ledger.trials()
    ]  # fmt: skip
    ledger.close()
    return trials


def die_at(step: int) -> Callable[[], Inline]:
    """A backend whose process is killed in the training step of that number, over all jobs."""
    seen = 0

    def on_step(job: Job) -> OnStep:
        def count(module, batch) -> None:
            nonlocal seen
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

        return count

    return lambda: Inline(on_step)


def in_child(work: Callable[[], object]) -> int:
    """Do something in a child of this process; return the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def test_a_study_whose_orchestrator_was_killed_ends_as_the_unbroken_one(
    unbroken: tuple[StudyFolder, tuple[str, ...]], tmp_path: Path
) -> None:
    whole, settings = unbroken
    for step in (2, 21):
        planned = plan(tmp_path, *settings)
        killed = in_child(lambda p=planned, s=step: run_study(p, backend=die_at(s)))
        assert killed == signal.SIGKILL
        left = find_study(tmp_path / "home", "@last")
        assert any(trial[1] == TrialState.RUNNING for trial in told(left))
    resumed = study(tmp_path, *settings)
    assert resumed.origin == "resumed"
    assert told(resumed.study) == told(whole)
    assert {trial.status for trial in resumed.study.trials} <= {"complete", "pruned"}
    assert "pruned" in {trial.status for trial in resumed.study.trials}
    assert [trial.failures for trial in resumed.study.trials] == [()] * 4


@pytest.mark.parametrize("unbroken", ["one worker"], indirect=True)
def test_an_interrupted_study_says_how_to_go_on_and_leaves_no_trial_running(
    unbroken: tuple[StudyFolder, tuple[str, ...]], tmp_path: Path
) -> None:
    """A person presses Ctrl-C: the main thread gets it, and every job is ended."""
    whole, settings = unbroken
    main, seen = os.getpid(), []

    def on_step(job: Job) -> OnStep:
        def press(module, batch) -> None:
            seen.append(1)
            if len(seen) == 15:
                os.kill(main, signal.SIGINT)

        return press

    with pytest.raises(Exception, match="interrupted") as stopped:
        study(tmp_path, *settings, backend=lambda: Inline(on_step))
    assert "same command again" in str(stopped.value)
    left = find_study(tmp_path / "home", "@last")
    assert left.record.status == "interrupted"
    states = {trial[1] for trial in told(left)}
    assert TrialState.WAITING in states and TrialState.RUNNING not in states
    assert told(study(tmp_path, *settings).study) == told(whole)
