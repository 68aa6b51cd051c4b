"""What a model says of words, and how that becomes entities of whole texts, over strides too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from tutelage.tasks.ner.documents import Document, Span
from tutelage.tasks.ner.labels import OUTSIDE, Booleans, Integers, LabelSet

Floats = NDArray[np.float32]
Decoding = Literal["legal", "argmax"]
WHOLE: Final = 2**31 - 1
"""The context of a word whose window holds the whole text."""
_LEAST: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class WordProbabilities:
    """What a model says of words: one row for each word of each window that it saw.

    Args:
        document: (n,) number of the text that the word is of.
        word: (n,) number of the word in its text.
        probabilities: (n, tags) of each tag; a row sums to one.
        context: (n,) tokens between the word and the nearer end of its window that is not an end
            of the text: how far the model could see around it. `WHOLE` where there is no such end.
    """

    document: Integers
    word: Integers
    probabilities: Floats
    context: Integers


Tagger = Callable[[Sequence[Document]], WordProbabilities]
"""A model at work: what it says of the words of some texts."""


@dataclass(frozen=True, slots=True, eq=False)
class Tagged:
    """The tag and the probabilities of each word of some texts, one text after the other.

    Args:
        starts: (texts,) where the words of each text begin.
        probabilities: (words, tags); a word that the model never saw is ``O`` for certain.
        seen: (words,) whether the model saw it.
        tags: (words,) decoded.
    """

    starts: Integers
    probabilities: Floats
    seen: Booleans
    tags: Integers


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """A predicted entity; ``score`` is the mean probability of its type over its words."""

    span: Span
    score: float


def word_starts(documents: Sequence[Document]) -> Integers:
    """Return (texts,) where the words of each text begin, all texts laid end to end."""
    counts = np.array([len(document.words) for document in documents], np.int64)
    return np.cumsum(counts) - counts


def gold_tags(documents: Sequence[Document], labels: LabelSet) -> Integers:
    """Return (words,) the tags of all texts, laid end to end."""
    each = [labels.encode(document.words, document.spans) for document in documents]
    return np.concatenate(each) if each else np.zeros(0, np.int64)


def merge(
    documents: Sequence[Document],
    found: WordProbabilities,
    labels: LabelSet,
    decoding: Decoding = "legal",
) -> Tagged:
    """Bring what a model said of overlapping windows together, word by word, and decode it.

    Of a word that several windows hold, that one counts which shows most around it; of two alike,
    the row that comes first.

    Args:
        documents: The texts.
        found: What the model said.
        labels: The model's tags.
        decoding: How tags are chosen.
    """
    starts = word_starts(documents)
    total = int(sum(len(document.words) for document in documents))
    place = starts[found.document] + found.word if len(found.word) else found.word
    order = np.lexsort((-found.context, place))
    firsts = np.flatnonzero(np.diff(place[order], prepend=-1))
    chosen = order[firsts]
    probabilities = np.zeros((total, len(labels.tags)), np.float32)
    probabilities[:, OUTSIDE] = 1.0
    probabilities[place[chosen]] = found.probabilities[chosen]
    seen = np.zeros(total, np.bool_)
    seen[place[chosen]] = True
    tags = probabilities.argmax(1).astype(np.int64)
    if decoding == "legal":
        tags = _legal(tags, probabilities, starts, labels)
    return Tagged(starts, probabilities, seen, tags)


def _legal(tags: Integers, probabilities: Floats, starts: Integers, labels: LabelSet) -> Integers:
    """Replace the tags of texts whose tags do not follow each other rightly by the best that do."""
    may, end = labels.may_follow, len(labels.tags)
    stops = np.append(starts[1:], len(tags))
    first, last = np.full(len(tags), False), np.full(len(tags), False)
    filled = stops > starts
    first[starts[filled]], last[stops[filled] - 1] = True, True
    before = np.where(first, end, np.roll(tags, 1))
    wrong = ~may[before, tags] | (last & ~may[tags, end])
    texts = np.unique(np.searchsorted(starts, np.flatnonzero(wrong), side="right") - 1)
    result = tags.copy()
    for text in texts.tolist():
        part = slice(starts[text], stops[text])
        result[part] = _viterbi(np.log(np.maximum(probabilities[part], _LEAST)), may)
    return result


def _viterbi(scores: Floats, may: Booleans) -> Integers:
    """Return the (n,) tags of the greatest sum of (n, tags) scores that may follow each other."""
    step = np.where(may[:-1, :-1], 0.0, -np.inf)
    best = scores[0] + np.where(may[-1, :-1], 0.0, -np.inf)
    came = np.zeros(scores.shape, np.int64)
    for n in range(1, len(scores)):
        ways = best[:, None] + step
        came[n] = ways.argmax(0)
        best = ways.max(0) + scores[n]
    tags = np.zeros(len(scores), np.int64)
    tags[-1] = int((best + np.where(may[:-1, -1], 0.0, -np.inf)).argmax())
    for n in range(len(scores) - 1, 0, -1):
        tags[n - 1] = came[n, tags[n]]
    return tags


def entities_of(
    documents: Sequence[Document], tagged: Tagged, labels: LabelSet
) -> Iterator[tuple[ScoredSpan, ...]]:
    """Yield for each text the entities that its tags say, in characters, ascending."""
    found = labels.decode(tagged.tags, tagged.starts)
    kinds = type_probabilities(tagged.probabilities, labels)
    sums = np.concatenate([np.zeros((1, kinds.shape[1])), kinds.cumsum(0, dtype=np.float64)])
    rows = np.arange(len(found.first))
    means = (sums[found.stop] - sums[found.first])[rows, found.kind]
    means = means / np.maximum(found.stop - found.first, 1)
    text = np.searchsorted(tagged.starts, found.first, side="right") - 1
    words = np.concatenate([np.zeros((0, 2), np.int32), *(d.words for d in documents)])
    spans = zip(
        words[found.first, 0].tolist(),
        words[found.stop - 1, 1].tolist(),
        found.kind.tolist(),
        np.minimum(means, 1.0).tolist(),
        strict=True,
    )
    scored = [ScoredSpan(Span(a, b, labels.types[kind]), mean) for a, b, kind, mean in spans]
    bounds = np.searchsorted(text, np.arange(len(documents) + 1)).tolist()
    for begin, end in pairwise(bounds):
        yield tuple(scored[begin:end])


def type_probabilities(probabilities: Floats, labels: LabelSet) -> Floats:
    """Return (words, types): the probability that a word is in an entity of each type."""
    width = len(labels.prefixes)
    shape = (len(probabilities), len(labels.types), width)
    sums: Floats = probabilities[:, 1:].reshape(shape).sum(2)
    return sums
