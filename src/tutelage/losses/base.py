"""What losses share: the form of a supervised loss over classes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class BaseSupervisedLoss(nn.Module, ABC):
    """A loss of (logits, targets), weighted by class.

    Args:
        num_classes: C, the number of classes.

    The buffer ``class_weights`` (C,) begins as ones; it is saved with the model.
    """

    class_weights: Tensor

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.register_buffer("class_weights", torch.ones(num_classes))

    @abstractmethod
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar, of ``logits`` (B, C) against ``targets`` (B,) int64."""
