"""`TwoTowers`: an image tower and a text tower, projected to one space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tutelage.tasks.multimodal.config import (
    BytesText,
    ConvNetConfig,
    TextConfig,
    TimmConfig,
    TransformersText,
    TwoTowerConfig,
    ViTConfig,
)
from tutelage.tasks.multimodal.towers.byte_text import ByteTransformer, byte_tokens
from tutelage.tasks.multimodal.towers.convnet import ConvNet
from tutelage.tasks.multimodal.towers.layers import FeatureTower
from tutelage.tasks.multimodal.towers.pretrained_text import (
    PretrainedText,
    encoder_digest,
    encoder_tokens,
)
from tutelage.tasks.multimodal.towers.timm_image import TimmTower
from tutelage.tasks.multimodal.towers.vit import ViT


class TwoTowers(nn.Module):
    """The towers and their projections.

    Args:
        config: Which towers.
        size: Side of a picture in pixels.

    The buffers ``mean`` and ``std`` (3,) standardise pictures, which come as 0 to 255.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TwoTowerConfig, size: int) -> None:
        super().__init__()
        self.image, self.text = image_tower(config, size), text_tower(config.text)
        self.image_projection = projection(
            config.projection, self.image.out_width, config.embedding
        )
        self.text_projection = projection(config.projection, self.text.out_width, config.embedding)
        self.drop = nn.Dropout(config.dropout)
        self.register_buffer("mean", torch.full((3,), 127.5))
        self.register_buffer("std", torch.full((3,), 64.0))

    def image_features(self, images: Tensor) -> Tensor:
        """Return (B, F) features before projection of (B, 3, S, S) pictures, 0 to 255."""
        standard = (images - self.mean[:, None, None]) / self.std[:, None, None]
        features: Tensor = self.image(standard)
        return features

    def embed_images(self, images: Tensor) -> Tensor:
        """Return (B, D) embeddings of (B, 3, S, S) pictures, 0 to 255."""
        embeddings: Tensor = self.image_projection(self.drop(self.image_features(images)))
        return embeddings

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """Return (B, D) embeddings of (B, T) int64 tokens."""
        embeddings: Tensor = self.text_projection(self.drop(self.text(tokens)))
        return embeddings


def image_tower(config: TwoTowerConfig, size: int) -> FeatureTower:
    """Return the image tower that ``config`` names."""
    if isinstance(config, ConvNetConfig):
        return ConvNet(config.width, config.blocks)
    if isinstance(config, ViTConfig):
        return ViT(config, size)
    assert isinstance(config, TimmConfig)
    return TimmTower(config)


def text_tower(config: TextConfig) -> FeatureTower:
    """Return the text tower that ``config`` names."""
    return ByteTransformer(config) if isinstance(config, BytesText) else PretrainedText(config)


def projection(kind: Literal["linear", "mlp"], width: int, out: int) -> nn.Module:
    """Return a head from ``width`` to ``out`` channels."""
    if kind == "linear":
        return nn.Linear(width, out)
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, out))


def tokenize(texts: Sequence[str], config: TextConfig) -> Tensor:
    """Return (n, T) tokens of texts as the text tower reads them, zeros at their end."""
    if isinstance(config, BytesText):
        return byte_tokens(texts, config.length)
    return encoder_tokens(texts, config) if texts else torch.zeros(0, config.length)


def text_config(card: Mapping[str, object]) -> TextConfig:
    """Return a text tower that reads the tokens that ``card`` describes."""
    length = int(str(card["length"]))
    if card["kind"] == "bytes":
        return BytesText(length=length)
    return TransformersText(source=str(card["source"]), length=length)


def tokens_differ(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether texts become other tokens under two cards; where an encoder lies plays no part."""
    apart = (dict(one), dict(other))
    return apart[0] | {"source": ""} != apart[1] | {"source": ""}


def token_card(config: TextConfig) -> dict[str, object]:
    """Say, as JSON values, all that decides which tokens a text becomes."""
    if isinstance(config, BytesText):
        return {"kind": config.name, "length": config.length}
    return {
        "kind": config.name,
        "length": config.length,
        "tokenizer": encoder_digest(config.source),
        "source": config.source,
    }
