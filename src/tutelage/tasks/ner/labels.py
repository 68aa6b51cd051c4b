"""`LabelSet`: from entity types to IOB2 or BIOES tags of words, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.ner.documents import Offsets, Span, words_touched

Scheme = Literal["iob2", "bioes"]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
OUTSIDE: Final = 0
"""The tag of a word that is in no entity."""
_PREFIXES: Final[Mapping[Scheme, str]] = {"iob2": "BI", "bioes": "BIES"}


class Entities(NamedTuple):
    """Entities found in a sequence of tags: words ``first`` to ``stop`` (exclusive), (n,) each.

    ``kind`` counts in `LabelSet.types`.
    """

    first: Integers
    stop: Integers
    kind: Integers


@dataclass(frozen=True)
class LabelSet:
    """The entity types of a model, and the tags of words that say them.

    Tag 0 is ``O``; then come the tags of each type in turn: ``B- I-`` (IOB2) or ``B- I- E- S-``
    (BIOES).

    Args:
        types: Names of the entity types, in a fixed order.
        scheme: How tags say where an entity begins and ends.
    """

    types: tuple[str, ...]
    scheme: Scheme = "iob2"

    @classmethod
    def of(cls, types: Iterable[str], scheme: Scheme = "iob2") -> Self:
        """Return the set of some types, each once, in the order of the alphabet."""
        return cls(tuple(sorted(set(types))), scheme)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: There is no such scheme.
        """
        if value["scheme"] not in _PREFIXES:
            raise ValueError(f"there is no scheme {value['scheme']!r}")
        types = cast("Sequence[str]", value["types"])
        return cls(tuple(types), cast("Scheme", value["scheme"]))

    def to_json(self) -> dict[str, object]:
        """Return the set as a JSON value."""
        return {"types": list(self.types), "scheme": self.scheme}

    @property
    def prefixes(self) -> str:
        """The letters that a tag may begin with, in the order of their tags."""
        return _PREFIXES[self.scheme]

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The tag of each id: ``O``, ``B-person``, ``I-person`` and so on."""
        return ("O", *(f"{prefix}-{kind}" for kind in self.types for prefix in self.prefixes))

    @cached_property
    def kind_of_tag(self) -> Integers:
        """(tags,) which type each tag is of; -1 for ``O``."""
        each = np.repeat(np.arange(len(self.types)), len(self.prefixes))
        return np.concatenate([[-1], each]).astype(np.int64)

    @cached_property
    def _letter(self) -> NDArray[np.str_]:
        return np.array([tag[0] for tag in self.tags])

    def encode(self, words: Offsets, spans: Sequence[Span]) -> Integers:
        """Return the (n,) tags of the words: a word is in an entity if they share a character.

        Args:
            words: (n, 2) offsets, ascending.
            spans: Entities, ascending, without overlap; those of types not in the set are ignored.
        """
        tags = np.full(len(words), OUTSIDE, np.int64)
        place = {kind: k for k, kind in enumerate(self.types)}
        known = [span for span in spans if span.label in place]
        width = len(self.prefixes)
        for span, (begin, end) in zip(known, words_touched(words, known), strict=True):
            if begin >= end or tags[begin] != OUTSIDE:
                continue
            base = 1 + width * place[span.label]
            tags[begin:end] = base + 1
            tags[begin] = base
            if self.scheme == "bioes":
                tags[end - 1] = base + (3 if end - begin == 1 else 2)
        return tags

    @cached_property
    def _begins(self) -> Booleans:
        """(tags, tags): whether an entity begins with the second tag, after the first."""
        before, now = self._letter[:, None], self._letter[None, :]
        other = self.kind_of_tag[:, None] != self.kind_of_tag[None, :]
        closed = np.isin(before, ["E", "S", "O"])
        table: Booleans = (now != "O") & (np.isin(now, ["B", "S"]) | closed | other)
        return table

    @cached_property
    def _ends(self) -> Booleans:
        """(tags, tags): whether an entity that the first tag is in ends before the second."""
        before, now = self._letter[:, None], self._letter[None, :]
        other = self.kind_of_tag[:, None] != self.kind_of_tag[None, :]
        closes = np.isin(before, ["E", "S"]) | np.isin(now, ["B", "S"])
        table: Booleans = (before != "O") & (closes | other)
        return table

    def decode(
        self, tags: Integers, starts: Integers | None = None, *, strict: bool = False
    ) -> Entities:
        """Return the entities that tags say.

        As the CoNLL script and seqeval do, an entity may begin without its ``B-`` where the tag
        before it is of another type or none; ``strict`` leaves out those that are not well formed.

        Args:
            tags: (n,) of all texts, one after the other.
            starts: (texts,) where each text begins; by default there is one.
            strict: Take only entities that begin, and for BIOES end, as the scheme says.
        """
        firsts = np.zeros(len(tags), np.bool_)
        firsts[:1] = True
        if starts is not None:
            firsts[starts[starts < len(tags)]] = True
        before = np.where(firsts, OUTSIDE, np.concatenate([tags[:1], tags[:-1]]))
        begin = np.flatnonzero(self._begins[before, tags])
        cut = np.concatenate([firsts[1:], [True]])[: len(tags)]
        after = np.where(cut, OUTSIDE, np.concatenate([tags[1:], tags[-1:]])[: len(tags)])
        last = np.flatnonzero(self._ends[tags, after])
        if strict:
            fits = np.isin(self._letter[tags[begin]], ["B", "S"])
            if self.scheme == "bioes":
                fits &= np.isin(self._letter[tags[last]], ["E", "S"])
            begin, last = begin[fits], last[fits]
        return Entities(begin, last + 1, self.kind_of_tag[tags[begin]])

    @cached_property
    def may_follow(self) -> Booleans:
        """(tags + 1, tags + 1): whether the second tag may come after the first in a right text.

        The last row is the beginning of a text, the last column is its end.
        """
        letter = np.append(self._letter, "O")
        kind = np.append(self.kind_of_tag, -1)
        before, now = letter[:, None], letter[None, :]
        goes_on = np.isin(now, ["I", "E"])
        same = (kind[:, None] == kind[None, :]) & (kind[:, None] >= 0)
        open_before = np.isin(before, ["B", "I"])
        table: Booleans = ~goes_on | (same & open_before)
        if self.scheme == "bioes":
            table = np.where(open_before, goes_on & same, ~goes_on)
        return table
