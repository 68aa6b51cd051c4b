"""How much each parameter decides whether a trial is among the best, or why that can't be said."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tutelage.hpo.config import Direction
from tutelage.hpo.parameters import as_label
from tutelage.hpo.results import TrialResult
from tutelage.hpo.space import SearchSpace

FEWEST: Final = 8
"""Finished trials below which nothing is said."""
_BEST: Final = 4
"""Trials that make up the best, where a tenth of all is fewer."""


@dataclass(frozen=True, slots=True)
class Importances:
    """Each parameter's share, or a reason for none.

    Args:
        shares: Parameter to its share of 1, the largest first; empty where there is a reason.
        reason: Why nothing can be said.
        trials: Finished trials that it was found from.
        best: How many of them are taken for the best.
    """

    shares: Mapping[str, float]
    reason: str | None
    trials: int
    best: int


def importances(
    space: SearchSpace, trials: Sequence[TrialResult], direction: Direction
) -> Importances:
    """Return each parameter's share in what sets the best trials apart, by PED-ANOVA.

    Watanabe et al. 2023, https://arxiv.org/abs/2304.10255: how far the best trials' values of a
    parameter are spread otherwise than all trials' values.

    Args:
        space: What was searched.
        trials: The study's trials; only complete ones are looked at.
        direction: Whether more of the objective is better.
    """
    finished = [trial for trial in trials if trial.status == "complete"]
    count = len(finished)
    best = max(_BEST, count // 10)
    if count < FEWEST:
        return Importances(
            {}, f"it takes {FEWEST} finished trials, and there are {count}", count, 0
        )
    if len({trial.value for trial in finished}) == 1:
        return Importances({}, "all finished trials have the same score", count, 0)
    shares = _ped_anova(space, finished, direction, best / count)
    if not sum(shares.values()):
        return Importances({}, "the best trials are spread as all others are", count, best)
    return Importances(shares, None, count, best)


def _ped_anova(
    space: SearchSpace, trials: Sequence[TrialResult], direction: Direction, quantile: float
) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(max(optuna.logging.get_verbosity(), optuna.logging.WARNING))
    study = optuna.create_study(direction=direction)
    for trial in trials:
        params = {name: as_label(value) for name, value in trial.params.items()}
        kinds = space.distributions(params)
        study.add_trial(optuna.create_trial(value=trial.value, params=params, distributions=kinds))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():  # of conditional parameters that few trials have
        warnings.simplefilter("ignore", UserWarning)
        found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}
