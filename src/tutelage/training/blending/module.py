"""`BlendModule`: a blend as the training loop sees it, with the experts that it averages."""

from __future__ import annotations

from typing import ClassVar

from tutelage.training.blending.blends import Blend
from tutelage.training.blending.opinions import OpinionBatch
from tutelage.training.fusion.learner import ExpertsModule


class BlendModule(ExpertsModule[Blend]):
    """A blend and the experts that it averages, which are in its weights file and never trained.

    A task's own subclass asks the experts at test time (`experts`), and blends what they say
    (`network`).

    Args:
        training: Optimiser, schedule and loop settings.
        experts: The models to blend.
        makers: Makes a fresh blend of each kind that the task offers.
        own: The kind to train.
    """

    validation_metrics: ClassVar[tuple[str, ...]] = ("val/loss",)

    def samples(self, batch: OpinionBatch) -> int:
        """Rows in the batch."""
        return len(batch.outputs)

    def validation_step(self, batch: OpinionBatch, batch_idx: int) -> None:
        """Take up the batch's loss."""
        loss = self.network.likelihood(self.network(batch), batch.target)
        self.mean_loss.update(loss.mean(), len(loss))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all rows."""
        self.log("val/loss", self.mean_loss.compute())
        self.mean_loss.reset()
