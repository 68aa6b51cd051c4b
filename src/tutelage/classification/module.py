"""`ClassifierModule`: a body that an author gives, a scaler before it and a linear layer behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from tutelage.core.config import Training
from tutelage.training.contracts import TaskModule

Batch = tuple[Tensor, Tensor]
"""(B, ...) float32 arrays and (B,) int64 classes, -1 where they are not known."""


class Classifier(nn.Module):
    """Standardises arrays, lets the body make features of them, and logits of these.

    Args:
        body: Takes (B, *shape), returns features (B, F).
        shape: Of one array.
        classes: k, the number of classes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        scaler = (shape[0], *(1 for _ in shape[1:]))
        self.register_buffer("mean", torch.zeros(scaler))
        self.register_buffer("deviation", torch.ones(scaler))
        self.body = body
        self.width: int = _width(body, shape)
        self.head: nn.Linear = nn.Linear(self.width, classes)

    @torch.no_grad()
    def fit_scaler(self, x: Tensor) -> None:
        """Take mean and deviation of each column or channel from training arrays (n, *shape)."""
        others = [axis for axis in range(x.ndim) if axis != 1]
        deviation, mean = torch.std_mean(x.double(), dim=others, keepdim=True, correction=0)
        self.mean.copy_(mean[0])
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0)[0])

    def features(self, x: Tensor) -> Tensor:
        """Return features (B, F) of arrays (B, *shape)."""
        found: Tensor = self.body((x - self.mean) / self.deviation)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, k) of arrays (B, *shape)."""
        logits: Tensor = self.head(self.features(x))
        return logits


@torch.no_grad()
def _width(body: nn.Module, shape: Sequence[int]) -> int:
    """Return the number of features that a body makes, and leave it as it was."""
    training = body.training
    made: Tensor = body.eval()(torch.zeros(2, *shape))
    body.train(training)
    if made.ndim != 2 or len(made) != 2:
        said = f"the body makes {tuple(made.shape)} of two arrays of shape {tuple(shape)}"
        raise ValueError(f"{said}: it has to make (2, features), as nn.Flatten does at its end")
    return made.shape[1]


class ClassifierModule(TaskModule):
    """A classifier with cross-entropy as its loss.

    Args:
        training: Optimiser, schedule and loop settings.
        network: The network.
    """

    validation_metrics: ClassVar[tuple[str, ...]] = ("val/loss", "val/accuracy")
    network: Classifier

    def __init__(self, training: Training, network: Classifier) -> None:
        super().__init__(training)
        self.network = network
        self.feature_width: int = network.width
        self.mean_loss: MeanMetric = MeanMetric()
        self.accuracy: MeanMetric = MeanMetric()

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean cross-entropy and the accuracy."""
        logits = self.network(batch[0])
        hits = (logits.detach().argmax(1) == batch[1]).float().mean()
        return {"loss": self.task_loss(logits, batch), "accuracy": hits}

    def samples(self, batch: Batch) -> int:
        """Examples in the batch."""
        return len(batch[1])

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return logits (B, k) and the features (B, F) that they are made of."""
        features = self.network.features(batch[0])
        return self.network.head(features), features

    def task_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of logits (B, k)."""
        return F.cross_entropy(outputs, batch[1])

    def difficulty_scores(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of each example, (B,)."""
        return F.cross_entropy(self.network(batch[0]), batch[1], reduction="none")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take up the loss and the hits of a batch."""
        logits = self.network(batch[0])
        self.mean_loss.update(self.task_loss(logits, batch), len(batch[1]))
        self.accuracy.update((logits.argmax(1) == batch[1]).float())

    def on_validation_epoch_end(self) -> None:
        """Log the means over all examples."""
        for name, metric in (("loss", self.mean_loss), ("accuracy", self.accuracy)):
            self.log(f"val/{name}", metric.compute())
            metric.reset()
