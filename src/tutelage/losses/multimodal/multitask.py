"""Multitask: several losses become one, with weights that are given or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError, suggest
from tutelage.losses.base import LossOutput, detached
from tutelage.losses.registry import register_loss
from tutelage.losses.temperature import BoundedScalar


@register_loss(
    "multitask",
    formula="sum_k w_k L_k",
    paper="https://arxiv.org/abs/1706.05098",
)
class MultitaskLoss(nn.Module):
    """Losses of several tasks, each with a weight that stays (Ruder 2017, section 2).

    Args:
        weights: w by the task's name.

    Raises:
        ConfigError: There are no tasks, or a weight is negative.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        if not weights or any(weight < 0 for weight in weights.values()):
            problem = f"weights {dict(weights)} of a sum of losses"
            raise ConfigError(problem, hint="Give at least one name, and no negative weight.")
        self.weights: dict[str, float] = dict(weights)

    def forward(self, losses: Mapping[str, Tensor]) -> LossOutput:
        """Return the weighted sum of ``losses``, scalars by task.

        Raises:
            ConfigError: The tasks are not those that have weights.
        """
        _check_tasks(losses, self.weights)
        parts = [weight * losses[task] for task, weight in self.weights.items()]
        return LossOutput(torch.stack(parts).sum(), detached(**losses))


@register_loss(
    "multitask_uncertainty",
    formula="sum_k ½ e^{-v_k} L_k + ½ v_k, v_k = ln σ_k² learned",
    paper="https://arxiv.org/abs/1705.07115",
)
class UncertaintyWeightedLoss(nn.Module):
    """Losses weighted by learned uncertainties (Kendall et al. 2018, equation 7).

    Each ln σ² is a parameter, read within ±10, that begins at 0. Where a loss stands still it goes
    to ln L, so that a task counts by the logarithm of its loss.

    Args:
        tasks: The tasks' names.

    Raises:
        ConfigError: There are no tasks, or one is named twice.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        if not tasks or len(set(tasks)) < len(tasks):
            problem = f"tasks {list(tasks)} of a sum of losses"
            raise ConfigError(problem, hint="Give at least one name, each once.")
        self.log_variances: nn.ModuleDict = nn.ModuleDict(
            {task: BoundedScalar(0.0, -10.0, 10.0) for task in tasks}
        )

    def forward(self, losses: Mapping[str, Tensor]) -> LossOutput:
        """Return the weighted sum of ``losses``, scalars by task.

        Raises:
            ConfigError: The tasks are not those that were named.
        """
        _check_tasks(losses, self.log_variances)
        variances = {task: scalar() for task, scalar in self.log_variances.items()}
        parts = [((-v).exp() * losses[task] + v) / 2 for task, v in variances.items()]
        weights = {f"{task}_weight": (-v).exp() / 2 for task, v in variances.items()}
        return LossOutput(torch.stack(parts).sum(), detached(**losses, **weights))


def _check_tasks(losses: Mapping[str, Tensor], known: Mapping[str, object] | nn.ModuleDict) -> None:
    if set(losses) != set(known):
        odd = sorted(set(losses) ^ set(known))
        raise ConfigError(f"losses and weights differ in {odd}", hint=suggest(odd[0], list(known)))
