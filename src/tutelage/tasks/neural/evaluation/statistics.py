"""`UnitStatistics`: sums per unit from which every score follows, the same for any world size."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

TINY_RATE = 1e-8
"""Smallest predicted rate whose logarithm is taken."""


class UnitStatistics(Metric):
    """Sufficient statistics of predicted and recorded responses of one session's units.

    Only sums are kept, in 64 bits, so that they may be gathered in any order over batches and
    processes; a score is computed once, from their totals, and never clamped.

    Args:
        units: N.
    """

    count: Tensor
    rates: Tensor
    responses: Tensor
    rates_squared: Tensor
    responses_squared: Tensor
    products: Tensor
    log_rates: Tensor

    full_state_update = False

    def __init__(self, units: int) -> None:
        super().__init__(sync_on_compute=True)
        for name in (
            "count", "rates", "responses", "rates_squared", "responses_squared", "products",
            "log_rates",
        ):  # fmt: skip
            zeros = torch.zeros(units, dtype=torch.float64)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")

    def update(self, rates: Tensor, responses: Tensor, valid: Tensor) -> None:
        """Add predictions.

        Args:
            rates: (..., N) expected responses a bin.
            responses: (..., N) what was recorded.
            valid: (..., N) bool, which entries count; elsewhere both may hold anything.
        """
        units = rates.shape[-1]
        counted = valid.reshape(-1, units)
        r, y = (
            torch.where(counted, each.reshape(-1, units), 0).double() for each in (rates, responses)
        )
        self.count += counted.sum(0)
        self.rates += r.sum(0)
        self.responses += y.sum(0)
        self.rates_squared += r.square().sum(0)
        self.responses_squared += y.square().sum(0)
        self.products += (r * y).sum(0)
        self.log_rates += torch.where(counted, y * r.clamp(min=TINY_RATE).log(), 0).sum(0)

    def compute(self) -> dict[str, Tensor]:
        """Return (N,) ``corr`` and ``bps`` of each unit; not-a-number where they are undefined."""
        return {"corr": self.corr(), "bps": self.bits_per_spike()}

    def corr(self) -> Tensor:
        """Return (N,) Pearson correlations; not-a-number where either side never varies."""
        n = self.count
        covariance = self.products - self.rates * self.responses / n
        spread = (self.rates_squared - self.rates.square() / n) * (
            self.responses_squared - self.responses.square() / n
        )
        floor = 1e-12 * self.rates_squared * self.responses_squared
        known = spread > floor
        return torch.where(known, covariance / spread.clamp(min=1e-300).sqrt(), torch.nan)

    def bits_per_spike(self) -> Tensor:
        """Return (N,) bits per spike over the mean rate; not-a-number for units without a spike.

        [sum(y log r - r) - sum(y log m - m)] / sum(y) / log 2 with m the mean of y: negative where
        the prediction is worse than a constant (Pillow et al. 2008, doi:10.1038/nature07140).
        """
        mean = self.responses / self.count
        model = self.log_rates - self.rates
        null = self.responses * mean.clamp(min=TINY_RATE).log() - self.responses
        spikes = self.responses.clamp(min=1e-300)
        bits = (model - null) / spikes / math.log(2)
        return torch.where(self.responses > 0, bits, torch.nan)
