"""Score a model on every test split of a corpus, beside what needs no training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tutelage.core.blocks import Blocks, pack_blocks
from tutelage.core.errors import DataError
from tutelage.core.folds import HELD_OUT
from tutelage.core.records import Evaluation, Figure, Table
from tutelage.tasks.ner.baselines import from_frequent_tags, from_gazetteer, known_names
from tutelage.tasks.ner.config import NEREvaluation
from tutelage.tasks.ner.corpus import Corpus, refuse_unseen
from tutelage.tasks.ner.documents import Document, Span
from tutelage.tasks.ner.labels import Booleans
from tutelage.tasks.ner.learned import Learned
from tutelage.tasks.ner.predictions import ScoredSpan, Tagger, entities_of, merge
from tutelage.tasks.ner.scores import (
    Scored,
    calibration_of,
    error_table,
    type_table,
)

GAZETTEER = "gazetteer"
FREQUENT = "frequent_tag"
RIVALS = {GAZETTEER: from_gazetteer, FREQUENT: from_frequent_tags}


def predict_entities(
    tagger: Tagger, documents: Sequence[Document], learned: Learned, options: NEREvaluation
) -> list[tuple[ScoredSpan, ...]]:
    """Return the entities that a model finds in each text, in characters."""
    tagged = merge(documents, tagger(documents), learned.labels, options.decoding)
    return list(entities_of(documents, tagged, learned.labels))


def evaluate(
    tagger: Tagger, corpus: Corpus, options: NEREvaluation, bad_share: float = 1.0
) -> Evaluation:
    """Score a model and its trivial rivals on every test split.

    Keys are ``split/metric`` and ``split/TYPE/metric``. Where texts are held out, ``held_out_f1``
    is the f1 on them, and ``gap`` what it is above the test's; not where they are the test.

    Args:
        tagger: The model.
        corpus: The texts.
        options: How entities are read and scored.
        bad_share: Share of the entities that may be of a type that training never saw.

    Raises:
        DataError: No text of a split is labelled, or too many entities are of an unseen type.
    """
    refuse_unseen(corpus.unseen, bad_share)
    held_out = None
    if corpus.validation and HELD_OUT not in corpus.tests:
        held_out = _f1(tagger, corpus.validation, corpus.learned, options)
    metrics: dict[str, float] = {}
    baselines: dict[str, dict[str, float]] = {name: {} for name in RIVALS}
    tables: list[Table] = []
    figures: list[Figure | None] = []
    blocks: list[Blocks] = []
    for split, documents in corpus.tests.items():
        labelled = [document for document in documents if document.labelled]
        if not labelled:
            raise DataError(
                "no text is labelled, so nothing can be scored",
                where=split,
                hint="To find entities in texts without labels, use `tutelage predict`.",
            )
        scored = predict_entities(tagger, labelled, corpus.learned, options)
        model, rivals = _beside(labelled, scored, corpus.learned)
        found = model.metrics(options.bootstrap)
        if held_out is not None and "f1" in found:
            found |= {"held_out_f1": held_out, "gap": held_out - found["f1"]}
        calibration = calibration_of(model, scored)
        if calibration.error is not None:
            found["calibration_error"] = calibration.error
        metrics |= _keyed(split, found)
        for name, rival in rivals.items():
            baselines[name] |= _keyed(split, rival.metrics(0))
        tables += [type_table(split, model, rivals), model.confusion(split)]
        tables += [calibration.table(split), error_table(split, model, scored, options.errors)]
        figures.append(calibration.figure(split))
        blocks += model.blocks(split)
    tables += corpus.tables
    drawn = tuple(figure for figure in figures if figure is not None)
    return Evaluation(
        metrics=metrics,
        baselines=baselines,
        tables=tuple(tables),
        figures=drawn,
        files=pack_blocks(blocks),
    )


def _keyed(split: str, found: Mapping[str, float]) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in found.items()}


def _f1(
    tagger: Tagger, documents: Sequence[Document], learned: Learned, options: NEREvaluation
) -> float | None:
    scored = predict_entities(tagger, documents, learned, options)
    spans = [tuple(one.span for one in entities) for entities in scored]
    model = Scored.of(documents, spans, learned.labels.types, _known(documents, learned))
    return model.metrics(0).get("f1")


def _beside(
    documents: Sequence[Document], scored: Sequence[Sequence[ScoredSpan]], learned: Learned
) -> tuple[Scored, dict[str, Scored]]:
    """Put the model's entities, and those of each rival, beside the true ones."""
    known, types = _known(documents, learned), learned.labels.types

    def put(predicted: Sequence[Sequence[Span]]) -> Scored:
        return Scored.of(documents, predicted, types, known)

    model = put([tuple(one.span for one in entities) for entities in scored])
    return model, {name: put(list(rival(documents, learned))) for name, rival in RIVALS.items()}


def _known(documents: Sequence[Document], learned: Learned) -> Booleans:
    each = [known for document in documents for known in known_names(document, learned)]
    return np.array(each, np.bool_)


def prediction_table(
    split: str, documents: Sequence[Document], found: Sequence[Sequence[ScoredSpan]]
) -> Table:
    """A row for each predicted entity."""
    rows = tuple(
        (d.id, one.span.start, one.span.end, one.span.label, text, one.score)
        for d, entities in zip(documents, found, strict=True)
        for one in entities
        for text in [d.text[one.span.start : one.span.end]]
    )
    columns = ("document", "start", "end", "type", "text", "score")
    return Table(title=split, columns=columns, rows=rows)


def prediction_lines(
    documents: Sequence[Document], found: Sequence[Sequence[ScoredSpan]]
) -> Iterator[dict[str, object]]:
    """Yield a JSON object for each text, with its entities in characters."""
    for document, entities in zip(documents, found, strict=True):
        spans = [
            {
                "start": one.span.start,
                "end": one.span.end,
                "label": one.span.label,
                "text": document.text[one.span.start : one.span.end],
                "score": round(one.score, 6),
            }
            for one in entities
        ]
        yield {"id": document.id, "text": document.text, "spans": spans}
