"""Studies from Python: what a caller gives is what a person would type."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tutelage.api.hpo import plan_tuning
from tutelage.core.errors import ConfigError
from tutelage.core.store import RunStore
from tutelage.hpo.parameters import Choice, LogUniform
from tutelage.hpo.space import SearchSpace

PLUGINS = Path(__file__).parents[1] / "system" / "plugins"
SPACE = SearchSpace(
    "mine",
    {
        "training.learning_rate": LogUniform(type="loguniform", min=1e-4, max=1e-1),
        "model.hidden": Choice(values=(2, 4)),
    },
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny task, offered as any plug-in is, to these tests alone."""
    monkeypatch.syspath_prepend(str(PLUGINS))


def test_settings_of_the_study_and_of_its_runs_may_be_typed_or_given(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    typed = ("hpo.trials=5", "hpo.max_epochs=2", "model.dropout=0.1")
    one = plan_tuning("tiny", typed, store, space=SPACE)
    given = {"hpo": {"trials": 5, "max_epochs": 2}, "model": {"dropout": 0.1}}
    other = plan_tuning("tiny", (), store, space=SPACE, settings=given)
    assert one.hpo == other.hpo and one.base == other.base
    assert (one.trials, one.base.training.max_epochs) == (5, 2)
    assert one.fingerprint == other.fingerprint


def test_a_file_may_hold_both(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("hpo: {trials: 7, sampler: random}\nmodel: {dropout: 0.3}\n")
    plan = plan_tuning("tiny", ("hpo.trials=3",), RunStore(tmp_path), config=file, space=SPACE)
    assert (plan.trials, plan.hpo.sampler.name, plan.base.model.dropout) == (3, "random", 0.3)


def test_what_a_caller_gives_is_not_searched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.hidden is searched, but model\.hidden was set"):
        plan_tuning("tiny", (), RunStore(tmp_path), space=SPACE, settings={"model": {"hidden": 3}})


def test_a_space_says_how_long_trials_are_where_nobody_else_does(tmp_path: Path) -> None:
    short = replace(SPACE, epochs=2)

    def epochs(*typed: str, **settings: object) -> int:
        store = RunStore(tmp_path)
        plan = plan_tuning("tiny", typed, store, space=short, settings=settings)
        return plan.base.training.max_epochs

    assert epochs() == 2
    assert epochs("training.max_epochs=9") == epochs(training={"max_epochs": 9}) == 9
    assert epochs("training.max_epochs=3") == 3  # as many as without a word
    assert epochs("hpo.max_epochs=5", "training.max_epochs=9") == 5


def test_what_may_change_while_a_study_goes_on_does_not_make_another(tmp_path: Path) -> None:
    def fingerprint(*typed: str) -> str:
        return plan_tuning("tiny", typed, RunStore(tmp_path), space=SPACE).fingerprint

    same = fingerprint()
    for typed in ("hpo.trials=50", "hpo.workers=2", "hpo.timeout=9", "execution=subprocess"):
        assert fingerprint(typed) == same
    for typed in ("hpo.seed=1", "hpo.folds=2", "hpo.pruner=none", "training.max_epochs=9"):
        assert fingerprint(typed) != same
    one = fingerprint("hpo.deterministic=true", "hpo.workers=2")
    assert one != same != fingerprint("hpo.deterministic=true", "hpo.workers=3") != one
