"""Trials made by hand, as a study would have them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from optuna.trial import FrozenTrial, TrialState, create_trial

from tutelage.hpo.asking import ask
from tutelage.hpo.config import Sampler
from tutelage.hpo.parameters import Choice, Int, IntLogUniform, Label, LogUniform, Uniform
from tutelage.hpo.pruning import FOLD_SCORES
from tutelage.hpo.space import SearchSpace

NUMBERS = SearchSpace(
    "numbers",
    {
        "rate": LogUniform(min=1e-4, max=1e-1),
        "share": Uniform(min=-1, max=1),
        "units": IntLogUniform(min=1, max=100),
    },
)
BRANCHES = SearchSpace(
    "branches",
    {
        "rate": LogUniform(min=1e-4, max=1e-1),
        "kind": Choice(values=("flat", "deep", [16, 32])),
        "depth": Int(min=1, max=9, step=2, when={"kind": ["deep"]}),
    },
)


def score(params: Mapping[str, Label]) -> float:
    """A score that is best at a rate of 10^-1.5."""
    return -((math.log10(float(str(params["rate"]))) + 1.5) ** 2)


def tried(
    number: int,
    params: Mapping[str, Label],
    space: SearchSpace,
    value: float | None,
    state: TrialState = TrialState.COMPLETE,
) -> FrozenTrial:
    """A trial that ended, or runs."""
    trial = create_trial(
        state=state, value=value, params=dict(params), distributions=space.distributions(params)
    )
    trial.number = number
    return trial


def history(space: SearchSpace, trials: int) -> list[FrozenTrial]:
    """Trials at random, scored."""
    made = []
    for number in range(trials):
        params = ask(Sampler(name="random"), "maximize", 3, number, [], space)
        made.append(tried(number, params, space, score(params)))
    return made


def curve(
    number: int,
    values: Mapping[int, float],
    state: TrialState = TrialState.COMPLETE,
    folds: Mapping[int, float] | None = None,
) -> FrozenTrial:
    """A trial that reported values by step, and its folds' scores."""
    scores = {str(fold): value for fold, value in (folds or {}).items()}
    mean = sum(scores.values()) / len(scores) if scores else max(values.values(), default=0.0)
    trial = create_trial(
        state=state,
        value=mean if state == TrialState.COMPLETE else None,
        intermediate_values=dict(values),
        user_attrs={FOLD_SCORES: scores},
    )
    trial.number = number
    return trial
