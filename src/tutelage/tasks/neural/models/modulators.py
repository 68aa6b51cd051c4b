"""How behaviour acts on features: as channels, as gain and offset, or through a recurrent state."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from tutelage.tasks.neural.models.config import Modulator
from tutelage.tasks.neural.models.recurrent import ConvGRU


class ModulatorLayer(nn.Module, ABC):
    """From features (B, T, H, W, C) and signals (B, T, M) to (B, T, H, W, `channels`)."""

    channels: int

    @abstractmethod
    def forward(self, clip: Tensor, signals: Tensor) -> Tensor:
        """Return the modulated features."""


def spread(signals: Tensor, clip: Tensor) -> Tensor:
    """Return signals (B, T, M) at every place of a clip, (B, T, H, W, M)."""
    height, width = clip.shape[2:4]
    return signals[:, :, None, None].expand(-1, -1, height, width, -1).to(clip.dtype)


class Concat(ModulatorLayer):
    """Signals as further channels.

    Args:
        inputs: C.
        width: M.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.channels = inputs + width

    def forward(self, clip: Tensor, signals: Tensor) -> Tensor:
        """Return the features with the signals behind them."""
        return torch.cat([clip, spread(signals, clip)], dim=-1)


class FiLM(ModulatorLayer):
    """A gain and an offset for each channel (Perez et al. 2018, 1709.07871); none at first.

    Args:
        inputs: C.
        width: M.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.channels = inputs
        self.linear = nn.Linear(width, 2 * inputs)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, clip: Tensor, signals: Tensor) -> Tensor:
        """Return the features times 1 + gain, plus the offset."""
        gain, offset = self.linear(signals)[:, :, None, None].chunk(2, dim=-1)
        modulated: Tensor = clip * (1 + gain) + offset
        return modulated


class RecurrentModulator(ModulatorLayer):
    """A ConvGRU that sees features and signals.

    Args:
        inputs: C.
        config: Channels of its state, M.
    """

    def __init__(self, inputs: int, config: Modulator) -> None:
        super().__init__()
        self.channels = config.channels
        self.cell = ConvGRU(inputs + config.width, config.channels, kernel=3)

    def forward(self, clip: Tensor, signals: Tensor) -> Tensor:
        """Return the states over all frames."""
        states: Tensor = self.cell(torch.cat([clip, spread(signals, clip)], dim=-1))
        return states


def build_modulator(config: Modulator, inputs: int) -> ModulatorLayer:
    """Return the layer that the options name; *none* is no layer."""
    if config.name == "concat":
        return Concat(inputs, config.width)
    return (
        FiLM(inputs, config.width) if config.name == "film" else RecurrentModulator(inputs, config)
    )
