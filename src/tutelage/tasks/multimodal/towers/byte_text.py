"""A text tower over bytes: no vocabulary, any language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.core.errors import ConfigError
from tutelage.tasks.multimodal.config import BytesText
from tutelage.tasks.multimodal.data.pairs import normalised
from tutelage.tasks.multimodal.towers.layers import FeatureTower, TransformerLayer

GRAMS: Final = (3, 4, 5, 6)
"""Lengths in bytes of the n-grams that are hashed."""
START: Final = 1
"""Token before a text; 0 is no text, and byte b is b + 2."""
BYTES: Final = 258
FIRST_SCALE: Final = 0.1
"""Of the tables before training: an n-gram that training never met must say little in a caption."""
_FACTOR: Final = 1_000_003
_MODULUS: Final = 2**31 - 1


def byte_tokens(texts: Sequence[str], length: int) -> Tensor:
    """Return (n, length) int16 tokens of texts in lower case, zeros at their end."""
    tokens = torch.zeros(len(texts), length, dtype=torch.int16)
    for row, text in enumerate(texts):
        content = normalised(text).encode()[: length - 1]
        tokens[row, 0] = START
        tokens[row, 1 : len(content) + 1] = torch.tensor(list(content), dtype=torch.int16) + 2
    return tokens


class ByteTransformer(FeatureTower):
    """Bytes and hashed n-grams, joined two by two, under a small transformer.

    The n-grams' embeddings are those of Pagnoni et al. 2024, https://arxiv.org/abs/2412.09871,
    section 3.2.1, with which few captions suffice to learn words.

    Args:
        config: Sizes.

    Raises:
        ConfigError: The heads do not share the channels evenly.
    """

    def __init__(self, config: BytesText) -> None:
        super().__init__()
        if config.width % config.heads:
            said = f"{config.heads} heads can't share {config.width} channels evenly"
            raise ConfigError(said, where="model.text.heads")
        width = self.out_width = config.width
        self.buckets, self.token_count = config.buckets, BYTES
        self.bytes = nn.Embedding(BYTES, width, padding_idx=0)
        self.grams = nn.Embedding(config.buckets, width)
        for table in (self.bytes, self.grams):
            nn.init.normal_(table.weight, std=FIRST_SCALE * (len(GRAMS) + 1) ** -0.5)
        self.places = nn.Parameter(0.02 * torch.randn(config.length // 2, width))
        self.layers = nn.ModuleList(
            TransformerLayer(width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, out_width) features of (B, T) int64 tokens."""
        tokens = F.pad(tokens, (0, tokens.shape[1] % 2))
        present = tokens > 0
        x = self.bytes(tokens) + sum(self.grams(self._hashed(tokens, n)) for n in GRAMS)
        x = x * present[..., None]
        halves = present[:, ::2]
        x = x[:, 0::2] + x[:, 1::2] + self.places[: halves.shape[1]]
        for layer in self.layers:
            x = layer(x, halves[:, None, None, :])
        total = (x * halves[..., None]).sum(1)
        features: Tensor = self.norm(total / halves.sum(1, keepdim=True).clamp(min=1))
        return features

    def _hashed(self, tokens: Tensor, n: int) -> Tensor:
        """Return (B, T) rows of the n-grams that end at each byte."""
        length = tokens.shape[1]
        padded = F.pad(tokens, (n - 1, 0))
        value = torch.zeros_like(tokens)
        for at in range(n):
            value = (value * _FACTOR + padded[:, at : at + length] + 1) % _MODULUS
        return (value + n * 7919) % self.buckets
