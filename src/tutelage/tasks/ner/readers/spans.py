"""Entities as annotation tools export them, held against their text before they are believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tutelage.tasks.ner.documents import Document, Offsets, Span, find_words, words_touched
from tutelage.tasks.ner.readers.problems import Problems

OUTSIDE_TEXT: Final = "outside their text (left out)"
EMPTY: Final = "without a character (left out)"
UNREADABLE: Final = "without start, end and type (left out)"
OTHER_TEXT: Final = "that say another text than stands there (left out)"
SHIFTED: Final = "off by one character (mended)"
WIDE: Final = "counted in UTF-16 units (mended)"
BLANKS: Final = "that begin or end with a blank (mended)"
OVERLAPS: Final = "that overlap a longer or earlier one (left out)"
REPEATED: Final = "that stand there twice (taken once)"
CUTS: Final = "that begin or end inside a word (taken)"


@dataclass(frozen=True, slots=True)
class RawSpan:
    """An entity as a file has it.

    Args:
        start: First character, or what stands in its place.
        end: Character after the last.
        label: Its type.
        quoted: The text that the file says it has, if it says so.
    """

    start: object
    end: object
    label: object
    quoted: str | None = None


@dataclass(frozen=True, slots=True)
class RawText:
    """A text as a file has it.

    Args:
        id: Its name.
        text: The text.
        where: ``file:line``.
        spans: Its entities; null if it is unlabelled.
        group: What it belongs to.
        words: (n, 2) offsets of its tokens, if the file has them.
    """

    id: str
    text: str
    where: str
    spans: Sequence[RawSpan] | None
    group: str | None = None
    words: Offsets | None = None


def to_document(raw: RawText, problems: Problems) -> Document:
    """Check the entities of a text, mend what is sure, leave out what is not, and say so."""
    problems.seen["text"] += 1
    words = find_words(raw.text) if raw.words is None else raw.words
    spans = () if raw.spans is None else check_spans(raw, words, problems)
    return Document(
        id=raw.id,
        text=raw.text,
        spans=tuple(spans),
        words=words,
        tokenised=raw.words is not None,
        labelled=raw.spans is not None,
        group=raw.group,
        where=raw.where,
    )


def check_spans(raw: RawText, words: Offsets, problems: Problems) -> list[Span]:
    """Return the entities of a text that can be believed, ascending, without overlap.

    Args:
        raw: The text.
        words: (n, 2) offsets of its words.
        problems: Takes what was wrong.
    """
    given = list(raw.spans or ())
    problems.seen["entity"] += len(given)
    placed = [span for one in given for span in _placed(one, raw, problems)]
    kept = _without_overlap(placed, raw, problems)
    for span, (first, stop) in zip(kept, words_touched(words, kept), strict=True):
        touched = words[first:stop]
        if len(touched) and (touched[0, 0] < span.start or touched[-1, 1] > span.end):
            problems.add("entity", CUTS, raw.where, _shown(raw, span))
    return kept


def _placed(one: RawSpan, raw: RawText, problems: Problems) -> Iterator[Span]:
    """Yield the entity with its right place, if there is one."""
    start, end, label = one.start, one.end, one.label
    if (
        not (isinstance(start, int) and isinstance(end, int))
        or isinstance(start, bool)
        or not (isinstance(label, str) and label.strip())
    ):
        problems.add("entity", UNREADABLE, raw.where, f"{start!r}–{end!r} {label!r}")
        return
    span = Span(start, end, label.strip())
    shown = f"{start}–{end} {label}"
    if one.quoted is not None and raw.text[max(start, 0) : max(end, 0)] != one.quoted:
        found = _where_quoted(span, one.quoted, raw.text)
        if found is None:
            problems.add("entity", OTHER_TEXT, raw.where, f"{shown}: {one.quoted!r}")
            return
        kind, span = found
        problems.add("entity", kind, raw.where, f"{shown}: {one.quoted!r}")
    if not (0 <= span.start <= len(raw.text) and 0 <= span.end <= len(raw.text)):
        said = f"{shown}; the text has {len(raw.text)} characters"
        problems.add("entity", OUTSIDE_TEXT, raw.where, said)
        return
    content = raw.text[span.start : span.end]
    if not content.strip():
        problems.add("entity", EMPTY, raw.where, f"{shown}: {content!r}")
        return
    if content != content.strip():
        begin = span.start + len(content) - len(content.lstrip())
        span = Span(begin, begin + len(content.strip()), span.label)
        problems.add("entity", BLANKS, raw.where, f"{shown}: {content!r}")
    yield span


def _where_quoted(span: Span, quoted: str, text: str) -> tuple[str, Span] | None:
    """Find the text that an entity says it has, near where it says it is; and what was wrong."""
    for start, end in ((0, 1), (0, -1), (1, 1), (-1, -1), (-1, 0), (1, 0)):
        begin, stop = span.start + start, span.end + end
        if begin >= 0 and quoted and text[begin:stop] == quoted:
            return SHIFTED, Span(begin, stop, span.label)
    places = _utf16_places(text)
    if 0 <= span.start < span.end < len(places):
        begin, stop = int(places[span.start]), int(places[span.end])
        if text[begin:stop] == quoted:
            return WIDE, Span(begin, stop, span.label)
    return None


def _utf16_places(text: str) -> Offsets:
    """Return the character that each place of the text in UTF-16 units is, the end's too.

    JavaScript counts so: to it, a character beyond the basic plane, as an emoji, is two.
    """
    units = [2 if ord(character) > 0xFFFF else 1 for character in text]
    return np.append(np.repeat(np.arange(len(text)), units), len(text)).astype(np.int32)


def _without_overlap(spans: Sequence[Span], raw: RawText, problems: Problems) -> list[Span]:
    """Keep the longer of two entities that overlap, the earlier of two as long."""
    counts = Counter(spans)
    for span, count in counts.items():
        for _ in range(count - 1):
            problems.add("entity", REPEATED, raw.where, _shown(raw, span))
    kept: list[Span] = []
    for span in sorted(counts, key=lambda s: (s.start - s.end, s)):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
        else:
            problems.add("entity", OVERLAPS, raw.where, _shown(raw, span))
    return sorted(kept)


def _shown(raw: RawText, span: Span) -> str:
    return f"{span.start}–{span.end} {span.label}: {raw.text[span.start : span.end]!r}"
