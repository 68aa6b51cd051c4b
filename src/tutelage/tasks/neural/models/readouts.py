"""Readouts of one session: Gaussian, factorised or full weights over the shared features."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from tutelage.tasks.neural.models.geometry import Axis


class ReadoutLayer(nn.Module, ABC):
    """A linear map from features to each unit's drive: one weight a unit, place and channel.

    Args:
        units: N.
        rows: Where the features lie from top to bottom, h of them.
        columns: The same from left to right, w.
        channels: C.
    """

    def __init__(self, units: int, rows: Axis, columns: Axis, channels: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.shape = (units, rows.size, columns.size, channels)
        y, x = (torch.linspace(-1, 1, axis.size) if axis.size > 1 else torch.zeros(1)
                for axis in (rows, columns))  # fmt: skip
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)
        self.register_buffer("grid", grid, persistent=False)

    @abstractmethod
    def weights(self) -> Tensor:
        """Return (N, h, w, C)."""

    @abstractmethod
    def places(self) -> Tensor:
        """Return (N, h, w), how much each unit reads from each place, at least 0."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the drive (B, L, N) of features (B, L, h, w, C), in one product."""
        drive: Tensor = features.flatten(2) @ self.weights().flatten(1).t()
        return drive

    def centres(self) -> Tensor:
        """Return (N, 2), the mean place that each unit reads from: row and column in pixels."""
        grid = self.get_buffer("grid")
        with torch.no_grad():
            share = self.places()
            share = share / share.sum((1, 2), keepdim=True).clamp(min=1e-12)
            mean = torch.einsum("nhw,hwd->nd", share, grid)
        axes = (self.rows, self.columns)
        pixels = [axis.first + (mean[:, i] + 1) / 2 * (axis.size - 1) * axis.stride
                  for i, axis in enumerate(axes)]  # fmt: skip
        return torch.stack(pixels, dim=1)


class GaussianReadout(ReadoutLayer):
    """A turned Gaussian over places times weights of channels (after Lurz et al. 2021).

    Source: https://openreview.net/forum?id=Tp7kI90Htd; the mean is a parameter, and the whole
    Gaussian is read, so that there is nothing to sample.
    """

    def __init__(self, units: int, rows: Axis, columns: Axis, channels: int) -> None:
        super().__init__(units, rows, columns, channels)
        self.mean = nn.Parameter(0.2 * torch.randn(units, 2))
        self.log_std = nn.Parameter(torch.full((units, 2), math.log(0.4)))
        self.angle = nn.Parameter(torch.zeros(units))
        self.features = nn.Parameter(0.3 / math.sqrt(channels) * torch.randn(units, channels))

    def places(self) -> Tensor:
        """Return the Gaussians, each with sum 1."""
        away = self.get_buffer("grid") - self.mean[:, None, None]
        cos, sin = self.angle.cos()[:, None, None], self.angle.sin()[:, None, None]
        along = away[..., 0] * cos + away[..., 1] * sin
        across = away[..., 1] * cos - away[..., 0] * sin
        std = self.log_std.exp()[:, None, None]
        distance = (along / std[..., 0]).square() + (across / std[..., 1]).square()
        return (-0.5 * distance).flatten(1).softmax(1).view(distance.shape)

    def weights(self) -> Tensor:
        """Return (N, h, w, C)."""
        return self.places()[..., None] * self.features[:, None, None]


class FactorisedReadout(ReadoutLayer):
    """Weights of places times weights of channels (Klindt et al. 2017, arXiv 1711.02653)."""

    def __init__(self, units: int, rows: Axis, columns: Axis, channels: int) -> None:
        super().__init__(units, rows, columns, channels)
        places = torch.randn(units, rows.size, columns.size)
        self.spatial = nn.Parameter(0.01 * places + 1 / (rows.size * columns.size))
        self.features = nn.Parameter(0.4 / math.sqrt(channels) * torch.randn(units, channels))

    def places(self) -> Tensor:
        """Return the sizes of the spatial weights, squared, so that noise counts little."""
        return self.spatial.square()

    def weights(self) -> Tensor:
        """Return (N, h, w, C)."""
        return self.spatial[..., None] * self.features[:, None, None]


class LinearReadout(ReadoutLayer):
    """A weight for each place and channel."""

    def __init__(self, units: int, rows: Axis, columns: Axis, channels: int) -> None:
        super().__init__(units, rows, columns, channels)
        size = (channels, rows.size, columns.size)
        self.weight = nn.Parameter(0.1 / math.sqrt(math.prod(size)) * torch.randn(units, *size))

    def places(self) -> Tensor:
        """Return the squared weights, summed over channels."""
        return self.weight.square().sum(1)

    def weights(self) -> Tensor:
        """Return (N, h, w, C)."""
        return self.weight.permute(0, 2, 3, 1)


READOUTS: dict[str, type[ReadoutLayer]] = {
    "gaussian": GaussianReadout,
    "factorised": FactorisedReadout,
    "linear": LinearReadout,
}
