"""A sampler of one's own: batches that hold as many samples of each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.training.samplers import permutation


class BalancedBatches:
    """Batches with ``each`` samples of every class; rare classes come round more often.

    Args:
        classes: The class of each sample, shape (samples,), int64.
        each: Samples of a class in a batch.
        seed: Any integer.

    Raises:
        ConfigError: There is no sample, or ``each`` is not positive.
    """

    def __init__(self, classes: Tensor, each: int, seed: int) -> None:
        if not len(classes) or each < 1:
            raise ConfigError(f"{len(classes)} samples, {each} of a class in a batch: at least 1")
        names = sorted({*classes.tolist()})
        self._rows = [torch.nonzero(classes == name).flatten() for name in names]
        self._each, self._seed = each, seed
        self._batches = -(-max(map(len, self._rows)) // each)

    def __len__(self) -> int:
        return self._batches

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the sample indices of each batch of ``epoch``, all of it from (seed, epoch)."""
        needed = self._batches * self._each
        columns = []
        for stream, rows in enumerate(self._rows):
            order = rows[permutation(self._seed, epoch, len(rows), stream)]
            columns.append(order.repeat(-(-needed // len(rows)))[:needed].view(-1, self._each))
        return list(torch.cat(columns, 1))
