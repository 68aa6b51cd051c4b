"""`TokenBatch`: windows of texts as a network takes them, and the words to tag in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tutelage.tasks.ner.teaching import Lessons

UNTAGGED: Final = -100
"""In place of a tag that nobody said."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """B windows of up to T tokens, with W words to tag.

    Args:
        input_ids: (B, T) int64 tokens, or words of a vocabulary.
        attention_mask: (B, T) int64, 1 for a token and 0 for padding; none if nothing is padded.
        characters: (B, T, K) int64 bytes of each word plus one, 0 for none; none for networks
            that read tokens.
        position: (W,) int64, place of each word's first token in ``input_ids`` made flat. The
            words of a window stand together and in order.
        row: (W,) int64, the window of each word.
        labels: (W,) int64 tags; `UNTAGGED` where nobody said any.
        word: (W,) int64, number of each word among all of its data.
        taught: Windows as a teacher reads them that show the same words, if it has other tokens.
        taught_rows: (W,) int64, place of each word among those of ``taught``.
        lessons: What a teacher says of all words, where it is asked of tags alone.
        untagged: Whether there may be words without tags.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    characters: Tensor | None
    position: Tensor
    row: Tensor
    labels: Tensor
    word: Tensor
    taught: TokenBatch | None = None
    taught_rows: Tensor | None = None
    lessons: Lessons | None = None
    untagged: bool = False

    @property
    def size(self) -> int:
        """B, the number of windows."""
        return len(self.input_ids)

    @property
    def tokens(self) -> int:
        """Places that are no padding."""
        mask = self.attention_mask
        return self.input_ids.numel() if mask is None else int(mask.sum())

    def lengths(self) -> Tensor:
        """Return (B,) int64 tokens of each window."""
        if self.attention_mask is not None:
            return self.attention_mask.sum(1)
        size, width = self.input_ids.shape
        return torch.full((size,), width, device=self.input_ids.device)

    def words_mask(self) -> Tensor:
        """Return (B, V) bool: as many True, from the left, as each window has words to tag."""
        counts = torch.bincount(self.row, minlength=self.size)
        places = torch.arange(int(counts.max()), device=self.row.device)
        return places < counts[:, None]

    def _map(self, change: Callable[[Tensor], Tensor]) -> TokenBatch:
        found = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                value = change(value)
            elif isinstance(value, TokenBatch):
                value = value._map(change)
            found[field.name] = value
        return TokenBatch(**found)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> TokenBatch:
        """Return the batch on ``device``; Lightning moves batches through this."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TokenBatch:
        """Return the batch in page-locked memory, from which copies to a GPU don't block."""
        return self._map(lambda tensor: tensor.pin_memory())
