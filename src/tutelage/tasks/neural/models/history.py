"""History filters: what a unit's own past responses add to its drive."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HistoryFilter(nn.Module):
    """A causal filter for each unit over its own past, without the present; zero at first.

    Source: Pillow et al. 2008, https://doi.org/10.1038/nature07140.

    Args:
        units: N.
        lags: Frames of the past, at most as many as there are of history.
    """

    def __init__(self, units: int, lags: int) -> None:
        super().__init__()
        self.lags = lags
        self.weight = nn.Parameter(torch.zeros(units, lags))

    def forward(self, past: Tensor, responses: Tensor) -> Tensor:
        """Return what the past adds to the drive, (B, L, N).

        Args:
            past: (B, C, N) responses of the frames before.
            responses: (B, L, N) those of the predicted frames; the last one's is not read.
        """
        known = torch.cat([past[:, past.shape[1] - self.lags :], responses[:, :-1]], dim=1)
        windows = known.to(self.weight.dtype).unfold(1, self.lags, 1)
        return torch.einsum("blnk,nk->bln", windows, self.weight)
