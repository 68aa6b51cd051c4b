"""Mode *autoencoder*: learn to reconstruct normal samples; what reconstructs badly is anomalous."""

from __future__ import annotations

import torch

from tutelage.core.config import AutoencoderMode
from tutelage.core.errors import ConfigError
from tutelage.task import SupportsAutoencoder
from tutelage.training.contracts import AnomalyScorer, TaskData, TaskModule
from tutelage.training.modes.base import BaseTrainer


class AutoencoderTrainer(BaseTrainer):
    """Trains on normal samples alone, then sets the threshold on held-out normal samples."""

    def prepare(self) -> TaskData:
        """Reduce training and validation to samples known to be normal."""
        if not isinstance(self.task, SupportsAutoencoder):
            raise ConfigError(f"the task {self.task.name!r} has no autoencoder")
        return self.task.normal_data(super().prepare())

    def calibrate(self, module: TaskModule, data: TaskData) -> None:
        """Set the threshold to a quantile of the scores of held-out normal samples."""
        mode = self.config.mode
        assert isinstance(mode, AutoencoderMode) and isinstance(module, AnomalyScorer)
        with torch.inference_mode():
            scores = [
                module.anomaly_scores(data.transfer_batch_to_device(batch, module.device, 0))
                for batch in data.val_dataloader()
            ]
        module.threshold.fill_(torch.cat(scores).quantile(mode.threshold_quantile))
