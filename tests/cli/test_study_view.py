"""What a person sees of a study while it runs, on a terminal and in a pipe."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tutelage.api.hpo import plan_tuning
from tutelage.cli import study_view
from tutelage.cli.study_view import StudyView
from tutelage.core.store import RunStore
from tutelage.hpo.parameters import Choice
from tutelage.hpo.results import Failure, FoldResult, TrialResult
from tutelage.hpo.search_space import SearchSpace
from tutelage.hpo.study import News

PLUGINS = Path(__file__).parents[1] / "system" / "plugins"
PARAMS = {"training.learning_rate": 0.00123456, "model.hidden": 4}
RUNNING = TrialResult(number=3, status="running", params=PARAMS)
COMPLETE = TrialResult(
    number=1,
    status="complete",
    params=PARAMS,
    value=0.75,
    folds=(FoldResult(fold=0, run="a", value=0.7), FoldResult(fold=1, run="b", value=0.8)),
)
FAILED = TrialResult(
    number=2, status="failed", failures=(Failure(fold=0, kind="oom", said="no [room]\nat all"),)
)


def shown(monkeypatch: pytest.MonkeyPatch, home: Path, *news: News, terminal: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    monkeypatch.setattr(study_view, "err", console)
    monkeypatch.syspath_prepend(str(PLUGINS))
    space = SearchSpace("mine", {"model.hidden": Choice(values=(2, 4))})
    typed = ("hpo.trials=9", "hpo.folds=2")
    with StudyView(plan_tuning("tiny", typed, RunStore(home), space=space), quiet=False) as view:
        for one in news:
            view.tell(one)
    return text.getvalue()


def test_a_pipe_gets_one_line_for_each_trial_that_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pruned = TrialResult(number=4, status="pruned", folds=COMPLETE.folds[:1])
    news = (News(RUNNING), News(COMPLETE), News(RUNNING, 0, 2, 0.5), News(FAILED), News(pruned))
    assert shown(monkeypatch, tmp_path, *news).splitlines() == [
        "[1/9] trial 1: accuracy 0.75 · learning_rate=0.00123 hidden=4",
        "[2/9] trial 2: failed (oom): no [room]",
        "[3/9] trial 4: pruned after fold 1",
    ]


def test_a_terminal_gets_a_table_with_the_trials_that_run_and_the_best(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    news = (News(COMPLETE), News(RUNNING, 0, 2, 0.5))
    text = shown(monkeypatch, tmp_path, *news, terminal=True)
    assert "1 of 9 trials · best accuracy 0.75 (trial 1)" in text
    (row,) = [line for line in text.splitlines() if line.strip().startswith("3 ")][:1]
    assert row.split()[:5] == ["3", "running", "1/2", "2", "0.5"]
