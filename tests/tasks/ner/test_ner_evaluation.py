"""A model's scores stand beside those of names and tags that training held, with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agreeing_blocks import assert_blocks_agree
from tutelage.core.errors import DataError
from tutelage.tasks.ner.baselines import from_frequent_tags, from_gazetteer
from tutelage.tasks.ner.config import NERData, NEREvaluation
from tutelage.tasks.ner.corpus import Corpus, load_corpus
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.evaluation import evaluate, predict_entities, prediction_lines
from tutelage.tasks.ner.learned import Learned
from tutelage.tasks.ner.predictions import WHOLE, Tagger, WordProbabilities, gold_tags, word_starts


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus(NERData(embedded="resumes", resumes=80))


def knows_all_but(corpus: Corpus, *kinds: str) -> Tagger:
    """A model that is right and sure, but says ``O`` for some types."""
    labels = corpus.learned.labels

    def tag(documents: Sequence[Document]) -> WordProbabilities:
        tags, starts = gold_tags(documents, labels), word_starts(documents)
        hidden = [labels.types.index(kind) for kind in kinds]
        tags[np.isin(labels.kind_of_tag[tags], hidden)] = 0
        text = np.repeat(np.arange(len(documents)), [len(d.words) for d in documents])
        rows = np.full((len(tags), len(labels.tags)), 0.1 / (len(labels.tags) - 1), np.float32)
        rows[np.arange(len(tags)), tags] = 0.9
        return WordProbabilities(
            text, np.arange(len(tags)) - starts[text], rows, np.full(len(tags), WHOLE)
        )

    return tag


def test_a_perfect_model_scores_one_everywhere_and_its_rivals_less(corpus):
    found = evaluate(knows_all_but(corpus), corpus, NEREvaluation(bootstrap=50))
    for name in ("f1", "macro_f1", "partial_f1", "bounds_f1", "word_f1", "f1_low", "held_out_f1"):
        assert found.metrics[f"test/{name}"] == 1.0
    assert found.metrics["test/gap"] == 0.0
    assert found.metrics["test/calibration_error"] == pytest.approx(0.1, abs=0.02)
    assert set(found.baselines) == {"gazetteer", "frequent_tag"}
    for scores in found.baselines.values():
        assert scores["test/unknown_recall"] < 0.5 < scores["test/known_recall"]
        assert 0 < scores["test/f1"] < 1


def test_types_that_a_model_does_not_know_cost_their_own_f1_alone(corpus):
    found = evaluate(knows_all_but(corpus, "skill"), corpus, NEREvaluation(bootstrap=0))
    assert_blocks_agree(found, "test/f1")
    metrics = found.metrics
    assert metrics["test/skill/f1"] == 0.0 and metrics["test/name/f1"] == 1.0
    assert metrics["test/precision"] == 1.0
    share = metrics["test/skill/entities"] / metrics["test/entities"]
    assert metrics["test/recall"] == pytest.approx(1 - share)


def test_the_tables_show_types_confusion_calibration_and_errors(corpus):
    found = evaluate(knows_all_but(corpus, "email"), corpus, NEREvaluation(errors=3))
    titles = [table.title for table in found.tables]
    assert titles == [
        "Entities of test by type",
        "What was taken for what on test",
        "Calibration on test",
        "Errors on test",
        "Texts",
    ]
    assert [table.first for table in found.tables] == [True, False, False, False, False]
    assert [row[1] for row in found.tables[3].rows] == ["missed"] * 3
    assert all("@" in str(row[5]) for row in found.tables[3].rows)


def test_lines_of_predictions_are_places_in_the_text_they_carry(corpus):
    documents = corpus.tests["test"][:3]
    found = predict_entities(knows_all_but(corpus), documents, corpus.learned, NEREvaluation())
    for document, line in zip(documents, prediction_lines(documents, found), strict=True):
        assert line["id"] == document.id and line["text"] == document.text
        spans = line["spans"]
        assert isinstance(spans, list) and len(spans) == len(document.spans)
        for span in spans:
            assert document.text[span["start"] : span["end"]] == span["text"]
            assert span["score"] == pytest.approx(0.9, abs=0.05)


def test_unlabelled_texts_are_not_scored_and_a_split_of_them_is_refused(corpus):
    bare = tuple(replace(d, labelled=False, spans=()) for d in corpus.tests["test"])
    with pytest.raises(DataError, match="no text is labelled") as error:
        evaluate(knows_all_but(corpus), replace(corpus, tests={"test": bare}), NEREvaluation())
    assert "tutelage predict" in str(error.value)
    some = (*bare[:5], *corpus.tests["test"][5:])
    part = evaluate(
        knows_all_but(corpus), replace(corpus, tests={"test": some}), NEREvaluation(bootstrap=0)
    )
    assert part.metrics["test/f1"] == 1.0


def learned(*texts: tuple[list[str], list[tuple[int, int, str]]]) -> Learned:
    documents = [Document.of_tokens(str(n), *text) for n, text in enumerate(texts)]
    return Learned.from_texts(documents, [], "iob2", "", "")


def test_the_gazetteer_takes_the_longest_name_and_none_that_mostly_is_no_entity():
    known = learned(
        (["New", "York"], [(0, 2, "place")]),
        (["York"], [(0, 1, "place")]),
        (["Apple", "pie"], [(0, 1, "org")]),
        (["apple"], []),
        (["apple"], []),
    )
    text = Document.of_text("x", "new york and York, an apple")
    (spans,) = from_gazetteer([text], known)
    assert [(text.text[s.start : s.end], s.label) for s in spans] == [
        ("new york", "place"),
        ("York", "place"),
    ]


def test_frequent_tags_give_each_word_its_own():
    known = learned((["Ada", "Lovelace", "met", "Ada"], [(0, 2, "person"), (3, 4, "person")]))
    assert known.frequent_tags == {"ada": "B-person", "lovelace": "I-person"}
    text = Document.of_text("x", "ada met Ada Lovelace")
    (spans,) = from_frequent_tags([text], known)
    assert [text.text[s.start : s.end] for s in spans] == ["ada", "Ada Lovelace"]
