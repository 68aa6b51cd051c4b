"""What losses share: the form of a supervised loss over classes, and of one over two towers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError
from tutelage.losses.positives import Pairing, check_ids, distinct_ids


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


@dataclass(frozen=True)
class LossOutput:
    """A loss and what is worth seeing of it.

    Args:
        loss: A scalar to descend.
        metrics: Detached scalars by name, such as ``temperature``.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)


SameId = Literal["positive", "ignored"]
"""What two items of one id are that are no pair: positives, or neither positive nor negative."""


class BaseContrastiveLoss(nn.Module, ABC):
    """A loss of two towers' embeddings: it checks a batch, and computes in float32 or float64.

    What it learns itself (a temperature, a bias, a projection) are its parameters: give them to
    the optimiser, and its ``state_dict`` to the checkpoint.
    """

    takes_targets: ClassVar[bool] = False
    """Whether soft targets may be given."""

    needs_shared_ids: ClassVar[bool] = False
    """Whether it learns little from ids that are all different."""

    def __init__(self) -> None:
        super().__init__()
        self._ids_are_checked = False

    def forward(
        self,
        a: Tensor,
        b: Tensor,
        *,
        ids: Tensor | None = None,
        ids_b: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> LossOutput:
        """Return the loss of a batch.

        Args:
            a: (N, d) embeddings; a loss that compares directions normalises them itself.
            b: (M, d).
            ids: (N,) integers, or (N, L) zeros and ones: items with one id (or a label in
                common) belong together, as `positives.positive_mask` says. Without them item i of
                ``a`` belongs to item i of ``b``. A loss without negatives reads none.
            ids_b: (M,) or (M, L); without them those of ``a``.
            targets: (N, M) soft targets in place of ids, where `takes_targets`.

        Raises:
            DataError: Shapes do not fit one another.
            ConfigError: Soft targets are given to a loss that takes none.
        """
        if targets is not None and not self.takes_targets:
            problem = f"{type(self).__name__} takes no soft targets"
            raise ConfigError(problem, hint="Give ids, or take clip or siglip.")
        pairing = Pairing.of(a, b, ids, ids_b, targets)
        if ids is not None and not self._ids_are_checked:
            self._ids_are_checked = True
            if self.needs_shared_ids or distinct_ids(ids) == 1:
                check_ids(ids, "ids of the first batch")
        with torch.autocast(a.device.type, enabled=False):
            return self.compare(at_least_float(a), at_least_float(b), pairing)

    @abstractmethod
    def compare(self, a: Tensor, b: Tensor, pairing: Pairing) -> LossOutput:
        """Return the loss of ``a`` (N, d) and ``b`` (M, d), float32 or float64."""


def at_least_float(x: Tensor) -> Tensor:
    """Return ``x`` in float32 where its precision is less."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def detached(**metrics: Tensor) -> dict[str, Tensor]:
    """Return the metrics without their graphs."""
    return {name: value.detach() for name, value in metrics.items()}
