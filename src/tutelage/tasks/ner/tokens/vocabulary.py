"""`VocabularyCoder`: words of the training texts, and the bytes of every word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

import numpy as np

from tutelage.tasks.ner.tokens.coders import Coder, Pieces

PAD: Final = 0
UNKNOWN: Final = 1
MASK: Final = 2
SPECIAL: Final = 3
"""Tokens that are no word."""


class VocabularyCoder(Coder):
    """A token a word: its number among those of the training texts, in lower case.

    Args:
        words: The words with a number, the first is `SPECIAL`.
        word_bytes: Bytes of each word that are seen.
    """

    kind = "words"
    pad = PAD
    mask = MASK

    def __init__(self, words: Sequence[str], word_bytes: int) -> None:
        self.words, self.word_bytes = tuple(words), word_bytes
        self.size = SPECIAL + len(self.words)
        self.ordinary = np.arange(SPECIAL, self.size)
        self._number = {word: SPECIAL + i for i, word in enumerate(self.words)}

    @classmethod
    def learn(
        cls, words: Iterable[str], min_count: int, word_bytes: int, known: Iterable[str] = ()
    ) -> Self:
        """Return the coder with each word that comes often enough, the most frequent first.

        Args:
            words: Of the texts.
            min_count: How often a word comes that gets a number.
            word_bytes: Bytes of each word that are seen.
            known: Words that get a number however often they come.
        """
        counts = Counter(word.lower() for word in words)
        kept = [word for _, word in sorted((-n, w) for w, n in counts.items() if n >= min_count)]
        kept += sorted({word.lower() for word in known} - set(kept))
        return cls(kept, word_bytes)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls([str(word) for word in value["words"]], int(value["word_bytes"]))

    def to_json(self) -> dict[str, object]:
        """Return the words and the number of bytes."""
        return {"kind": self.kind, "words": list(self.words), "word_bytes": self.word_bytes}

    def whole_words(self) -> Sequence[str]:
        """Return the words with a number."""
        return self.words

    def pieces(self, words: Sequence[str], most: int) -> Pieces:
        """Return a token for each word, and its bytes."""
        ids = np.array([self._number.get(word.lower(), UNKNOWN) for word in words], np.int32)
        characters = np.zeros((len(words), self.word_bytes), np.uint16)
        for row, word in zip(characters, words, strict=True):  # distinct words, once a data set
            seen = _ends(word.encode(errors="replace"), self.word_bytes)
            row[: len(seen)] = np.frombuffer(seen, np.uint8).astype(np.uint16) + 1
        return Pieces(ids, np.ones(len(words), np.int64), characters)


def _ends(content: bytes, size: int) -> bytes:
    """Return at most ``size`` bytes: the first of a long word, and its last."""
    if len(content) <= size:
        return content
    tail = size // 3
    return content[: size - tail] + content[len(content) - tail :]
