"""The core's first layer: temporal basis, fixed Gabor energies, learned filters, or nothing."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.tasks.neural.models.config import (
    ConvFrontend,
    GaborFrontend,
    NoFrontend,
    TemporalFrontend,
)
from tutelage.tasks.neural.models.geometry import Axis
from tutelage.tasks.neural.models.layers import ClipConv, ClipNorm, clip_of


class FrontendLayer(nn.Module, ABC):
    """From standardised frames (B, T, H, W) to a clip (B, T', H', W', `channels`)."""

    channels: int

    @abstractmethod
    def forward(self, frames: Tensor) -> Tensor:
        """Return the clip."""

    @abstractmethod
    def axis(self, axis: Axis) -> Axis:
        """Return where the clip's places lie along one side."""

    def kernels(self) -> Tensor:
        """Return the filters, (F, lags, h, w), the oldest frame first; none where none are."""
        return torch.empty(0)


class Pixels(FrontendLayer):
    """Pixels as they are."""

    channels = 1

    def forward(self, frames: Tensor) -> Tensor:
        """Return (B, T, H, W, 1)."""
        return frames[..., None]

    def axis(self, axis: Axis) -> Axis:
        """Return the axis as it is."""
        return axis


def raised_cosines(count: int, lags: int) -> Tensor:
    """Return (count, lags) bumps over the past, narrow near the present, the oldest frame first.

    Evenly spaced over the logarithm of the lag (Pillow et al. 2008, doi:10.1038/nature07140), each
    scaled to norm 1.
    """
    position = torch.log(torch.arange(lags) + 1.0)
    centres = torch.linspace(0, float(position[-1]), count) if count > 1 else torch.zeros(1)
    width = float(position[-1]) / max(1, count - 1) if lags > 1 else 1.0
    phase = ((position - centres[:, None]) / max(width, 1e-6)).clamp(-2, 2) * (math.pi / 2)
    bumps = (1 + torch.cos(phase)) / 2
    return F.normalize(bumps, dim=1).flip(1)


class TemporalBasis(FrontendLayer):
    """The same temporal filters for each pixel, each a learned sum of raised cosines.

    Args:
        config: Lags, filters and cosines.
    """

    basis: Tensor

    def __init__(self, config: TemporalFrontend) -> None:
        super().__init__()
        self.channels, self.lags = config.channels, config.lags
        count = min(config.basis, config.lags)
        self.register_buffer("basis", raised_cosines(count, config.lags), persistent=False)
        self.weight = nn.Parameter(torch.randn(config.channels, count) / math.sqrt(count))

    def kernels(self) -> Tensor:
        """Return the filters, (channels, lags, 1, 1)."""
        return (self.weight @ self.basis).detach()[:, :, None, None]

    def axis(self, axis: Axis) -> Axis:
        """Return the axis as it is."""
        return axis

    def forward(self, frames: Tensor) -> Tensor:
        """Return (B, T - lags + 1, H, W, channels)."""
        return in_time(frames, self.weight @ self.basis)

    def cosines(self, frames: Tensor) -> Tensor:
        """Return (B, T - lags + 1, H, W, basis), of which `weight` makes the channels."""
        return in_time(frames, self.basis)


def in_time(frames: Tensor, kernels: Tensor) -> Tensor:
    """Filter each pixel in time by one product with a banded matrix.

    Args:
        frames: (B, T, H, W).
        kernels: (F, lags), the oldest frame first.

    Returns:
        (B, T - lags + 1, H, W, F).
    """
    batch, length, height, width = frames.shape
    filters, lags = kernels.shape
    outputs = length - lags + 1
    row = torch.arange(outputs, device=frames.device)[:, None, None]
    channel = torch.arange(filters, device=frames.device)[None, :, None]
    lag = torch.arange(lags, device=frames.device)[None, None, :]
    banded = kernels.new_zeros(outputs, filters, length).index_put(
        (row, channel, row + lag), kernels.expand(outputs, -1, -1)
    )
    clip = banded.view(-1, length) @ frames.flatten(2)
    return clip.view(batch, outputs, filters, height, width).permute(0, 1, 3, 4, 2)


class GaborEnergy(FrontendLayer):
    """Energies of quadrature Gabor pairs, luminance and its square; standardised, never learned.

    Long waves are looked at on a halved image. Complex cells in V1 are modelled so (Adelson &
    Bergen 1985, doi:10.1364/JOSAA.2.000284).

    Args:
        config: Wavelengths, orientations, stride.
    """

    HALVED = 8.0
    """Wavelength in pixels from which the image is halved first."""

    def __init__(self, config: GaborFrontend) -> None:
        super().__init__()
        self.stride, self.orientations = config.stride, config.orientations
        self.wavelengths = config.wavelengths
        self.channels = len(config.wavelengths) * config.orientations + 2
        for scale, wavelength in enumerate(config.wavelengths):
            seen = wavelength / 2 if wavelength >= self.HALVED else wavelength
            pairs = gabor_pairs(seen, config.orientations, config.bandwidth)
            self.register_buffer(f"pairs{scale}", pairs, persistent=False)
        self.norm = ClipNorm(self.channels, affine=False)

    def axis(self, axis: Axis) -> Axis:
        """Return the axis in steps of `stride`."""
        return axis.pool(self.stride)

    def kernels(self) -> Tensor:
        """Return the even filters of the finest scale, (orientations, 1, k, k)."""
        return self.get_buffer("pairs0")[: self.orientations]

    def forward(self, frames: Tensor) -> Tensor:
        """Return (B, T, H / stride, W / stride, channels)."""
        images = frames.flatten(0, 1)[:, None]
        with torch.set_grad_enabled(torch.is_grad_enabled() and frames.requires_grad):
            half = F.avg_pool2d(images, 2)
            maps = [self._energy(images, half, scale) for scale in range(len(self.wavelengths))]
            maps += [F.avg_pool2d(each, self.stride) for each in (images, images.square())]
        joined = torch.cat(maps, dim=1).contiguous(memory_format=torch.channels_last)
        normed: Tensor = self.norm(clip_of(joined, *frames.shape[:2]))
        return normed

    def _energy(self, images: Tensor, half: Tensor, scale: int) -> Tensor:
        pairs = self.get_buffer(f"pairs{scale}")
        halved = self.wavelengths[scale] >= self.HALVED
        margin = pairs.shape[-1] // 2
        seen = F.pad(half if halved else images, (margin,) * 4, mode="replicate")
        stride = 1 if halved else 2
        even, odd = F.conv2d(seen, pairs, stride=stride).chunk(2, dim=1)
        energy = (even.square() + odd.square() + 1e-6).sqrt()
        return F.avg_pool2d(energy[..., : half.shape[2], : half.shape[3]], self.stride // 2)


def gabor_pairs(wavelength: float, orientations: int, bandwidth: float) -> Tensor:
    """Return (2 * orientations, 1, k, k) Gabor filters: all even ones, then all odd ones.

    Each has mean 0 under its envelope and norm 1.

    Args:
        wavelength: Pixels a cycle.
        orientations: Directions over half a turn.
        bandwidth: Standard deviation of the envelope in wavelengths.
    """
    sigma = bandwidth * wavelength
    half = math.ceil(2.5 * sigma)
    grid = torch.arange(-half, half + 1.0)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    envelope = torch.exp(-(x.square() + y.square()) / (2 * sigma**2))
    angle = torch.arange(orientations) * math.pi / orientations
    along = x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None]
    phase = torch.tensor([0.0, math.pi / 2])[:, None, None, None]
    waves = envelope * torch.cos(2 * math.pi * along / wavelength + phase)
    waves = waves - envelope * (waves.sum((2, 3), keepdim=True) / envelope.sum())
    return F.normalize(waves.flatten(0, 1).flatten(1), dim=1).view(-1, 1, *envelope.shape)


class LearnedFilters(FrontendLayer):
    """A learned convolution over space and time, and energies of pairs of such filters.

    A complex cell answers to a grating whatever its phase: no single filter tells of it, the energy
    of two that are a quarter of a wave apart does (Adelson & Bergen 1985).

    Args:
        config: Lags, filters, pairs, kernel, stride.
    """

    def __init__(self, config: ConvFrontend) -> None:
        super().__init__()
        self.filters, self.pairs = config.channels, config.pairs
        self.channels = config.channels + config.pairs
        size = (config.kernel, config.lags)
        filters = config.channels + 2 * config.pairs
        self.conv = ClipConv(1, filters, *size, stride=config.stride, bias=False)

    def kernels(self) -> Tensor:
        """Return the filters, (channels + 2 * pairs, lags, kernel, kernel)."""
        return self.conv.kernels()[:, 0]

    def axis(self, axis: Axis) -> Axis:
        """Return the axis in steps of the stride."""
        return self.conv.axis(axis)

    def forward(self, frames: Tensor) -> Tensor:
        """Return (B, T - lags + 1, H / stride, W / stride, channels)."""
        clip: Tensor = self.conv(frames[..., None])
        if not self.pairs:
            return clip
        linear, one, other = torch.split(clip, [self.filters, self.pairs, self.pairs], dim=-1)
        return torch.cat([linear, (one.square() + other.square() + 1e-6).sqrt()], dim=-1)


def build_frontend(
    config: TemporalFrontend | GaborFrontend | ConvFrontend | NoFrontend,
) -> FrontendLayer:
    """Return the layer that the options name."""
    if isinstance(config, TemporalFrontend):
        return TemporalBasis(config)
    if isinstance(config, GaborFrontend):
        return GaborEnergy(config)
    return LearnedFilters(config) if isinstance(config, ConvFrontend) else Pixels()
