"""`FusionData`: held-out samples of a task's data as states, in folds by stretches of time."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch

from tutelage.core.config import FusionMode, Training
from tutelage.core.records import Figure, Table
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.fusion.chosen import ChosenCombiner
from tutelage.training.fusion.combiners import Combiner
from tutelage.training.fusion.comparison import comparison_table, weight_table
from tutelage.training.fusion.expert import Expert
from tutelage.training.fusion.fitting import CrossFitted, cross_fit, fit, pass_order, seeded
from tutelage.training.fusion.folds import time_folds
from tutelage.training.fusion.fusible import Fusible
from tutelage.training.fusion.module import CombinerModule
from tutelage.training.fusion.states import States

log = logging.getLogger(__name__)


class FusionData(Fusible):
    """What a combiner is fitted on: samples that no expert was trained on.

    Fold 0 validates, so that it chooses the epoch; the others train. `states` are all samples that
    belong to a fold, with their views; `unseen` are the numbers of fold 0's among those given.

    Args:
        base: The task's data.
        states: Its held-out samples.
        experts: The models whose margins the states begin with.
        mode: Folds and passes.
        training: Seed.

    Raises:
        DataError: A class is missing, or too rare for so many folds.
    """

    evaluation_batch = 1024

    def __init__(
        self,
        base: TaskData,
        states: States,
        experts: Sequence[Expert],
        mode: FusionMode,
        training: Training,
    ) -> None:
        super().__init__(base, experts, mode, training)
        fold, piece = time_folds(
            states.stretch.numpy(), states.label.numpy(), mode.folds, states.gap
        )
        used = torch.from_numpy(fold >= 0)
        held = states.in_stretches(torch.from_numpy(piece)).rows(used)
        self.states = held.with_views()
        self.fold = torch.from_numpy(fold)[used].repeat(1 + len(held.elsewhere))
        self.unseen = torch.from_numpy(np.flatnonzero(fold == 0))
        self.train, self.validation = (
            self.states.rows(self.fold != 0),
            self.states.rows(self.fold == 0),
        )

    def compare(self, module: TaskModule) -> tuple[tuple[Table, ...], tuple[Figure, ...]]:
        """Cross-fit every combiner, set the thresholds, fit the rivals; say which won."""
        assert isinstance(module, CombinerModule)
        fitted: dict[str, CrossFitted] = {}
        finished: dict[str, Combiner] = {}
        chosen: dict[str, ChosenCombiner] = {}
        for name, combiner in module.combiners().items():
            if isinstance(combiner, ChosenCombiner):
                chosen[name] = combiner
            else:
                fitted[name] = self._fitted(module, name, combiner)
                finished[name] = combiner
        selections = {
            name: combiner.choose(self.states, self.fold, fitted, finished)
            for name, combiner in chosen.items()
        }
        comparison = comparison_table(self.states, fitted, module.own, selections)
        log.info("%s", comparison.note)
        return (comparison, weight_table(fitted, self.states.experts)), ()

    def _fitted(self, module: CombinerModule, name: str, combiner: Combiner) -> CrossFitted:
        """Cross-fit a combiner and set its threshold; fit it, if it isn't the trained one."""
        training, passes = self.training, self.training.max_epochs * self.mode.passes
        make, size = module.makers[name], self.batch_size
        found = cross_fit(make, self.states, self.fold, training, passes, size)
        if name != module.own:
            order = pass_order(self.train_size, size, training.seed, passes)
            with seeded(training.seed):
                alone = fit(make(), self.train, training, order)
            combiner.load_state_dict(alone.state_dict())
        combiner.threshold.copy_(torch.tensor(found.threshold))
        return found
