"""What all formats of text become: `Document`s with entity `Span`s in characters, and words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int32]

_ONE_BY_ONE: Final = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f\U00020000-\U0003ffff"
)
"""Kana, Han and Thai, which are written without spaces: each character is a word."""
_WORD: Final = re.compile(rf"[{_ONE_BY_ONE}]|[^\W{_ONE_BY_ONE}]+|[^\w\s]")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """An entity: characters ``start`` to ``end`` (exclusive) of a text are a ``label``."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A text with its entities.

    Args:
        id: Its name, unique in its file.
        text: The text; characters are counted as Python does.
        spans: Its entities, ascending, without overlap, within the text; none if unlabelled.
        words: (n, 2) start and end of each word, ascending. A word is what a tag is given to.
        tokenised: Whether the words are the source's own tokens; else `find_words` made them.
        labelled: Whether somebody looked for entities; a labelled text may have none.
        group: Texts of one group (an author, a thread, a page) never straddle a split.
        where: ``file:line`` that it came from, for messages.
    """

    id: str
    text: str
    spans: tuple[Span, ...]
    words: Offsets
    tokenised: bool = False
    labelled: bool = True
    group: str | None = None
    where: str = ""

    @classmethod
    def of_text(
        cls,
        id: str,
        text: str,
        spans: Iterable[Span] = (),
        *,
        labelled: bool = True,
        group: str | None = None,
        where: str = "",
    ) -> Self:
        """Return a document whose words are found in its text."""
        ordered = tuple(sorted(spans))
        words = find_words(text)
        return cls(id, text, ordered, words, False, labelled, group, where)

    @classmethod
    def of_tokens(
        cls,
        id: str,
        tokens: Sequence[str],
        spans: Iterable[tuple[int, int, str]] = (),
        *,
        labelled: bool = True,
        group: str | None = None,
        where: str = "",
    ) -> Self:
        """Return a document of tokens, whose text is the tokens with a blank between two.

        Args:
            id: Its name.
            tokens: Its words.
            spans: Entities as (first token, token after the last, label).
            labelled: Whether somebody looked for entities.
            group: What keeps it together with others in a split.
            where: Where it came from.
        """
        ends = np.cumsum([len(token) + 1 for token in tokens], dtype=np.int32) - 1
        starts = ends - np.array([len(token) for token in tokens], np.int32)
        words = np.stack([starts, ends], 1).astype(np.int32).reshape(-1, 2)
        found = tuple(
            Span(int(starts[first]), int(ends[stop - 1]), label)
            for first, stop, label in sorted(spans)
        )
        return cls(id, " ".join(tokens), found, words, True, labelled, group, where)

    def word_texts(self) -> list[str]:
        """The words as text."""
        return [self.text[start:end] for start, end in self.words.tolist()]

    def entity_texts(self) -> list[str]:
        """The text of each span."""
        return [self.text[span.start : span.end] for span in self.spans]


def words_touched(words: Offsets, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return for each span the first word that has a character of it, and the word after the last.

    Args:
        words: (n, 2) offsets, ascending.
        spans: Spans of the same text.
    """
    starts = np.array([span.start for span in spans], np.int32)
    ends = np.array([span.end for span in spans], np.int32)
    first = np.searchsorted(words[:, 1], starts, side="right")
    stop = np.searchsorted(words[:, 0], ends, side="left")
    return list(zip(first.tolist(), stop.tolist(), strict=True))


def find_words(text: str) -> Offsets:
    """Return the (n, 2) offsets of the words of a text.

    A word is a run of letters and digits, a single sign, or a single character of a script that is
    written without spaces.
    """
    found = [match.span() for match in _WORD.finditer(text)]
    return np.array(found, np.int32).reshape(-1, 2)
