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
"""Trials, given up or finished, below which nothing is said."""
_BEST: Final = 4
"""Finished trials that make up the best, where a tenth of all trials is fewer."""


@dataclass(frozen=True, slots=True)
class Importances:
    """Each parameter's share, or a reason for none.

    Args:
        shares: Parameter to its share of 1, the largest first; empty where there is a reason.
        reason: Why nothing can be said.
        trials: How many trials it was found from.
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
        trials: The study's trials; those that were given up count as none of the best.
        direction: Whether more of the objective is better.
    """
    judged = [trial for trial in trials if trial.status in ("complete", "pruned")]
    finished = {trial.number: trial.value for trial in judged if trial.status == "complete"}
    count, best = len(judged), max(_BEST, len(judged) // 10)
    if count < FEWEST or len(finished) < best:
        reason = f"it takes {FEWEST} trials, {best} of them finished, and there are {count}"
        return Importances({}, f"{reason} and {len(finished)}", count, 0)
    if len(set(finished.values())) == 1:
        return Importances({}, "all finished trials have the same score", count, 0)
    shares = _ped_anova(space, judged, direction, best / count)
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
    values = [trial.value for trial in trials if trial.value is not None]
    below = min(values) - 1 if direction == "maximize" else max(values) + 1
    for trial in trials:
        value = below if trial.value is None else trial.value
        params = {name: as_label(value) for name, value in trial.params.items()}
        kinds = space.distributions(params)
        study.add_trial(optuna.create_trial(value=value, params=params, distributions=kinds))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():  # of conditional parameters that few trials have
        warnings.simplefilter("ignore", UserWarning)
        found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}
