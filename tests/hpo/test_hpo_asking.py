"""What a trial tries follows from settings, seed, number and history, and nothing else."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import optuna
import pytest
from made_trials import BRANCHES, NUMBERS, history, score, tried
from optuna.trial import FrozenTrial, TrialState

from tutelage.core.errors import ConfigError
from tutelage.hpo.asking import ask, check_sampler, planned_trials
from tutelage.hpo.config import HpoConfig, Sampler, SamplerName
from tutelage.hpo.parameters import Choice, Int, Label
from tutelage.hpo.space import SearchSpace

LEARNING: tuple[SamplerName, ...] = ("tpe", "gp", "cmaes")
ELSEWHERE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from made_trials import NUMBERS, history
from tutelage.hpo.asking import ask
from tutelage.hpo.config import Sampler
names = sys.argv[2].split(",")
known = history(NUMBERS, 12)
print(json.dumps({n: ask(Sampler(name=n), "maximize", 5, 12, known, NUMBERS) for n in names}))
"""


@pytest.mark.system
def asked(name: SamplerName, number: int, known: list[FrozenTrial], seed: int = 5,
          space: SearchSpace = NUMBERS) -> dict[str, Label]:  # fmt: skip
    return ask(Sampler(name=name), "maximize", seed, number, known, space)


def test_another_process_is_told_the_same_bit_for_bit() -> None:
    names: tuple[SamplerName, ...] = (*LEARNING, "qmc", "random")
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    said = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(Path(__file__).parent), ",".join(names)],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    known = history(NUMBERS, 12)
    here: Mapping[str, dict[str, Label]] = {name: asked(name, 12, known) for name in names}
    assert json.loads(said) == here


@pytest.mark.parametrize("name", ["tpe", "cmaes", "random", "qmc"])
def test_seed_and_number_move_the_answer_and_the_order_of_history_does_not(
    name: SamplerName,
) -> None:
    known = history(NUMBERS, 12)
    first = asked(name, 12, known)
    assert asked(name, 12, known[::-1]) == first
    assert asked(name, 13, known) != first
    assert asked(name, 12, known, seed=6) != first


@pytest.mark.parametrize("name", LEARNING)
def test_a_sampler_that_learns_looks_where_trials_were_good(name: SamplerName) -> None:
    known = history(NUMBERS, 30)
    answers = [asked(name, 30, known, seed) for seed in range(3 if name == "gp" else 12)]
    learned = sum(score(answer) for answer in answers) / len(answers)
    at_random = sum(trial.value or 0.0 for trial in known) / len(known)
    assert learned > at_random / 4


def test_a_history_read_back_from_a_database_gives_the_same_parameters(tmp_path: Path) -> None:
    known = history(BRANCHES, 11)
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", storage=storage)
    for trial in known:
        study.add_trial(trial)
    read = study.get_trials()
    assert asked("tpe", 11, read, space=BRANCHES) == asked("tpe", 11, known, space=BRANCHES)
    storage.engine.dispose()


def test_a_study_goes_on_after_an_interruption_as_the_unbroken_one() -> None:
    def go_on(known: list[FrozenTrial], until: int) -> list[FrozenTrial]:
        for number in range(len(known), until):
            params = asked("tpe", number, known, space=BRANCHES)
            known = [*known, tried(number, params, BRANCHES, score(params))]
        return known

    unbroken = go_on([], 14)
    resumed = go_on(go_on([], 6), 14)
    assert [trial.params for trial in resumed] == [trial.params for trial in unbroken]


@pytest.mark.parametrize("seed", range(4))
def test_what_another_trial_tries_is_not_tried_again(seed: int) -> None:
    small = SearchSpace("small", {"kind": Choice(values=("a", "b")), "n": Int(min=1, max=3)})
    known: list[FrozenTrial] = []
    for number in range(6):
        params = asked("tpe", number, known, seed, small)
        state = TrialState.RUNNING if number % 2 else TrialState.FAIL
        known.append(tried(number, params, small, None, state))
    assert len({tuple(trial.params.items()) for trial in known}) == 6
    assert asked("tpe", 6, known, seed, small) in [trial.params for trial in known]


def test_pruned_trials_count_by_how_far_they_came_and_not_by_another_metric() -> None:
    def pruned(values: Callable[[int], float], epochs: Callable[[int], int]) -> dict[str, Label]:
        known = history(NUMBERS, 12)
        for trial in known[1:]:
            trial.state, trial.values = TrialState.PRUNED, None
            trial.intermediate_values = {epochs(trial.number): values(trial.number)}
        return asked("tpe", 12, known)

    rising = pruned(lambda number: number, lambda number: 1)
    assert pruned(lambda number: -number, lambda number: 1) == rising
    assert pruned(lambda number: number, lambda number: number) != rising


def test_a_grid_is_gone_through_once_and_then_refused() -> None:
    small = SearchSpace("small", {"kind": Choice(values=("a", "b")), "n": Int(min=1, max=3)})
    points = [asked("grid", number, [], space=small) for number in range(6)]
    assert len({tuple(point.items()) for point in points}) == 6
    assert points != list(small.grid()), "in a drawn order"
    with pytest.raises(ConfigError, match="the grid has 6 combinations"):
        asked("grid", 6, [], space=small)
    settings = HpoConfig(trials=50, sampler=Sampler(name="grid"))
    assert planned_trials(settings, small) == 6
    assert planned_trials(HpoConfig(trials=50), small) == 50


def test_sobol_points_are_spread_more_evenly_than_chance() -> None:
    rates = sorted(float(str(asked("qmc", n, [])["share"])) for n in range(16))
    gaps = [b - a for a, b in zip(rates, rates[1:], strict=False)]
    assert max(gaps) < 0.25, "each sixteenth of the range has one point"


@pytest.mark.parametrize(
    ("name", "space", "said"),
    [
        ("cmaes", BRANCHES, "kind is a choice"),
        ("cmaes", SearchSpace("one", {"n": Int(min=1, max=9)}), "but one parameter"),
        ("grid", NUMBERS, "no end of values"),
    ],
)
def test_a_sampler_is_refused_for_what_it_can_not_vary(
    name: SamplerName, space: SearchSpace, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check_sampler(Sampler(name=name), space)
    check_sampler(Sampler(name="tpe"), space)


def test_the_first_trial_takes_the_settings_as_they_are() -> None:
    space = dataclasses.replace(NUMBERS, first={"rate": 1e-3, "share": 0.0, "units": 8})
    assert asked("tpe", 0, [], space=space) == {"rate": 1e-3, "share": 0.0, "units": 8}
    assert asked("tpe", 1, [], space=space) != space.first
