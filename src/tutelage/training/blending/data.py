"""`BlendData`: what experts say of held-out rows, in folds by groups."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tutelage.core.config import FusionMode, Training
from tutelage.core.errors import DataError
from tutelage.core.records import Figure, Table
from tutelage.training.blending.comparison import Judged, comparison_table, weight_table
from tutelage.training.blending.module import BlendModule
from tutelage.training.blending.opinions import Opinions
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.fusion.expert import Expert
from tutelage.training.fusion.fitting import fit, pass_order, seeded
from tutelage.training.fusion.fusible import Fusible
from tutelage.training.fusion.weight_figure import weight_figure
from tutelage.training.samplers import permutation

log = logging.getLogger(__name__)


class BlendData(Fusible):
    """What a blend is fitted on. Fold 0 validates, so that it chooses the epoch; the others train.

    Args:
        base: The task's data.
        opinions: What the experts say of its held-out rows.
        experts: The experts.
        mode: Folds and passes.
        training: Seed, rate, decay and schedule of every fit.

    Raises:
        DataError: There are fewer groups than folds.
    """

    evaluation_batch = 4096

    def __init__(
        self,
        base: TaskData,
        opinions: Opinions,
        experts: Sequence[Expert],
        mode: FusionMode,
        training: Training,
    ) -> None:
        super().__init__(base, experts, mode, training)
        self.opinions = opinions
        self.fold = group_folds(opinions.group, mode.folds, training.seed)
        self.train = opinions.rows(self.fold != 0)
        self.validation = opinions.rows(self.fold == 0)

    def compare(self, module: TaskModule) -> tuple[tuple[Table, ...], tuple[Figure, ...]]:
        """Cross-fit every kind of blend; say which won, beside each expert alone."""
        assert isinstance(module, BlendModule)
        judged = [self._cross_fitted(module, name) for name in module.makers]
        likelihood = module.network.likelihood
        with torch.inference_mode():
            alone = {
                name: likelihood(self.opinions.outputs[:, at], self.opinions.target)
                for at, name in enumerate(self.opinions.experts)
            }
        comparison = comparison_table(self.opinions, alone, judged, module.own, self.training.seed)
        log.info("%s", comparison.note)
        own = next(one for one in judged if one.name == module.own)
        parts = {
            key: own.weights[self.opinions.key == number]
            for number, key in enumerate(self.opinions.keys)
        }
        drawn = weight_figure(
            f"Weights of the experts in {own.name}, cross-fitted",
            self.opinions.experts,
            {key: weights for key, weights in parts.items() if len(weights)},
        )
        return (comparison, weight_table(self.opinions, judged)), (drawn,)

    def _cross_fitted(self, module: BlendModule, name: str) -> Judged:
        """Judge each row by a blend that was fitted on the other folds."""
        opinions, passes = self.opinions, self.training.max_epochs * self.mode.passes
        loss = torch.zeros(len(opinions))
        weights = torch.zeros(opinions.outputs.shape[:2])
        for number in range(self.mode.folds):
            away = (self.fold == number).nonzero().flatten()
            rest = opinions.rows(self.fold != number)
            order = pass_order(len(rest), self.batch_size, self.training.seed, passes)
            with seeded(self.training.seed + number):
                blend = fit(module.makers[name](), rest, self.training, order)
            with torch.inference_mode():
                batch = opinions.batch(away)
                loss[away] = blend.likelihood(blend(batch), batch.target)
                weights[away] = blend.weights(batch)
        return Judged(name, loss, weights)


def group_folds(group: Tensor, folds: int, seed: int) -> Tensor:
    """Deal groups out at random to folds of as many groups; return each row's fold, (n,).

    Raises:
        DataError: There are fewer groups than folds.
    """
    groups, place = np.unique(group.numpy(), return_inverse=True)
    count = len(groups)
    if count < folds:
        raise DataError(
            f"the held-out training data have {count} groups, fewer than {folds} folds",
            hint="Hold out more, or set fewer mode.folds.",
        )
    return (permutation(seed, 0, count) % folds)[torch.from_numpy(place)]
