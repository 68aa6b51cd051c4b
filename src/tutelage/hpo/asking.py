"""`ask`: the parameters of a trial, as a pure function of settings, seed, number and history."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from tutelage.core.errors import ConfigError, RequestError
from tutelage.hpo.config import Direction, HpoConfig, Sampler, SamplerName
from tutelage.hpo.parameters import Choice, Label
from tutelage.hpo.space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_ATTEMPTS: Final = 16
"""Draws made before a point that was tried already is taken again."""
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "tpe": ("optuna",),
    "gp": ("optuna", "scipy", "torch"),
    "cmaes": ("cmaes",),
    "qmc": ("scipy",),
}


def ask(
    sampler: Sampler,
    direction: Direction,
    seed: int,
    number: int,
    history: Sequence[FrozenTrial],
    space: SearchSpace,
) -> dict[str, Label]:
    """Return the parameters of trial ``number``.

    The same arguments give the same parameters, bit for bit, in any process: nothing is kept
    between calls, and each call has random numbers of its own, from ``seed`` and ``number``. So a
    study that was interrupted goes on as the unbroken one. Trial 0 takes the settings as they are,
    where the space has them, but for a grid. A point that a trial of the history has tried is drawn
    again, unless the space seems to have no other.

    Args:
        sampler: How to choose.
        direction: Whether more of the objective is better.
        seed: The study's seed.
        number: The trial's number, from 0.
        history: The trials that may be known, in any order. Those that still run keep the sampler
            from trying the same again; of pruned ones only how far they came counts.
        space: What is varied.

    Raises:
        ConfigError: A grid has no combination of this number.
    """
    if number == 0 and space.first and sampler.name != "grid":
        return dict(space.first)
    trials = sorted(history, key=lambda trial: int(trial.number))
    draw = _DRAWS[sampler.name]
    tried = [dict(trial.params) for trial in trials]
    params: dict[str, Label] = {}
    for attempt in range(_ATTEMPTS):
        params = draw(_Question(sampler, direction, (seed, number, attempt), trials, space))
        if params not in tried or sampler.name in ("grid", "qmc"):
            break
    return params


def check_sampler(sampler: Sampler, space: SearchSpace) -> None:
    """Refuse a sampler that can't search a space, before any trial.

    Raises:
        ConfigError: The space has what the sampler can't vary.
        RequestError: A library that it takes is not installed.
    """
    if sampler.name == "grid":
        next(space.grid())
    if sampler.name == "cmaes":
        other = [name for name, p in space.parameters.items() if isinstance(p, Choice) or p.when]
        if other or len(space.parameters) < 2:
            problem = f"{other[0]} is a choice" if other else "there is but one parameter"
            hint = "cmaes varies two or more numbers; take tpe, gp or qmc."
            raise ConfigError(f"cmaes can't search this: {problem}", where=space.name, hint=hint)
    from importlib.util import find_spec

    for library in _NEEDS.get(sampler.name, ()):
        if find_spec(library) is None:
            hint = "Install what it needs: pip install 'tutelage[hpo]'."
            problem = f"the sampler {sampler.name} needs {library}"
            raise RequestError(problem, where="hpo.sampler", hint=hint)


def planned_trials(settings: HpoConfig, space: SearchSpace) -> int:
    """Return how many trials a study has: no more than a grid has combinations."""
    if settings.sampler.name != "grid":
        return settings.trials
    return min(settings.trials, sum(1 for _ in space.grid()))


class _Question:
    """What `ask` was asked, with the random numbers of one attempt."""

    def __init__(
        self,
        sampler: Sampler,
        direction: Direction,
        key: tuple[int, int, int],
        trials: Sequence[FrozenTrial],
        space: SearchSpace,
    ) -> None:
        self.sampler, self.direction, self.trials, self.space = sampler, direction, trials, space
        self.study_seed, self.number, _ = key
        self.seed = int(np.random.SeedSequence(key).generate_state(1)[0])


def _random(asked: _Question) -> dict[str, Label]:
    draw = np.random.default_rng(asked.seed)
    return asked.space.at(draw.random(len(asked.space.parameters)).tolist())


def _qmc(asked: _Question) -> dict[str, Label]:
    """Point ``number`` of a Sobol sequence that the study's seed scrambles (Owen 1998)."""
    from scipy.stats import qmc

    draw = np.random.default_rng(asked.study_seed)
    sequence = qmc.Sobol(len(asked.space.parameters), scramble=True, rng=draw)
    if asked.number:
        sequence.fast_forward(asked.number)
    return asked.space.at(sequence.random(1)[0].tolist())


def _grid(asked: _Question) -> dict[str, Label]:
    points = list(asked.space.grid())
    random.Random(asked.study_seed).shuffle(points)
    if asked.number >= len(points):
        hint = f"Set hpo.trials to {len(points)} or less."
        problem = f"the grid has {len(points)} combinations"
        raise ConfigError(problem, where=asked.space.name, hint=hint)
    return points[asked.number]


def _cmaes(asked: _Question) -> dict[str, Label]:
    """Tell CMA-ES the finished trials, a generation at a time in order, and ask it for a point."""
    from cmaes import CMA

    parameters = asked.space.parameters
    sign = -1.0 if asked.direction == "maximize" else 1.0
    evolution = CMA(
        mean=np.full(len(parameters), 0.5),
        sigma=asked.sampler.spread,
        bounds=np.tile([0.0, 1.0], (len(parameters), 1)),
        seed=asked.seed,
    )
    told = []
    for trial in asked.trials:
        if trial.state.name == "COMPLETE":
            place = [p.place(trial.params[name]) for name, p in parameters.items()
                     if not isinstance(p, Choice)]  # fmt: skip
            told.append((np.array(place), sign * float(trial.value)))
    size = evolution.population_size
    for first in range(0, len(told) - size + 1, size):
        evolution.tell(told[first : first + size])
    return asked.space.at(evolution.ask().tolist())


def _tpe(asked: _Question) -> dict[str, Label]:
    from optuna.samplers import TPESampler

    return _from_optuna(
        asked,
        TPESampler(
            seed=asked.seed,
            n_startup_trials=asked.sampler.startup_trials,
            n_ei_candidates=asked.sampler.candidates,
        ),
    )


def _gp(asked: _Question) -> dict[str, Label]:
    from optuna.samplers import GPSampler, RandomSampler

    return _from_optuna(
        asked,
        GPSampler(
            seed=asked.seed,
            n_startup_trials=asked.sampler.startup_trials,
            independent_sampler=RandomSampler(seed=asked.seed),
            warn_independent_sampling=False,
        ),
    )


def _from_optuna(asked: _Question, sampler: BaseSampler) -> dict[str, Label]:
    """Ask a sampler of Optuna's in a study in memory that holds nothing but the history."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
    study = optuna.create_study(direction=asked.direction, sampler=sampler)
    for trial in asked.trials:
        study.add_trial(_known(trial))
    return asked.space.suggest(study.ask())


def _known(trial: FrozenTrial) -> FrozenTrial:
    """What a sampler may know of a trial: neither a clock nor epochs of another metric."""
    from optuna import create_trial

    pruned = trial.state.name == "PRUNED" and trial.last_step is not None
    return create_trial(
        state=trial.state,
        value=trial.value if trial.state.name == "COMPLETE" else None,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values={trial.last_step: 0.0} if pruned else {},
    )


_DRAWS: Final[Mapping[SamplerName, Callable[[_Question], dict[str, Label]]]] = {
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "qmc": _qmc,
    "random": _random,
    "grid": _grid,
}
