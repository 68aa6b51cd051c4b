"""A small vision transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError
from tutelage.tasks.multimodal.config import ViTConfig
from tutelage.tasks.multimodal.towers.layers import FeatureTower, TransformerLayer

LAYER_DROPOUT = 0.1
"""Share of a layer's channels dropped in training."""


class ViT(FeatureTower):
    """Attention over patches, whose mean describes the picture (Dosovitskiy et al. 2021).

    Source: https://arxiv.org/abs/2010.11929.

    Args:
        config: Sizes.
        size: Side of a picture in pixels.

    Raises:
        ConfigError: Patches do not fill the picture.
    """

    def __init__(self, config: ViTConfig, size: int) -> None:
        super().__init__()
        if size % config.patch or config.width % config.heads:
            hint = "data.size must be a multiple of model.patch, and model.width of model.heads."
            said = f"patches of {config.patch} pixels on {size}, {config.heads} heads of "
            raise ConfigError(f"{said}{config.width} channels do not come out even", hint=hint)
        width = self.out_width = config.width
        self.patches = nn.Conv2d(3, width, config.patch, stride=config.patch)
        self.places = nn.Parameter(0.02 * torch.randn((size // config.patch) ** 2, width))
        self.layers = nn.ModuleList(
            TransformerLayer(width, config.heads, LAYER_DROPOUT) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, out_width) features of standardised (B, 3, S, S) pictures."""
        x = self.patches(images).flatten(2).transpose(1, 2) + self.places
        for layer in self.layers:
            x = layer(x)
        features: Tensor = self.norm(x).mean(1)
        return features
