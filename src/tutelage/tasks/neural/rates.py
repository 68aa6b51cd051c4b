"""`RateModel`: what evaluation asks of a model, be it one network or several that are blended."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from tutelage.tasks.neural.batch import SessionChunk


class RateModel(Protocol):
    """Predicts the responses of sessions' units."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        ...

    def eval(self) -> object:
        """Put it into evaluation."""
        ...

    def rates(self, chunk: SessionChunk) -> Tensor:
        """Return the expected responses (B, L, N) of one chunk."""
        ...

    def kernels(self) -> dict[str, Tensor]:
        """Return the first filters, name to (F, lags, h, w), the oldest frame first."""
        ...
