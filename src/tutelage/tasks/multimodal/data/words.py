"""Words left out of captions in training, as tensors: which ones follows from a key alone."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor

from tutelage.tasks.multimodal.data.augment import uniform
from tutelage.tasks.multimodal.data.batches import trimmed

STREAM: Final = 16
"""Of a key, apart from those of pictures and of self-supervision."""
SPACE: Final = ord(" ") + 2
"""The token of a space where tokens are bytes."""


def words_left_out(
    tokens: Tensor, keys: Tensor, share: float, kind: Literal["bytes", "transformers"]
) -> Tensor:
    """Return captions without some of their words, what is left moved together.

    Each caption loses its words at a rate of its own between 0 and ``share``, so that some stay
    whole, and of others a single word is left: at least one always is.

    Args:
        tokens: (B, T) int64, zeros at the end of shorter ones.
        keys: (B,) int64; the same key leaves out the same words.
        share: Greatest rate, from 0 to 1.
        kind: Whether words end at spaces, or each token of an encoder is one; its first and last
            tokens always stay.

    Returns:
        (B, T') int64, T' at most T.
    """
    present = tokens > 0
    word = present.cumsum(1) - 1  # the first token is no word
    last = word.amax(1, keepdim=True)
    if kind == "bytes":
        word = 1 + (tokens == SPACE).cumsum(1)
        word[:, 0] = 0
    else:
        word = torch.where(word == last, 0, word)
    count = int(word.amax()) + 1
    numbers = uniform(keys, count + 1, STREAM)
    rate, chance = share * numbers[:, :1], numbers[:, 1:]
    own = torch.zeros_like(chance, dtype=torch.bool).scatter(1, word.where(present, 0), True)
    own[:, 0] = False
    best = torch.where(own, chance, -1.0).argmax(1, keepdim=True)
    lost = (chance < rate).scatter(1, best, False)
    lost[:, 0] = False
    kept = present & ~lost.gather(1, word.where(present, 0))
    order = (~kept).to(torch.int8).argsort(dim=1, stable=True)
    moved = tokens.gather(1, order)
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return trimmed(torch.where(places < kept.sum(1, keepdim=True), moved, 0))
