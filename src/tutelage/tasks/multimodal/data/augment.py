"""Augmentation of pictures as tensors: what each becomes follows from a key alone."""

from __future__ import annotations

import math
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

_INCREMENT: Final = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed number
_FIRST: Final = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND: Final = -7723592293110705685  # 0x94D049BB133111EB
NUMBERS: Final = 10
"""Random numbers that a picture's augmentation takes."""
WHITE: Final = 255.0


class AugmentationSettings(Protocol):
    """How far pictures are changed."""

    @property
    def crop(self) -> float:
        """Least share of the side that is kept."""

    @property
    def shift(self) -> float:
        """Largest shift as a share of the side."""

    @property
    def rotate(self) -> float:
        """Largest rotation in degrees."""

    @property
    def flip(self) -> bool:
        """Whether half are mirrored."""

    @property
    def colour(self) -> float:
        """Largest relative change of contrast, and of each channel."""

    @property
    def erase(self) -> float:
        """Side of a square that becomes grey, as a share."""


def uniform(keys: Tensor, count: int, stream: int = 0) -> Tensor:
    """Return (B, count) float32 in [0, 1) that depend on keys and stream alone.

    Args:
        keys: (B,) int64, any numbers.
        count: Numbers for each key.
        stream: Separates independent uses of a key.

    Source: SplitMix64 (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195).
    """
    steps = torch.arange(1, count + 1, device=keys.device) + stream * 1024
    z = keys[:, None] + steps * _INCREMENT
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    z = z ^ _shifted(z, 31)
    return _shifted(z, 40).float() * 2.0**-24


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right, filling with zeros."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def as_input(images: Tensor) -> Tensor:
    """Return (B, S, S, 3) uint8 as (B, 3, S, S) float32, 0 to 255."""
    return images.permute(0, 3, 1, 2).float()


def augmented(
    images: Tensor, keys: Tensor, settings: AugmentationSettings, stream: int = 0
) -> Tensor:
    """Return changed pictures: moved, scaled, turned, mirrored, recoloured, partly erased.

    Args:
        images: (B, S, S, 3) uint8.
        keys: (B,) int64; the same key gives the same change.
        settings: How far.
        stream: Separates several views of one batch.

    Returns:
        (B, 3, S, S) float32, 0 to 255; what comes from outside of a picture is white.
    """
    u = uniform(keys, NUMBERS, stream)
    x = as_input(images)
    x = _moved(x, u[:, :5], settings)
    if settings.colour:
        contrast, channels = u[:, 5:6, None, None], u[:, 6:9, None, None]
        middle = x.mean((1, 2, 3), keepdim=True)
        x = middle + (x - middle) * (1 + settings.colour * (2 * contrast - 1))
        x = (x * (1 + 0.5 * settings.colour * (2 * channels - 1))).clamp(0, WHITE)
    if settings.erase:
        x = _erased(x, uniform(keys, 2, stream + 1000), settings.erase)
    return x


def _moved(x: Tensor, u: Tensor, settings: AugmentationSettings) -> Tensor:
    scale = settings.crop + (1 - settings.crop) * u[:, 0]
    angle = math.radians(settings.rotate) * (2 * u[:, 1] - 1)
    mirror = torch.where(u[:, 2] < 0.5, -1.0, 1.0) if settings.flip else torch.ones_like(angle)
    shift = (settings.shift + 1 - scale)[:, None] * (2 * u[:, 3:5] - 1)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    theta = torch.stack([mirror * cos, -sin, shift[:, 0], mirror * sin, cos, shift[:, 1]], dim=1)
    grid = F.affine_grid(theta.view(-1, 2, 3), list(x.shape), align_corners=False)
    return WHITE - F.grid_sample(WHITE - x, grid, align_corners=False)


def _erased(x: Tensor, u: Tensor, share: float) -> Tensor:
    """Make a square of each picture grey."""
    side = x.shape[-1]
    places = torch.arange(side, device=x.device)
    begin = (u * (1 - share) * side)[:, :, None]
    inside = (places >= begin) & (places < begin + share * side)
    square = inside[:, 0, :, None] & inside[:, 1, None, :]
    return torch.where(square[:, None], WHITE / 2, x)
