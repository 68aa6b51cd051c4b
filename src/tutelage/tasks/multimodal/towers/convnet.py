"""A small convolutional network over pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.tasks.multimodal.towers.layers import FeatureTower


class ConvNet(FeatureTower):
    """Four stages of depthwise convolutions, in the manner of ConvNeXt (Liu et al. 2022).

    Source: https://arxiv.org/abs/2201.03545; layer norm over all of a picture, so that training
    and evaluation are alike and no statistics move while the tower rests. A channel's greatest
    value over a picture stands for it, not the mean: a drawing is a few marks on much white.

    Args:
        width: Channels of the first stage; each further one doubles them.
        blocks: Blocks of each stage.
    """

    def __init__(self, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(len(blocks))]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=4), nn.GroupNorm(1, width)]
        for stage, count in enumerate(blocks):
            if stage:
                before = widths[stage - 1]
                layers += [nn.GroupNorm(1, before), nn.Conv2d(before, widths[stage], 2, stride=2)]
            layers += [ConvBlock(widths[stage]) for _ in range(count)]
        self.stages = nn.Sequential(*layers)
        self.out_width = widths[-1]
        self.norm = nn.LayerNorm(self.out_width)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, out_width) features of standardised (B, 3, S, S) pictures."""
        images = images.contiguous(memory_format=torch.channels_last)  # faster on a CPU
        features: Tensor = self.norm(self.stages(images).amax((2, 3)))
        return features


class ConvBlock(nn.Module):
    """A depthwise convolution and a perceptron of each place, beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.widen, self.narrow = nn.Conv2d(width, 4 * width, 1), nn.Conv2d(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) from (B, C, H, W)."""
        out: Tensor = x + self.narrow(F.gelu(self.widen(self.norm(self.spread(x)))))
        return out
