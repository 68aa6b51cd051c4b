"""What a word becomes for a network: a coder gives the tokens of each distinct word, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tutelage.core.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Pieces:
    """The tokens of some distinct words.

    Args:
        ids: (P,) int32, the tokens of one word after those of the other.
        counts: (words,) int64, tokens of each; never 0.
        characters: (words, K) uint16 bytes of each plus one, 0 for none; none where a network does
            not read them.
    """

    ids: NDArray[np.int32]
    counts: NDArray[np.int64]
    characters: NDArray[np.uint16] | None = None


class Coder(ABC):
    """Turns words into tokens; all that it knows is in its JSON.

    Attributes:
        kind: Which coder, in its JSON.
        size: Number of different tokens.
        prefix: Tokens that every window begins with.
        suffix: Tokens that it ends with.
        pad: The token of padding.
        mask: The token that hides another; none if there is none.
        ordinary: (n,) int64, tokens that stand for text.
    """

    kind: Literal["subwords", "words"]
    size: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    pad: int = 0
    mask: int | None = None
    ordinary: NDArray[np.int64]

    @abstractmethod
    def pieces(self, words: Sequence[str], most: int) -> Pieces:
        """Return the tokens of each of some words, the first ``most`` of a word that has more."""

    @abstractmethod
    def whole_words(self) -> Sequence[str]:
        """Return the words that are one token, in lower case where case is not told apart."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """Return all that makes the coder again, as JSON values."""


def coder_from_json(value: object) -> Coder:
    """Return the coder that `Coder.to_json` told of.

    Raises:
        CheckpointError: It tells of none.
    """
    from tutelage.tasks.ner.tokens.subwords import SubwordCoder
    from tutelage.tasks.ner.tokens.vocabulary import VocabularyCoder

    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and kind == "subwords":
        return SubwordCoder.from_json(value)
    if isinstance(value, Mapping) and kind == "words":
        return VocabularyCoder.from_json(value)
    raise CheckpointError(f"no such way from words to tokens: {kind!r}")
