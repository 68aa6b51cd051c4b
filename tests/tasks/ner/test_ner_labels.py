"""Tags say entities as seqeval reads them, and predictions come together over windows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, IOBES
from seqeval.scheme import Entities as StrictEntities

from tutelage.tasks.ner.documents import Document, Span, find_words
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.predictions import (
    WHOLE,
    WordProbabilities,
    entities_of,
    gold_tags,
    merge,
)

SCHEMES = ("iob2", "bioes")
Found = set[tuple[int, int, str]]
tag_texts = st.lists(st.lists(st.integers(0, 8), max_size=8), min_size=1, max_size=5)


def label_set(scheme: Literal["iob2", "bioes"]) -> LabelSet:
    return LabelSet.of(["place", "person"] if scheme == "bioes" else "abcd", scheme)


def decoded(labels: LabelSet, texts: list[list[int]], strict: bool) -> Found:
    flat = np.array([tag for text in texts for tag in text], np.int64)
    found = labels.decode(flat, starts_of(texts), strict=strict)
    kinds = [labels.types[kind] for kind in found.kind]
    return set(zip(found.first.tolist(), found.stop.tolist(), kinds, strict=True))


def starts_of(texts: list[list[int]]) -> np.ndarray:
    return np.cumsum([0, *map(len, texts)])[:-1]


@pytest.mark.parametrize("scheme", SCHEMES)
@given(texts=tag_texts)
def test_any_tags_say_the_entities_that_seqeval_reads(scheme, texts):
    labels, expected = label_set(scheme), set()
    for start, text in zip(starts_of(texts).tolist(), texts, strict=True):
        for kind, first, last in get_entities([labels.tags[tag] for tag in text]):
            expected.add((start + first, start + last + 1, kind))
    assert decoded(labels, texts, strict=False) == expected


@pytest.mark.parametrize("scheme", SCHEMES)
@given(texts=tag_texts)
def test_strict_reading_takes_only_what_seqeval_s_strict_mode_takes(scheme, texts):
    labels, expected = label_set(scheme), set()
    reference = IOB2 if scheme == "iob2" else IOBES
    names = [[labels.tags[tag] for tag in text] for text in texts]
    for start, found in zip(
        starts_of(texts).tolist(), StrictEntities(names, reference).entities, strict=True
    ):
        expected |= {(start + one.start, start + one.end, one.tag) for one in found}
    assert decoded(labels, texts, strict=True) == expected


@st.composite
def documents(draw):
    tokens = draw(st.lists(st.text("aé漢😀", min_size=1, max_size=4), max_size=12))
    cuts = sorted(draw(st.sets(st.integers(0, len(tokens)), max_size=6)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    spans = [(a, b, draw(st.sampled_from("abcd"))) for a, b in pairs]
    return Document.of_tokens("d", tokens, spans)


def certain(documents: list[Document], tags: np.ndarray, width: int) -> WordProbabilities:
    text = np.repeat(np.arange(len(documents)), [len(d.words) for d in documents])
    word = np.concatenate([np.arange(len(d.words)) for d in documents]).astype(np.int64)
    return WordProbabilities(
        text, word, np.eye(width, dtype=np.float32)[tags], np.full(len(tags), WHOLE)
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@given(texts=st.lists(documents(), min_size=1, max_size=4))
def test_entities_survive_the_way_to_tags_and_back_with_their_characters(scheme, texts):
    labels = LabelSet.of("abcd", scheme)
    tags = gold_tags(texts, labels)
    tagged = merge(texts, certain(texts, tags, len(labels.tags)), labels, "argmax")
    back = entities_of(texts, tagged, labels)
    for text, entities in zip(texts, back, strict=True):
        assert tuple(one.span for one in entities) == text.spans
        assert all(one.score == 1.0 for one in entities)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(texts=tag_texts)
def test_tags_that_may_follow_each_other_are_those_that_strict_reading_takes_whole(scheme, texts):
    labels = label_set(scheme)
    for text in texts:
        path = [len(labels.tags), *text, len(labels.tags)]
        legal = labels.may_follow[path[:-1], path[1:]].all()
        inside = sum(b - a for a, b, _ in decoded(labels, [text], strict=True))
        assert legal == (inside == sum(tag != 0 for tag in text))


def test_of_a_word_in_two_windows_the_one_with_more_around_it_counts():
    labels = LabelSet.of(["x"])
    text = Document.of_text("1", "one two three")
    rows = np.array(
        [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.3, 0.1], [0.9, 0.1, 0.0]], np.float32
    )
    found = WordProbabilities(
        np.zeros(4, np.int64), np.array([0, 1, 1, 2]), rows, np.array([5, 5, 0, 5])
    )
    tagged = merge([text], found, labels)
    assert tagged.tags.tolist() == [0, 1, 0]
    assert tagged.probabilities[1].tolist() == rows[1].tolist()


def test_a_word_that_no_window_reached_is_in_no_entity():
    labels = LabelSet.of(["x"])
    texts = [Document.of_text("1", ""), Document.of_text("2", "one two")]
    found = WordProbabilities(
        np.array([1]), np.array([0]), np.array([[0, 1, 0]], np.float32), np.array([WHOLE])
    )
    tagged = merge(texts, found, labels)
    assert tagged.tags.tolist() == [1, 0]
    assert tagged.seen.tolist() == [True, False]
    assert [len(spans) for spans in entities_of(texts, tagged, labels)] == [0, 1]


@given(data=st.data(), words=st.integers(1, 5))
def test_legal_decoding_finds_the_most_probable_of_all_legal_tag_sequences(data, words):
    labels = LabelSet.of("ab")
    weights = data.draw(
        st.lists(
            st.lists(st.integers(1, 1000), min_size=5, max_size=5), min_size=words, max_size=words
        )
    )
    rows = np.array(weights, np.float64)
    rows /= rows.sum(1, keepdims=True)
    text = Document.of_tokens("1", ["w"] * words)
    zeros = np.zeros(words, np.int64)
    found = WordProbabilities(zeros, np.arange(words), rows.astype(np.float32), zeros)
    tags = merge([text], found, labels, "legal").tags

    def likelihood(path: np.ndarray) -> float:
        return float(np.log(rows[np.arange(words), path]).sum())

    grid = np.stack(np.meshgrid(*[np.arange(5)] * words), -1).reshape(-1, words)
    edge = np.full((len(grid), 1), 5)
    whole = np.concatenate([edge, grid, edge], 1)
    legal = grid[labels.may_follow[whole[:, :-1], whole[:, 1:]].all(1)]
    best = max(likelihood(path) for path in legal)
    assert any((tags == path).all() for path in legal)
    assert likelihood(tags) == pytest.approx(best, abs=1e-4)


def test_a_span_that_cuts_a_word_tags_the_whole_word():
    text = Document.of_text("1", "Berliner Luft", [Span(0, 6, "place")])
    assert LabelSet.of(["place"]).encode(text.words, text.spans).tolist() == [1, 0]


@given(st.text(max_size=40))
def test_words_never_overlap_nor_hold_blanks_and_leave_nothing_but_blanks(text):
    words = find_words(text)
    covered = [text[a:b] for a, b in words.tolist()]
    assert all(word and not any(c.isspace() for c in word) for word in covered)
    assert "".join(covered) == "".join(text.split())


def test_scripts_without_spaces_are_cut_into_characters():
    assert Document.of_text("1", "Ana lives in 東京.").word_texts() == [
        "Ana", "lives", "in", "東", "京", ".",
    ]  # fmt: skip


def test_an_unknown_scheme_is_refused_when_it_is_read():
    with pytest.raises(ValueError, match="no scheme 'bilou2'"):
        LabelSet.from_json({"types": ["person"], "scheme": "bilou2"})
