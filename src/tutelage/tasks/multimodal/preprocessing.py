"""What a multimodal run learns before training: how pictures and captions become numbers."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from tutelage.core.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pictures and captions become numbers, and what was trained on.

    Args:
        size: Side of a picture in pixels.
        fit: How pictures become square.
        mean: Of each channel, 0 to 255.
        std: Of each channel.
        tokens: All that decides which tokens a caption becomes.
        seen: Digests of the looks of the pictures that trained or validated, eight bytes each in
            base64; other data leave such pictures out of their scores.
        categories: Categories among the training pictures, in order.
    """

    size: int
    fit: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tokens: Mapping[str, object]
    seen: str
    categories: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote.

        Raises:
            CheckpointError: The card holds something else.
        """
        try:
            return TypeAdapter(cls).validate_python(value)
        except ValidationError as error:
            hint = "Use the card that was written with these weights."
            said = f"the card is of no model of pictures and captions: {error}"
            raise CheckpointError(said, hint=hint) from error

    def looks_seen(self) -> NDArray[np.uint64]:
        """Return the digests of the pictures that were seen, ascending."""
        return np.frombuffer(b64decode(self.seen), dtype="<u8").astype(np.uint64)


def packed_looks(digests: NDArray[np.uint64]) -> str:
    """Return digests as `Preprocessing.seen` keeps them."""
    return b64encode(np.unique(digests).astype("<u8").tobytes()).decode()


def channel_statistics(
    images: NDArray[np.uint8], rows: NDArray[np.int64], most: int = 2048
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over evenly chosen pictures."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
    sample = images[chosen].astype(np.float32)
    mean, std = sample.mean(axis=(0, 1, 2)), sample.std(axis=(0, 1, 2))
    return tuple(map(float, mean)), tuple(float(max(s, 1.0)) for s in std)
