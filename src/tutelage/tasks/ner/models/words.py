"""Networks that begin without weights: words and their bytes, an LSTM or attention over them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.tasks.ner.models.body import Body
from tutelage.tasks.ner.models.config import BiLSTMConfig, TransformerConfig, WordsConfig
from tutelage.tasks.ner.tokens.vocabulary import PAD, UNKNOWN

_BYTES = 257  # 256 and none
_SPAN = 3  # bytes that the convolution sees at once


class WordInput(nn.Module):
    """A vector for each word: its embedding, and the maximum of a convolution over its bytes.

    Args:
        config: Sizes.
        size: Words of the vocabulary, the special ones included.

    Source: Chiu & Nichols 2016, https://arxiv.org/abs/1511.08308; over bytes, in both cases.
    """

    def __init__(self, config: WordsConfig, size: int) -> None:
        super().__init__()
        self.words = nn.Embedding(size, config.word_embedding, padding_idx=PAD)
        self.bytes = nn.Embedding(_BYTES, config.byte_embedding, padding_idx=0)
        self.convolution = nn.Linear(_SPAN * config.byte_embedding, config.byte_channels)
        self.word_dropout = config.word_dropout
        self.width = config.word_embedding + config.byte_channels

    def forward(self, input_ids: Tensor, characters: Tensor) -> Tensor:
        """Return (B, T, width) of words (B, T) and their bytes (B, T, K)."""
        if self.training and self.word_dropout:
            dropped = torch.rand(input_ids.shape, device=input_ids.device) < self.word_dropout
            input_ids = input_ids.masked_fill(dropped & (input_ids > UNKNOWN), UNKNOWN)
        size, width, length = characters.shape
        around = F.pad(characters.reshape(size * width, length), (_SPAN // 2, _SPAN // 2))
        spelled = self.bytes(around)  # a product of matrices is ten times as fast as Conv1d here
        runs = torch.cat([spelled[:, k : k + length] for k in range(_SPAN)], 2)
        seen = self.convolution(runs).amax(1).relu().reshape(size, width, -1)
        return torch.cat([self.words(input_ids), seen], 2)


class BiLSTM(Body):
    """A bidirectional LSTM over words; what a window is padded with changes nothing.

    The two directions are LSTMs of their own: packed, they would run a step at a time on a CPU.

    Args:
        config: Sizes.
        size: Words of the vocabulary, the special ones included.

    Source: Lample et al. 2016, https://arxiv.org/abs/1603.01360.
    """

    def __init__(self, config: BiLSTMConfig, size: int) -> None:
        super().__init__(2 * config.hidden)
        self.input = WordInput(config, size)
        self.dropout = nn.Dropout(config.dropout)
        widths = [self.input.width] + [2 * config.hidden] * (config.layers - 1)
        self.onward, self.back = (
            nn.ModuleList(nn.LSTM(width, config.hidden, batch_first=True) for width in widths)
            for _ in range(2)
        )

    @property
    def embedding(self) -> nn.Embedding:
        """The words' embedding."""
        return self.input.words

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None, characters: Tensor | None
    ) -> Tensor:
        """Return (B, T, 2 * hidden) of words (B, T) and their bytes (B, T, K)."""
        assert characters is not None
        shown: Tensor = self.input(input_ids, characters)
        turned = _reversed_places(input_ids, attention_mask)
        for onward, back in zip(self.onward, self.back, strict=True):
            shown = self.dropout(shown)
            forth = onward(shown)[0]
            against = _in_order(back(_in_order(shown, turned))[0], turned)
            shown = torch.cat([forth, against], 2)
        return shown

    def levels(self) -> Iterator[list[nn.Parameter]]:
        """All of it is one."""
        yield list(self.parameters())


def _reversed_places(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Return (B, T): the places of each window's tokens from last to first, then its padding."""
    places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    if attention_mask is None:
        return places.flip(1)
    lengths = attention_mask.sum(1, keepdim=True)
    return torch.where(places < lengths, lengths - 1 - places, places)


def _in_order(values: Tensor, places: Tensor) -> Tensor:
    """Return (B, T, H) values at some places (B, T) of their windows."""
    return values.gather(1, places[:, :, None].expand_as(values))


class SmallTransformer(Body):
    """Layers of attention over words, normalised before each.

    Args:
        config: Sizes.
        size: Words of the vocabulary, the special ones included.
    """

    def __init__(self, config: TransformerConfig, size: int) -> None:
        super().__init__(config.hidden)
        self.input = WordInput(config, size)
        self.project = nn.Linear(self.input.width, config.hidden)
        self.places = nn.Embedding(config.max_length, config.hidden)
        nn.init.normal_(self.places.weight, std=0.02)
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            config.hidden,
            config.heads,
            4 * config.hidden,
            config.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(config.hidden)
        self.layers = nn.TransformerEncoder(layer, config.layers, norm, enable_nested_tensor=False)

    @property
    def embedding(self) -> nn.Embedding:
        """The words' embedding."""
        return self.input.words

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None, characters: Tensor | None
    ) -> Tensor:
        """Return (B, T, hidden) of words (B, T) and their bytes (B, T, K)."""
        assert characters is not None
        places = self.places.weight[: input_ids.shape[1]]
        shown = self.dropout(self.project(self.input(input_ids, characters)) + places)
        padding = None if attention_mask is None else attention_mask == 0
        out: Tensor = self.layers(shown, src_key_padding_mask=padding)
        return out

    def levels(self) -> Iterator[list[nn.Parameter]]:
        """All of it is one."""
        yield list(self.parameters())
