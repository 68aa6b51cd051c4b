"""`Learned`: what a run takes from its training texts and keeps: tags, and names it has seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import LabelSet, Scheme


@dataclass(frozen=True, slots=True)
class Learned:
    """What is learned from training texts before the model, kept in each model's card.

    Args:
        labels: Types and tags.
        gazetteer: The words of each entity that training texts name, lower-cased, to the type that
            it most often has there; those that are more often no entity are left out.
        data: Digest of the data that it was learned from.
        split: Digest of the settings by which they were read and split.
    """

    labels: LabelSet
    gazetteer: Mapping[str, str]
    data: str
    split: str

    @classmethod
    def from_texts(
        cls, documents: Sequence[Document], scheme: Scheme, data: str, split: str
    ) -> Self:
        """Learn from training texts."""
        labels = LabelSet.of((s.label for d in documents for s in d.spans), scheme)
        return cls(labels, _gazetteer(documents), data, split)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "labels": self.labels.to_json(),
            "gazetteer": dict(self.gazetteer),
            "data": self.data,
            "split": self.split,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read what `to_json` wrote."""
        labels = LabelSet.from_json(cast("Mapping[str, object]", value["labels"]))
        gazetteer = cast("Mapping[str, str]", value["gazetteer"])
        return cls(labels, gazetteer, cast("str", value["data"]), cast("str", value["split"]))


def _gazetteer(documents: Sequence[Document]) -> dict[str, str]:
    """Return the most frequent type of each entity's words, where it more often is one than not."""
    named: dict[str, Counter[str]] = defaultdict(Counter)
    lengths = set()
    for document in documents:
        for span in document.spans:
            inside = (document.words[:, 0] >= span.start) & (document.words[:, 1] <= span.end)
            words = [document.text[a:b] for a, b in document.words[inside].tolist()]
            if words:
                named[" ".join(words).casefold()][span.label] += 1
                lengths.add(len(words))
    met: Counter[str] = Counter()
    for document in documents:
        words = [word.casefold() for word in document.word_texts()]
        for length in lengths:
            runs = (" ".join(words[n : n + length]) for n in range(len(words) - length + 1))
            met.update(run for run in runs if run in named)
    return {
        name: min(types, key=lambda kind: (-types[kind], kind))
        for name, types in sorted(named.items())
        if 2 * sum(types.values()) > met[name]
    }
