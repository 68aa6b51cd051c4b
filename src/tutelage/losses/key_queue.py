"""A queue of past embeddings that serve as negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError, DataError

NO_ID = -1
"""The id of keys that came without one; no item has it."""


class KeyQueue(nn.Module):
    """The last K keys and their ids, first in, first out; both are saved with the model.

    Args:
        size: K.
        width: d, the keys' number of features.

    The buffers are ``keys`` (K, d), ``ids`` (K,) and ``count``, how many keys have ever come.

    Raises:
        ConfigError: A size is not positive.
    """

    keys: Tensor
    ids: Tensor
    count: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        if size < 1 or width < 1:
            problem = f"a queue of {size} keys of {width} features"
            raise ConfigError(problem, hint="Give sizes of at least 1.")
        self.register_buffer("keys", torch.zeros(size, width))
        self.register_buffer("ids", torch.full((size,), NO_ID))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def held(self) -> tuple[Tensor, Tensor]:
        """Return the keys that are there, (H, d), and their ids, (H,)."""
        filled = min(int(self.count), len(self.keys))
        return self.keys[:filled], self.ids[:filled]

    @torch.no_grad()
    def push(self, keys: Tensor, ids: Tensor | None) -> None:
        """Add a batch of ``keys`` (N, d) and their ``ids`` (N,); the oldest make room.

        Raises:
            DataError: The keys' width is not the queue's, or an id is not one integer.
        """
        size = len(self.keys)
        if keys.shape[1:] != self.keys.shape[1:]:
            problem = f"keys of width {keys.shape[1]} for a queue of width {self.keys.shape[1]}"
            raise DataError(problem, hint="Set embedding_dim to the embeddings' width.")
        if ids is not None and ids.ndim != 1:
            raise DataError("a queue keeps one id an item", hint="Give ids of shape (N,).")
        place = (int(self.count) + torch.arange(len(keys), device=keys.device))[-size:] % size
        # Replaced, not written into: this step's graph still holds the old keys.
        self.keys = self.keys.index_copy(0, place, keys.detach()[-size:].to(self.keys.dtype))
        new = torch.full_like(place, NO_ID) if ids is None else ids[-size:].to(self.ids.dtype)
        self.ids = self.ids.index_copy(0, place, new)
        self.count += len(keys)
