"""Lightning modules: `GATModule` classifies windows, `VGAEModule` scores anomalies."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision, BinaryF1Score

from tutelage.core.config import Training
from tutelage.losses import BaseSupervisedLoss, get_loss
from tutelage.tasks.can.config import GATConfig, VGAEConfig
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.models import VGAE, GATOutput, GATWithJK, NodeInput
from tutelage.training.block_mean import ERROR, BlockMean
from tutelage.training.contracts import TaskModule


class BaseCANGraphModule(TaskModule):
    """A network over window graphs that gives each window a score and an alarm.

    Args:
        training: Optimiser, schedule and loop settings.
        network: The network; its ``input`` scales the features.

    The buffer ``threshold`` is the score above which a window raises an alarm.
    """

    threshold: Tensor

    def __init__(self, training: Training, network: nn.Module, threshold: float) -> None:
        super().__init__(training)
        self.network = network
        self.register_buffer("threshold", torch.tensor(threshold))
        self.mean_loss: BlockMean = BlockMean()

    @property
    def input(self) -> NodeInput:
        """The part of the network that scales features."""
        part = self.network.input
        assert isinstance(part, NodeInput)
        return part

    @abstractmethod
    def scores(self, batch: GraphBatch) -> Tensor:
        """Return one score a window, (B,); larger is more suspicious."""

    def samples(self, batch: GraphBatch) -> int:
        """Windows in the batch."""
        return batch.num_graphs

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss over all windows, and its standard error over batches."""
        self.log("val/loss", self.mean_loss.compute())
        if (error := self.mean_loss.error()) is not None:
            self.log(f"{ERROR}val/loss", error)
        self.mean_loss.reset()


class GATModule(BaseCANGraphModule):
    """Classifies windows; the score is the probability of an attack.

    Args:
        config: Sizes and loss.
        training: Optimiser, schedule and loop settings.
        num_ids: Ids of the vocabulary.
    """

    validation_metrics: ClassVar[tuple[str, ...]] = ("val/loss", "val/f1", "val/auroc", "val/auprc")
    default_monitor: ClassVar[str] = "val/loss"

    def __init__(self, config: GATConfig, training: Training, num_ids: int) -> None:
        super().__init__(training, GATWithJK(config, num_ids), threshold=0.5)
        loss = get_loss(config.loss)
        assert isinstance(loss, BaseSupervisedLoss)
        self.loss = loss
        self.feature_width = self.network.feature_width
        self.metrics: MetricCollection = MetricCollection(
            {
                "val/f1": BinaryF1Score(),
                "val/auroc": BinaryAUROC(thresholds=512),
                "val/auprc": BinaryAveragePrecision(thresholds=512),
            }
        )

    def outputs(self, batch: GraphBatch) -> GATOutput:
        """Return (B, 2) logits and (B, F) pooled features, from one forward pass."""
        outputs: GATOutput = self.network(
            batch.x,
            batch.id_index,
            batch.edge_index,
            batch.edge_attr,
            batch.batch,
            batch.num_graphs,
        )
        return outputs

    def logits(self, batch: GraphBatch) -> Tensor:
        """Return (B, 2) logits."""
        return self.outputs(batch).logits

    def task_loss(self, logits: Tensor, batch: GraphBatch) -> Tensor:
        """Return the loss of (B, 2) logits against the labels."""
        loss: Tensor = self.loss(logits, batch.y)
        return loss

    def step(self, batch: GraphBatch) -> dict[str, Tensor]:
        """Return the loss of the batch."""
        return {"loss": self.task_loss(self.logits(batch), batch)}

    def scores(self, batch: GraphBatch) -> Tensor:
        """Return (B,) probabilities of an attack."""
        return self.logits(batch).softmax(dim=1)[:, 1]

    def validation_step(self, batch: GraphBatch, batch_idx: int) -> None:
        """Take up the batch's loss and scores."""
        logits = self.logits(batch)
        self.mean_loss.update(self.task_loss(logits, batch), batch.num_graphs)
        self.metrics.update(logits.softmax(dim=1)[:, 1], batch.y)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over all windows."""
        super().on_validation_epoch_end()
        self.log_dict(self.metrics.compute())
        self.metrics.reset()


class VGAEModule(BaseCANGraphModule):
    """Reconstructs benign windows; the score is the error of the worst reconstructed node.

    Args:
        config: Sizes and weights of the parts of the loss.
        training: Optimiser, schedule and loop settings.
        num_ids: Ids of the vocabulary.
    """

    def __init__(self, config: VGAEConfig, training: Training, num_ids: int) -> None:
        super().__init__(training, VGAE(config, num_ids), threshold=torch.finfo(torch.float32).max)
        self.id_weight: float = config.id_weight
        self.kl_weight: float = config.kl_weight

    def step(self, batch: GraphBatch) -> dict[str, Tensor]:
        """Return the loss of the batch and its parts."""
        parts = self.network(batch.x, batch.id_index, batch.edge_index, batch.edge_attr)
        features, identity, divergence = (part.mean() for part in parts)
        loss = features + self.id_weight * identity + self.kl_weight * divergence
        return {
            "loss": loss,
            "feature_error": features.detach(),
            "id_error": identity.detach(),
            "divergence": divergence.detach(),
        }

    def scores(self, batch: GraphBatch) -> Tensor:
        """Return (B,) errors of each window's worst node, in the units of the loss."""
        parts = self.network(batch.x, batch.id_index, batch.edge_index, batch.edge_attr)
        error = parts.feature_error + self.id_weight * parts.id_error
        worst: Tensor = scatter(error, batch.batch, 0, batch.num_graphs, reduce="max")
        return worst

    def anomaly_scores(self, batch: GraphBatch) -> Tensor:
        """Return `scores`; the autoencoder mode sets the threshold by these."""
        return self.scores(batch)

    difficulty_scores = anomaly_scores

    def validation_step(self, batch: GraphBatch, batch_idx: int) -> None:
        """Take up the batch's loss."""
        self.mean_loss.update(self.step(batch)["loss"], batch.num_graphs)
