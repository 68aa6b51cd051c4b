"""`Body`: what every network under the tags' layer gives: a vector for each token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor, nn


class Body(nn.Module, ABC):
    """From tokens to vectors.

    Args:
        width: H, the size of the vectors.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @property
    @abstractmethod
    def embedding(self) -> nn.Embedding:
        """The embedding of its tokens, which masked tokens are told by."""

    @abstractmethod
    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None, characters: Tensor | None
    ) -> Tensor:
        """Return (B, T, H) of tokens (B, T), as `TokenBatch` has them."""

    @abstractmethod
    def levels(self) -> Iterator[list[nn.Parameter]]:
        """Yield the parameters, from the lowest level, the embeddings, to the uppermost layer."""
