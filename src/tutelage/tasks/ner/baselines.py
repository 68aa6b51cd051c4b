"""Trivial rivals of a model: names that training holds, and the tag each word mostly had."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tutelage.tasks.ner.documents import Document, Span, words_touched
from tutelage.tasks.ner.labels import OUTSIDE, LabelSet

if TYPE_CHECKING:
    from tutelage.tasks.ner.learned import Learned


def learn_gazetteer(documents: Sequence[Document]) -> dict[str, str]:
    """Return the words of each entity, lower-cased, to the type that it most often is.

    Names that the texts hold outside of any entity as often, or more often, are left out.
    """
    named: dict[str, Counter[str]] = defaultdict(Counter)
    lengths = set()
    for document in documents:
        for span, name in zip(document.spans, _entities(document), strict=True):
            if name:
                named[name][span.label] += 1
                lengths.add(name.count(" ") + 1)
    outside: Counter[str] = Counter()
    for document in documents:
        for words in _stretches_outside(document):
            for length in lengths:
                runs = (" ".join(words[n : n + length]) for n in range(len(words) - length + 1))
                outside.update(run for run in runs if run in named)
    return {
        name: min(types, key=lambda kind: (-types[kind], kind))
        for name, types in sorted(named.items())
        if types.total() > outside[name]
    }


def _stretches_outside(document: Document) -> Iterator[list[str]]:
    """Yield the words before, between and after the entities of a text."""
    words, n = _words(document), 0
    for first, stop in words_touched(document.words, document.spans):
        yield words[n:first]
        n = stop
    yield words[n:]


def learn_frequent_tags(documents: Sequence[Document], labels: LabelSet) -> dict[str, str]:
    """Return each word, lower-cased, whose most frequent tag is not ``O``, with that tag."""
    tags: dict[str, Counter[int]] = defaultdict(Counter)
    for document in documents:
        for word, tag in zip(
            _words(document), labels.encode(document.words, document.spans).tolist(), strict=True
        ):
            tags[word][tag] += 1
    best = {word: min(found, key=lambda t: (-found[t], t)) for word, found in sorted(tags.items())}
    return {word: labels.tags[tag] for word, tag in best.items() if tag != OUTSIDE}


def known_names(document: Document, learned: Learned) -> tuple[bool, ...]:
    """Say of each entity of a text whether training held its name."""
    return tuple(name in learned.gazetteer for name in _entities(document))


def from_gazetteer(documents: Sequence[Document], learned: Learned) -> Iterator[tuple[Span, ...]]:
    """Yield the entities of each text: from the left, the longest name that training held."""
    longest = max((name.count(" ") + 1 for name in learned.gazetteer), default=0)
    for document in documents:
        yield tuple(_longest_first(document, learned.gazetteer, longest))


def _longest_first(document: Document, names: Mapping[str, str], longest: int) -> Iterator[Span]:
    words, n = _words(document), 0
    while n < len(words):
        for length in range(min(longest, len(words) - n), 0, -1):
            kind = names.get(" ".join(words[n : n + length]))
            if kind is not None:
                start, end = document.words[n, 0], document.words[n + length - 1, 1]
                yield Span(int(start), int(end), kind)
                n += length - 1
                break
        n += 1


def from_frequent_tags(
    documents: Sequence[Document], learned: Learned
) -> Iterator[tuple[Span, ...]]:
    """Yield the entities of each text that the most frequent tags of its words say."""
    labels = learned.labels
    place = {tag: n for n, tag in enumerate(labels.tags)}
    for document in documents:
        tags = [place[learned.frequent_tags.get(word, "O")] for word in _words(document)]
        found = labels.decode(np.array(tags, np.int64))
        yield tuple(
            Span(
                int(document.words[first, 0]), int(document.words[stop - 1, 1]), labels.types[kind]
            )
            for first, stop, kind in zip(*(part.tolist() for part in found), strict=True)
        )


def _words(document: Document) -> list[str]:
    return [word.casefold() for word in document.word_texts()]


def _entities(document: Document) -> list[str]:
    """The whole words within each entity, lower-cased, with a blank between two."""
    found = []
    places = words_touched(document.words, document.spans)
    for span, (first, stop) in zip(document.spans, places, strict=True):
        inside = document.words[first:stop].tolist()
        words = [document.text[a:b] for a, b in inside if span.start <= a and b <= span.end]
        found.append(" ".join(words).casefold())
    return found
