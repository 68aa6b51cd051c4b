"""`Learned`: what a run takes from its training texts and keeps: tags, and names it has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

from tutelage.tasks.ner.baselines import learn_frequent_tags, learn_gazetteer
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
    frequent_tags: Mapping[str, str]
    data: str
    split: str

    @classmethod
    def from_texts(
        cls, documents: Sequence[Document], scheme: Scheme, data: str, split: str
    ) -> Self:
        """Learn from training texts."""
        labels = LabelSet.of((s.label for d in documents for s in d.spans), scheme)
        tags = learn_frequent_tags(documents, labels)
        return cls(labels, learn_gazetteer(documents), tags, data, split)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "labels": self.labels.to_json(),
            "gazetteer": dict(self.gazetteer),
            "frequent_tags": dict(self.frequent_tags),
            "data": self.data,
            "split": self.split,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read what `to_json` wrote."""
        labels = LabelSet.from_json(cast("Mapping[str, object]", value["labels"]))
        names = cast("Mapping[str, str]", value["gazetteer"])
        tags = cast("Mapping[str, str]", value["frequent_tags"])
        return cls(labels, names, tags, cast("str", value["data"]), cast("str", value["split"]))
