"""`BlockMean`: a mean over samples that come in blocks, and how far chance may have moved it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

ERROR = "error/"
"""What the name of a metric's standard error begins with, before the metric's own."""


class BlockMean(Metric):
    """A mean over samples, with a standard error from the spread of the blocks' means.

    A block is what one update brings. Where samples come in order of time its samples are
    neighbours, so that their being alike does not pass for certainty.
    """

    full_state_update: bool | None = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(6, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, mean: Tensor, samples: int) -> None:
        """Take up a block's mean, a scalar, of so many samples."""
        m = mean.detach().double()
        n = torch.tensor(float(samples), dtype=torch.float64, device=m.device)
        part = torch.stack([torch.ones_like(m), n, n * m, n * n, n * n * m, n * n * m * m])
        self.sums = self.sums + part.to(self.sums.device)

    def compute(self) -> Tensor:
        """Return the mean over all samples; NaN without any."""
        return (self.sums[2] / self.sums[1]).float()

    def error(self) -> float | None:
        """Return the mean's standard error over blocks; null where there is one block or none."""
        blocks, samples, total, squares, first, second = self.sums.tolist()
        if blocks < 2:
            return None
        mean = total / samples
        spread = max(0.0, second - 2.0 * mean * first + mean * mean * squares)
        return float((spread * blocks / (blocks - 1.0)) ** 0.5 / samples)
