"""The convolutions that sessions share: plain, with residuals, or densely connected."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.tasks.neural.models.config import Convnet
from tutelage.tasks.neural.models.geometry import Axis
from tutelage.tasks.neural.models.layers import ACTIVATIONS, ClipConv, ClipNorm, pooled


class ConvLayer(nn.Module):
    """Convolution, normalisation, nonlinearity and dropout.

    Args:
        config: What all layers share.
        inputs: Channels in.
        outputs: Channels out.
        kernel: Height and width of the filters.
        frames: Frames that they span.
    """

    def __init__(
        self, config: Convnet, inputs: int, outputs: int, kernel: int, frames: int
    ) -> None:
        super().__init__()
        normed = config.norm == "batch"
        same = config.padding == "same"
        self.conv = ClipConv(inputs, outputs, kernel, frames, same, bias=not normed)
        self.norm = ClipNorm(outputs) if normed else nn.Identity()
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = config.dropout
        self.fixed = False

    def forward(self, clip: Tensor, mixing: Tensor | None = None) -> Tensor:
        """Return (B, T - frames + 1, H', W', outputs); see `ClipConv.forward`."""
        out = self.activation(self.norm(self.conv(clip, mixing)))
        drops = self.training and not self.fixed
        return F.dropout(out, self.dropout, drops) if self.dropout else out


def cropped(clip: Tensor, like: Tensor) -> Tensor:
    """Return the last frames and the middle of a clip (B, T, H, W, C), as many as ``like`` has."""
    _, length, height, width, _ = like.shape
    top, left = ((clip.shape[i] - like.shape[i]) // 2 for i in (2, 3))
    return clip[:, -length:, top : top + height, left : left + width]


class ConvStack(nn.Module):
    """Layers one after another, each with a pool of its own.

    Args:
        config: Channels, kernels, frames and pools; how layers are connected.
        inputs: Channels in.
    """

    def __init__(self, config: Convnet, inputs: int) -> None:
        super().__init__()
        self.connected = config.name
        self.pools = [pool for *_, pool in config.layers]
        self.layers, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        channels = inputs
        for outputs, kernel, frames, _ in config.layers:
            self.layers.append(ConvLayer(config, channels, outputs, kernel, frames))
            differ = config.name == "resnet" and outputs != channels
            shortcut = ClipConv(channels, outputs, 1, bias=False) if differ else nn.Identity()
            self.shortcuts.append(shortcut)
            channels = channels + outputs if config.name == "densenet" else outputs
        self.channels = channels

    def axis(self, axis: Axis) -> Axis:
        """Return where the outputs lie along one side."""
        for layer, pool in zip(self.layers, self.pools, strict=True):
            assert isinstance(layer, ConvLayer)
            axis = layer.conv.axis(axis).pool(pool)
        return axis

    @property
    def mixes(self) -> bool:
        """Whether the first layer can take sums of channels upon itself: no other looks at them."""
        return self.connected == "vanilla"

    def forward(self, clip: Tensor, mixing: Tensor | None = None) -> Tensor:
        """Return (B, T', H', W', `channels`).

        Args:
            clip: (B, T, H, W, C).
            mixing: Sums of the clip's channels that the first layer sees; see `ClipConv.forward`.
        """
        for layer, shortcut, pool in zip(self.layers, self.shortcuts, self.pools, strict=True):
            out, mixing = layer(clip, mixing), None
            if self.connected == "resnet":
                out = out + shortcut(cropped(clip, out))
            elif self.connected == "densenet":
                out = torch.cat([cropped(clip, out), out], dim=-1)
            clip = pooled(out, pool)
        return clip
