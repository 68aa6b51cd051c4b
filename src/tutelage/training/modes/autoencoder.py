"""Mode *autoencoder*: learn to reconstruct, to know the anomalous or before anything else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tutelage.core.config import AutoencoderMode
from tutelage.core.errors import ConfigError
from tutelage.task import SupportsAutoencoder
from tutelage.training.batch_optimizer import BatchSizeChoice
from tutelage.training.contracts import AnomalyScorer, Objective, TaskData, TaskModule
from tutelage.training.modes.base import BaseTrainer


class Pretraining(Objective):
    """An objective for the first epochs; then the module's own.

    Args:
        objective: What the first epochs train by.
        epochs: How many they are.
    """

    def __init__(self, objective: Objective, epochs: int) -> None:
        super().__init__()
        self.objective, self.epochs = objective, epochs

    def forward(self, module: TaskModule, batch: Any) -> dict[str, Tensor]:
        """Return the scalars of the objective whose turn it is."""
        if module.current_epoch >= self.epochs:
            return module.step(batch)
        scalars: dict[str, Tensor] = self.objective(module, batch)
        return scalars


class AutoencoderTrainer(BaseTrainer):
    """Trains by reconstruction, all the time or at first; sets the threshold of an anomaly scorer.

    A model that has another objective besides is pretrained: reconstruction trains it for the first
    epochs, the other objective for the rest, and the best weights are one of these.
    """

    @property
    def mode(self) -> AutoencoderMode:
        """The settings of this mode."""
        mode = self.config.mode
        assert isinstance(mode, AutoencoderMode)
        return mode

    def prepare(self) -> TaskData:
        """Reduce training and validation to what is to be reconstructed."""
        if not isinstance(self.task, SupportsAutoencoder):
            raise ConfigError(f"the task {self.task.name!r} has no autoencoder")
        return self.task.normal_data(super().prepare())

    def build(self, data: TaskData) -> TaskModule:
        """Make the model; where it is pretrained, with the objective of the first epochs.

        Raises:
            ConfigError: A setting does nothing for this model.
        """
        module = super().build(data)
        assert isinstance(self.task, SupportsAutoencoder)
        objective = self.task.pretraining(self.config, module, data)
        self._check(module, objective)
        if objective is not None:
            self.ranked_from = self.mode.pretraining_epochs(self.config.training.max_epochs)
            module.objective = Pretraining(objective, self.ranked_from)
        return module

    def fit(self, module: TaskModule, data: TaskData) -> None:
        """Train, then let the objective of the first epochs go."""
        super().fit(module, data)
        module.objective = None

    def calibrate(self, module: TaskModule, data: TaskData) -> None:
        """Set an anomaly scorer's threshold to a quantile of held-out normal samples' scores.

        In a cross-validation it is those of training samples: what a fold holds out is what it is
        scored on, and where all train nothing is held out.
        """
        if not isinstance(module, AnomalyScorer):
            return
        own_split = self.config.data.fold is None
        with torch.inference_mode():
            scores = [
                module.anomaly_scores(data.transfer_batch_to_device(batch, module.device, 0))
                for batch in (data.val_dataloader() if own_split else data.train_dataloader())
            ]
        threshold = torch.cat(scores).quantile(self.mode.threshold_quantile)
        module.get_buffer("threshold").fill_(threshold)

    # ---- helpers

    def _check(self, module: TaskModule, objective: Objective | None) -> None:
        model = self.config.model.name
        reasons = {
            "threshold_quantile": None
            if isinstance(module, AnomalyScorer)
            else f"the model {model!r} scores no anomalies",
            "pretraining_fraction": None
            if objective is not None
            else f"the model {model!r} has no other objective than reconstruction",
        }
        for name, reason in reasons.items():
            if reason is not None and name in self.mode.moved():
                raise ConfigError(reason, where=f"mode.{name}", hint=f"Leave mode.{name} out.")

    def _measured(self, module: TaskModule, data: TaskData) -> BatchSizeChoice:
        """Measure the best batch size for each objective in turn; the smaller one suits both."""
        choices = [super()._measured(module, data)]
        if (first := module.objective) is not None:
            module.objective = None
            choices.append(super()._measured(module, data))
            module.objective = first
        return min(choices, key=lambda choice: choice.size)
