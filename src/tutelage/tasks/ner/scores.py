"""The scores of predicted entities on one test split: metrics by name, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tutelage.core.blocks import Blocks, blocks_of
from tutelage.core.records import Cell, Table, marked
from tutelage.tasks.ner.calibration import Calibration, calibrate, f1_interval
from tutelage.tasks.ner.documents import Document, Span
from tutelage.tasks.ner.labels import Booleans, Integers, LabelSet
from tutelage.tasks.ner.matching import (
    Counts,
    Matches,
    SpanTable,
    bounds_counts,
    counts_by_document,
    counts_by_type,
    match,
    partial_counts,
    whole_counts,
)
from tutelage.tasks.ner.predictions import ScoredSpan, gold_tags

_AROUND = 40


@dataclass(frozen=True, eq=False)
class Scored:
    """Predicted entities beside the true ones of the same texts.

    Args:
        documents: The texts.
        predicted: The entities of each text, as spans.
        types: Every type that is predicted or true.
        known: (gold,) whether training held the name of each true entity.
    """

    documents: Sequence[Document]
    predicted: Sequence[Sequence[Span]]
    types: tuple[str, ...]
    known: Booleans

    @classmethod
    def of(
        cls,
        documents: Sequence[Document],
        predicted: Sequence[Sequence[Span]],
        types: Iterable[str],
        known: Booleans,
    ) -> Scored:
        """Put predictions beside the truth; ``types`` are those of the model."""
        true = {span.label for document in documents for span in document.spans}
        return cls(documents, predicted, tuple(sorted({*types, *true})), known)

    @cached_property
    def gold(self) -> SpanTable:
        """The true entities."""
        return SpanTable.of((document.spans for document in self.documents), self.types)

    @cached_property
    def said(self) -> SpanTable:
        """The predicted entities."""
        return SpanTable.of(self.predicted, self.types)

    @cached_property
    def matches(self) -> Matches:
        """Which of them are right."""
        return match(self.gold, self.said)

    @cached_property
    def by_text(self) -> Integers:
        """Right, predicted and true entities of each text."""
        return counts_by_document(self.gold, self.said, self.matches, len(self.documents))

    def blocks(self, split: str) -> tuple[Blocks, ...]:
        """Return the f1 of a split by its texts."""
        right, said, true = self.by_text.T
        items = [document.text.encode() for document in self.documents]
        items += [a.tobytes() for a in (self.gold.document, self.gold.start, self.gold.end)]
        return blocks_of(f"{split}/f1", "texts", 2 * right, said + true, items)

    def by_type(self) -> dict[str, Counts]:
        """Counts of each type."""
        counts = counts_by_type(self.gold, self.said, self.matches, len(self.types))
        return dict(zip(self.types, counts, strict=True))

    def metrics(self, bootstrap: int) -> dict[str, float]:
        """Return the metrics of the whole split, and ``TYPE/metric`` of each type.

        Args:
            bootstrap: Draws of texts for the interval of f1; 0 leaves it out.
        """
        found = dict(whole_counts(self.gold, self.said, self.matches).scores())
        found |= {"entities": float(len(self.gold)), "texts": float(len(self.documents))}
        per_type = self.by_type()
        f1s = [counts.f1 for counts in per_type.values() if counts.gold and counts.f1 is not None]
        if f1s:
            found["macro_f1"] = float(np.mean(f1s))
        for name, counts in (
            ("partial", partial_counts(self.gold, self.said, self.matches)),
            ("bounds", bounds_counts(self.gold, self.said, self.matches)),
            ("word", self.word_counts()),
        ):
            found |= {f"{name}_{metric}": value for metric, value in counts.scores().items()}
        for name, which in (("known_recall", self.known), ("unknown_recall", ~self.known)):
            if which.any():
                found[name] = float(self.matches.found[which].mean())
        interval = f1_interval(self.by_text, bootstrap)
        if interval is not None:
            found["f1_low"], found["f1_high"] = interval
        for kind, counts in per_type.items():
            name = kind.replace("/", "-")
            found |= {f"{name}/{metric}": value for metric, value in counts.scores().items()}
            found[f"{name}/entities"] = float(counts.gold)
        return found

    def word_counts(self) -> Counts:
        """Count words in entities, by type; words outside never count."""
        labels = LabelSet(self.types)
        true = labels.kind_of_tag[gold_tags(self.documents, labels)]
        found = labels.kind_of_tag[_tags_of(self.documents, self.predicted, labels)]
        right = int(((true == found) & (true >= 0)).sum())
        return Counts(right, int((found >= 0).sum()), int((true >= 0).sum()))

    def confusion(self, split: str) -> Table:
        """A row for each true type: how often it was which type, in part too, or missed."""
        missed, none = "missed", "no entity"
        counts = np.zeros((len(self.types) + 1, len(self.types) + 1), np.int64)
        column = np.append(self.said.kind, len(self.types))[self.matches.predicted_of()]
        np.add.at(counts, (self.gold.kind, column), 1)
        alone = self.said.kind[self.matches.gold_of < 0]
        counts[-1] += np.bincount(alone, minlength=len(self.types) + 1)
        rows: list[tuple[Cell, ...]] = [
            (name, *row)
            for name, row in zip((*self.types, none), counts.tolist(), strict=True)
            if any(row)
        ]
        rows = [(*row[:-1], None) if row[0] == none else row for row in rows]
        return Table(
            title=f"What was taken for what on {split}",
            columns=("true", *self.types, missed),
            rows=tuple(rows),
            note="An entity counts for the predicted one that it shares a character with.",
            heat=True,
        )


def _tags_of(
    documents: Sequence[Document], spans: Sequence[Sequence[Span]], labels: LabelSet
) -> Integers:
    each = [labels.encode(d.words, said) for d, said in zip(documents, spans, strict=True)]
    return np.concatenate(each) if each else np.zeros(0, np.int64)


def type_table(split: str, model: Scored, rivals: Mapping[str, Scored]) -> Table:
    """A row for each type, and one for all: how many there are, the scores, and the rivals' f1."""
    others = {name: scored.by_type() for name, scored in rivals.items()}
    rows: list[tuple[Cell, ...]] = []
    for kind, counts in model.by_type().items():
        cells = (counts.precision, counts.recall, counts.f1)
        rows.append((kind, counts.gold, *cells, *(o[kind].f1 for o in others.values())))
    whole = whole_counts(model.gold, model.said, model.matches)
    all_f1 = (whole_counts(s.gold, s.said, s.matches).f1 for s in rivals.values())
    rows.append(("all", whole.gold, whole.precision, whole.recall, whole.f1, *all_f1))
    columns = ("type", "entities", "precision", "recall", "f1", *(f"{n} f1" for n in others))
    title = f"Entities of {split} by type"
    return Table(title=title, columns=columns, rows=tuple(rows), first=True)


def calibration_of(model: Scored, scored: Sequence[Sequence[ScoredSpan]]) -> Calibration:
    """Compare the scores of predicted entities with how often they are right."""
    flat = np.array([one.score for entities in scored for one in entities], np.float64)
    return calibrate(flat, model.matches.right)


def error_table(
    split: str, model: Scored, scored: Sequence[Sequence[ScoredSpan]], count: int
) -> Table:
    """List wrong entities with the text around them: those the model was surest of, then missed.

    Args:
        split: The split.
        model: Its entities beside the true ones.
        scored: The same entities with scores.
        count: Rows at most; as many are missed entities as others, where there are enough.
    """
    flat = [one for entities in scored for one in entities]
    wrong = np.flatnonzero(~model.matches.right)
    order = wrong[np.argsort([-flat[n].score for n in wrong], kind="stable")].tolist()
    missed = np.flatnonzero(model.matches.predicted_of() < 0).tolist()
    half = max(count - count // 2, count - len(missed))
    rows = [_wrong_row(model, n, flat[n].score) for n in order[:half]]
    rows += [_missed_row(model, n) for n in missed[: count - len(rows)]]
    columns = ("where", "error", "true", "predicted", "score", "text")
    note = f"{len(order)} predicted entities are wrong, {len(missed)} were not met by any."
    return Table(title=f"Errors on {split}", columns=columns, rows=tuple(rows), note=note)


def _wrong_row(model: Scored, number: int, score: float) -> tuple[Cell, ...]:
    said, gold = model.said, model.gold
    document = model.documents[int(said.document[number])]
    met = int(model.matches.gold_of[number])
    predicted = model.types[said.kind[number]]
    start, end = int(said.start[number]), int(said.end[number])
    if met < 0:
        return (document.where, "no entity", None, predicted, score, _around(document, start, end))
    name = model.types[gold.kind[met]]
    true = f"{name}: {document.text[gold.start[met] : gold.end[met]]}"
    same = gold.start[met] == start and gold.end[met] == end
    kind = "type" if same else "bounds" if name == predicted else "bounds and type"
    return (document.where, kind, true, predicted, score, _around(document, start, end))


def _missed_row(model: Scored, number: int) -> tuple[Cell, ...]:
    gold = model.gold
    document = model.documents[int(gold.document[number])]
    around = _around(document, int(gold.start[number]), int(gold.end[number]))
    return (document.where, "missed", model.types[gold.kind[number]], None, None, around)


def _around(document: Document, start: int, end: int) -> str:
    """The text around a span, which is marked (`tutelage.core.records.marked`), on one line."""
    text = document.text
    before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
    left = "…" if start > _AROUND else ""
    right = "…" if end + _AROUND < len(text) else ""
    return " ".join(f"{left}{before}{marked(text[start:end])}{after}{right}".split())
