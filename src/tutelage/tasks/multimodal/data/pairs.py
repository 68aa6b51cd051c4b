"""`Pairs`: pictures with their captions, as flat arrays."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What was left out while reading, by name.

    Args:
        asked: Pictures that the captions name.
        bad: Name of each picture that was left out, with the reason.
        empty_captions: Captions without a letter, which were left out.
    """

    asked: int
    bad: tuple[tuple[str, str], ...] = ()
    empty_captions: int = 0


@dataclass(frozen=True, slots=True)
class Pairs:
    """N pictures with C captions, of which each picture has one or more.

    Args:
        images: (N, S, S, 3) uint8, memory-mapped.
        names: (N,) the pictures' names.
        captions: (C,) texts, those of one picture next to each other.
        image_of: (C,) int64 ascending, the picture of each caption.
        languages: (C,) the language of each caption, empty where unknown.
        categories: (N,) empty where unknown.
        groups: (N,) names of what belongs together beyond equal captions, empty for nothing.
        splits: (N,) ``train``, ``validation`` or ``test`` where the data say so, else empty.
        report: What was left out.
    """

    images: NDArray[np.uint8]
    names: Sequence[str]
    captions: Sequence[str]
    image_of: NDArray[np.int64]
    languages: Sequence[str]
    categories: Sequence[str]
    groups: Sequence[str]
    splits: Sequence[str]
    report: ReadReport = field(default_factory=lambda: ReadReport(0))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def first_caption(self) -> NDArray[np.int64]:
        """(N,) the row of each picture's first caption."""
        return np.searchsorted(self.image_of, np.arange(len(self)))

    @property
    def captions_of(self) -> NDArray[np.int64]:
        """(N,) how many captions each picture has."""
        return np.bincount(self.image_of, minlength=len(self))


def normalised(text: str) -> str:
    """Return ``text`` in Unicode's composed form, in lower case, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
