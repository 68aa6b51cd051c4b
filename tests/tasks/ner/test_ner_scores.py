"""Scores of entities are seqeval's where it has them, and what they say where it has none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report

from tutelage.tasks.ner.calibration import calibrate, f1_interval
from tutelage.tasks.ner.documents import Document, Span
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.matching import SpanTable, match, partial_counts
from tutelage.tasks.ner.predictions import ScoredSpan, Tagged, entities_of
from tutelage.tasks.ner.scores import Scored, error_table, type_table

LABELS = LabelSet.of(["org", "person"], "iob2")
texts_of_tags = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


def spans_of(
    documents: Sequence[Document], tags: Sequence[Sequence[int]]
) -> list[tuple[Span, ...]]:
    flat = np.array([tag for text in tags for tag in text], np.int64)
    starts = np.cumsum([0, *map(len, tags)])[:-1]
    eye = np.eye(len(LABELS.tags), dtype=np.float32)[flat]
    tagged = Tagged(starts, eye, np.ones(len(flat), np.bool_), flat)
    return [tuple(one.span for one in found) for found in entities_of(documents, tagged, LABELS)]


def scored(gold: Sequence[Sequence[int]], said: Sequence[Sequence[int]]) -> Scored:
    bare = [Document.of_tokens(str(n), ["w"] * len(text)) for n, text in enumerate(gold)]
    true = spans_of(bare, gold)
    documents = [
        Document(d.id, d.text, spans, d.words, True) for d, spans in zip(bare, true, strict=True)
    ]
    known = np.zeros(sum(map(len, true)), np.bool_)
    return Scored.of(documents, spans_of(documents, said), LABELS.types, known)


@given(texts_of_tags)
def test_precision_recall_and_f1_of_all_and_of_each_type_are_seqeval_s(texts):
    gold, said = ([[pair[side] for pair in text] for text in texts] for side in (0, 1))
    names = [[[LABELS.tags[tag] for tag in text] for text in side] for side in (gold, said)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = classification_report(*names, output_dict=True, zero_division=0)
    ours = scored(gold, said).metrics(bootstrap=0)
    theirs = {"": report.pop("micro avg", {})} | {k: v for k, v in report.items() if "avg" not in k}
    for kind, values in theirs.items():
        for name, key in (("f1", "f1-score"), ("precision", "precision"), ("recall", "recall")):
            found = ours.get(f"{kind}/{name}" if kind else name, 0.0)
            assert found == pytest.approx(values.get(key, 0.0))
        if kind:
            assert ours[f"{kind}/entities"] == values["support"]


def table_of(*spans: tuple[int, int, int, int]) -> SpanTable:
    return SpanTable(*np.array(spans, np.int64).reshape(-1, 4).T)


def test_an_entity_in_part_right_counts_half_and_meets_one_true_entity_alone():
    gold = table_of((0, 0, 10, 0), (0, 20, 30, 1), (1, 0, 5, 0))
    said = table_of((0, 0, 4, 0), (0, 5, 10, 0), (0, 20, 30, 0), (1, 0, 5, 0))
    matches = match(gold, said)
    assert matches.gold_of.tolist() == [0, -1, 1, 2]
    assert matches.right.tolist() == [False, False, False, True]
    assert matches.bounds_right.tolist() == [False, False, True, True]
    counts = partial_counts(gold, said, matches)
    assert (counts.right, counts.predicted, counts.gold) == (1.5, 4, 3)


def test_entities_of_two_texts_never_meet():
    matches = match(table_of((0, 0, 5, 0)), table_of((1, 0, 5, 0)))
    assert not matches.right.any() and matches.gold_of.tolist() == [-1]


def test_nothing_predicted_and_nothing_true_has_no_score():
    assert scored([[0, 0]], [[0, 0]]).metrics(100) == {
        "entities": 0.0,
        "texts": 1.0,
        "org/entities": 0.0,
        "person/entities": 0.0,
    }


def test_words_outside_never_count():
    few, many = ([[1, *[0] * n]] for n in (1, 500))
    wrong = [[[0, *[0] * n]] for n in (1, 500)]
    one, other = (scored(g, s).metrics(0) for g, s in zip((few, many), wrong, strict=True))
    assert one["word_f1"] == other["word_f1"] == 0.0
    assert "word_precision" not in one


def test_confusion_says_what_was_taken_for_what():
    table = scored([[1, 0, 3]], [[3, 3, 0]]).confusion("test")
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.columns == ("true", "org", "person", "missed")
    assert rows == {"org": (0, 1, 0), "person": (0, 0, 1), "no entity": (0, 1, None)}


def test_a_model_that_predicts_nothing_missed_everything():
    model = scored([[1, 0, 3]], [[0, 0, 0]])
    assert model.metrics(50)["f1"] == 0.0 and "precision" not in model.metrics(0)
    assert model.confusion("test").rows == (("org", 0, 0, 1), ("person", 0, 0, 1))
    assert [row[1] for row in error_table("test", model, [()], 10).rows] == ["missed", "missed"]


def test_the_table_of_types_sets_rivals_beside_the_model():
    model, rival = scored([[1, 3]], [[1, 0]]), scored([[1, 3]], [[0, 3]])
    table = type_table("test", model, {"names": rival})
    assert table.columns[-1] == "names f1"
    assert table.rows[0] == ("org", 1, 1.0, 1.0, 1.0, 0.0)
    assert table.rows[-1][:2] == ("all", 2)


def test_errors_are_listed_with_the_text_around_them_the_surest_first():
    words = "yesterday Ada Lovelace met Charles at King s Cross"
    text = Document.of_text(
        "1", words, [Span(10, 22, "person"), Span(27, 34, "person")], where="f:7"
    )
    found = [
        ScoredSpan(Span(10, 13, "person"), 0.6),
        ScoredSpan(Span(38, 50, "org"), 0.9),
    ]
    model = Scored.of([text], [[one.span for one in found]], LABELS.types, np.ones(2, np.bool_))
    rows = error_table("test", model, [found], 10).rows
    assert [row[1] for row in rows] == ["no entity", "bounds", "missed"]
    assert rows[1][2] == "person: Ada Lovelace"
    assert rows[0][0] == "f:7" and rows[0][5].endswith("⟦King s Cross⟧")


def test_calibration_error_is_the_mean_distance_of_score_and_precision():
    scores = np.array([0.95, 0.95, 0.95, 0.95, 0.15])
    found = calibrate(scores, np.array([True, True, False, False, False]))
    assert found.error == pytest.approx((4 * 0.45 + 1 * 0.15) / 5)
    assert [row[1] for row in found.table("test").rows] == [1, 4]
    assert calibrate(np.zeros(0), np.zeros(0, np.bool_)).error is None


def test_calibration_is_drawn_beside_what_would_be_right_as_often_as_said():
    found = calibrate(np.array([0.95, 0.15, 0.15]), np.array([True, True, False]))
    figure = found.figure("test")
    assert figure is not None
    right, said = figure.panels[0].lines
    assert right.at == said.at == said.values == (0.15, 0.95)
    assert right.values == (0.5, 1.0)
    assert calibrate(np.array([0.95]), np.array([True])).figure("test") is None


def test_the_interval_holds_the_score_and_narrows_with_more_texts():
    one = np.tile([[1, 2, 1], [0, 1, 1], [1, 1, 1], [0, 0, 0]], (10, 1))
    f1 = 2 * 20 / (40 + 30)
    low, high = f1_interval(one, 500) or (1.0, 0.0)
    nearer, further = f1_interval(np.tile(one, (20, 1)), 500) or (1.0, 0.0)
    assert low < nearer < f1 < further < high
    assert f1_interval(one, 0) is None
    assert f1_interval(np.zeros((5, 3), np.int64), 100) is None
