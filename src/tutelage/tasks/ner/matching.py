"""Which predicted entities are right, wholly or in part: spans of characters against spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.ner.documents import Span
from tutelage.tasks.ner.labels import Booleans, Integers


@dataclass(frozen=True, slots=True, eq=False)
class SpanTable:
    """Entities of some texts, (n,) each, ordered by text and start, none over another.

    Args:
        document: Number of the text.
        start: First character.
        end: Character after the last.
        kind: Number of the type in a list of types.
    """

    document: Integers
    start: Integers
    end: Integers
    kind: Integers

    def __len__(self) -> int:
        return len(self.document)

    @classmethod
    def of(cls, texts: Iterable[Sequence[Span]], types: Sequence[str]) -> SpanTable:
        """Return the entities of texts; each type must be one of ``types``."""
        place = {kind: n for n, kind in enumerate(types)}
        rows = [
            (number, span.start, span.end, place[span.label])
            for number, spans in enumerate(texts)
            for span in spans
        ]
        columns = np.array(rows, np.int64).reshape(-1, 4).T
        return cls(*columns)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What became of each entity.

    Args:
        right: (predicted,) whether text, start, end and type are those of a true entity.
        found: (gold,) whether it was so predicted.
        bounds_right: (predicted,) whether text, start and end are, whatever the type.
        gold_of: (predicted,) number of the true entity that it meets, -1 if there is none: the
            same if it is right, else one with a character in common and if possible its type.
            A true entity is met once at most.
    """

    right: Booleans
    found: Booleans
    bounds_right: Booleans
    gold_of: Integers

    def predicted_of(self) -> Integers:
        """Return (gold,) the number of the predicted entity that meets it, or -1."""
        back = np.full(len(self.found), -1, np.int64)
        met = np.flatnonzero(self.gold_of >= 0)
        back[self.gold_of[met]] = met
        return back


def match(gold: SpanTable, predicted: SpanTable) -> Matches:
    """Compare predicted entities with true ones.

    Right ones meet first, then others that have a character in common: first of one type, then of
    two, in order of place.
    """
    everything = [
        np.concatenate([getattr(gold, name), getattr(predicted, name)])
        for name in ("document", "start", "end", "kind")
    ]
    whole, bounds = _rows(everything), _rows(everything[:3])
    n = len(gold)
    right = np.isin(whole[n:], whole[:n])
    found = np.isin(whole[:n], whole[n:])
    bounds_right = np.isin(bounds[n:], bounds[:n])
    gold_of = np.full(len(predicted), -1, np.int64)
    place = {key: number for number, key in enumerate(whole[:n].tolist())}
    for number in np.flatnonzero(right).tolist():
        gold_of[number] = place[int(whole[n + number])]
    for one, other in _overlaps(gold, predicted):
        taken = np.zeros(n, np.bool_)
        taken[gold_of[gold_of >= 0]] = True
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            if not taken[a] and gold_of[b] < 0:
                gold_of[b], taken[a] = a, True
    return Matches(right, found, bounds_right, gold_of)


def _rows(columns: Sequence[Integers]) -> Integers:
    """Return (n,) a number for each row, the same for rows that are alike."""
    _, numbers = np.unique(np.stack(columns, 1), axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64)


def _overlaps(
    gold: SpanTable, predicted: SpanTable
) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
    """Return pairs (gold, predicted) with a character in common: of one type, and of two."""
    longest = int(np.concatenate([gold.end, predicted.end, [0]]).max()) + 1
    first = np.searchsorted(
        gold.document * longest + gold.end, predicted.document * longest + predicted.start, "right"
    )
    stop = np.searchsorted(
        gold.document * longest + gold.start, predicted.document * longest + predicted.end, "left"
    )
    counts = np.maximum(stop - first, 0)
    other = np.repeat(np.arange(len(predicted)), counts)
    within = np.arange(len(other)) - np.repeat(np.cumsum(counts) - counts, counts)
    one = np.repeat(first, counts) + within
    alike = gold.kind[one] == predicted.kind[other]
    return (one[alike], other[alike]), (one[~alike], other[~alike])


@dataclass(frozen=True, slots=True)
class Counts:
    """Entities: predicted rightly, predicted, true. Parts of a right one count as such."""

    right: float
    predicted: int
    gold: int

    @property
    def precision(self) -> float | None:
        """Share of what was predicted that is right; null where nothing was."""
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of what is true that was found; null where nothing is."""
        return self.right / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; null where nothing is true and nothing was predicted."""
        total = self.predicted + self.gold
        return 2 * self.right / total if total else None

    def scores(self) -> dict[str, float]:
        """Those of f1, precision and recall that are defined."""
        found = {"f1": self.f1, "precision": self.precision, "recall": self.recall}
        return {name: value for name, value in found.items() if value is not None}


def whole_counts(gold: SpanTable, predicted: SpanTable, matches: Matches) -> Counts:
    """Count entities whose text, place and type are right."""
    return Counts(int(matches.right.sum()), len(predicted), len(gold))


def counts_by_type(
    gold: SpanTable, predicted: SpanTable, matches: Matches, types: int
) -> list[Counts]:
    """Count entities of each type."""
    right = np.bincount(predicted.kind[matches.right], minlength=types)
    said = np.bincount(predicted.kind, minlength=types)
    true = np.bincount(gold.kind, minlength=types)
    return [Counts(*row) for row in zip(right.tolist(), said.tolist(), true.tolist(), strict=True)]


def bounds_counts(gold: SpanTable, predicted: SpanTable, matches: Matches) -> Counts:
    """Count entities whose place is right, whatever their type."""
    return Counts(int(matches.bounds_right.sum()), len(predicted), len(gold))


def partial_counts(gold: SpanTable, predicted: SpanTable, matches: Matches) -> Counts:
    """Count entities of the right type: whole where their place is right, half where it overlaps.

    This is the *partial* scheme of MUC-5 as SemEval-2013 task 9 used it, with the types compared.
    """
    met = np.flatnonzero(matches.gold_of >= 0)
    alike = gold.kind[matches.gold_of[met]] == predicted.kind[met]
    halves = alike & ~matches.right[met]
    return Counts(float(matches.right.sum() + 0.5 * halves.sum()), len(predicted), len(gold))


def counts_by_document(
    gold: SpanTable, predicted: SpanTable, matches: Matches, documents: int
) -> NDArray[np.int64]:
    """Return (documents, 3): right, predicted and true entities of each text."""
    right = np.bincount(predicted.document[matches.right], minlength=documents)
    said = np.bincount(predicted.document, minlength=documents)
    true = np.bincount(gold.document, minlength=documents)
    return np.stack([right, said, true], 1).astype(np.int64)
