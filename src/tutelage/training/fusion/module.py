"""`CombinerModule`: a combiner as the training loop sees it, with the experts and its rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import nn
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision, BinaryF1Score

from tutelage.core.config import Training
from tutelage.training.contracts import TaskModule
from tutelage.training.fusion.combiners import Combiner, log_loss
from tutelage.training.fusion.learner import ExpertsModule
from tutelage.training.fusion.states import StateBatch

_KEY = "fusion_learning"
Makers = Mapping[str, Callable[[], Combiner]]


class CombinerModule(ExpertsModule[Combiner]):
    """A combiner, the experts that it combines, and the other combiners that it stands beside.

    All of them are in the state dict, so that one file of weights has everything. The loop trains
    the combiner on states; experts and rivals stay as they are.

    Args:
        training: Optimiser, schedule and loop settings.
        experts: The models to combine; they are never trained.
        makers: Makes a fresh combiner of each kind.
        own: The kind to train.
    """

    validation_metrics: ClassVar[tuple[str, ...]] = ("val/loss", "val/f1", "val/auroc", "val/auprc")
    default_monitor: ClassVar[str] = "val/loss"

    def __init__(
        self, training: Training, experts: Sequence[TaskModule], makers: Makers, own: str
    ) -> None:
        super().__init__(training, experts, makers, own)
        rivals = {name: make() for name, make in makers.items() if name != own}
        self.rivals: nn.ModuleDict = nn.ModuleDict(rivals).requires_grad_(False)
        self.metrics: MetricCollection = MetricCollection(
            {
                "val/f1": BinaryF1Score(),
                "val/auroc": BinaryAUROC(thresholds=512),
                "val/auprc": BinaryAveragePrecision(thresholds=512),
            }
        )

    def combiners(self) -> dict[str, Combiner]:
        """The trained combiner and its rivals, by kind, in the makers' order."""
        return {
            name: self.network if name == self.own else self._rival(name) for name in self.makers
        }

    def _rival(self, name: str) -> Combiner:
        rival = self.rivals[name]
        assert isinstance(rival, Combiner)
        return rival

    def samples(self, batch: StateBatch) -> int:
        """Samples in the batch."""
        return len(batch.label)

    def validation_step(self, batch: StateBatch, batch_idx: int) -> None:
        """Take up the batch's scores."""
        score = self.network(batch.state)
        self.mean_loss.update(log_loss(score, batch.label), len(batch.label))
        self.metrics.update(score, batch.label)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over all samples."""
        self.log("val/loss", self.mean_loss.compute())
        self.log_dict(self.metrics.compute())
        self.mean_loss.reset()
        self.metrics.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a combiner learns with beside its weights: a target network, a replay buffer."""
        checkpoint[_KEY] = self.network.learning_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with it."""
        self.network.load_learning_state(checkpoint[_KEY])
