"""`Learned`: what a run takes from its training texts and keeps: tags, and names it has seen."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, cast

import numpy as np

from tutelage.tasks.ner.baselines import learn_frequent_tags, learn_gazetteer
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import Integers, LabelSet, Scheme
from tutelage.tasks.ner.near_duplicates import Hashes, text_hashes

KEPT: Final = 100_000
"""Hashes of texts in a card at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from training texts before the model, kept in each model's card.

    Args:
        labels: Types and tags.
        gazetteer: The words of each entity that training texts name, lower-cased, to the type that
            it most often has there; those that are more often no entity are left out.
        data: Digest of the data that it was learned from.
        split: Digest of the settings by which they were read and split.
        texts: Hashes of the texts that it trained on or were held out, the smallest `KEPT` of them,
            ascending: who scores it on them again is told.
    """

    labels: LabelSet
    gazetteer: Mapping[str, str]
    frequent_tags: Mapping[str, str]
    data: str
    split: str
    texts: Hashes

    @classmethod
    def from_texts(
        cls,
        documents: Sequence[Document],
        held_out: Sequence[Document],
        scheme: Scheme,
        data: str,
        split: str,
    ) -> Self:
        """Learn from training texts; of those that are held out, their hashes alone."""
        labels = LabelSet.of((s.label for d in documents for s in d.spans), scheme)
        tags = learn_frequent_tags(documents, labels)
        texts = np.unique(text_hashes([*documents, *held_out]))[:KEPT]
        return cls(labels, learn_gazetteer(documents), tags, data, split, texts)

    def seen(self, documents: Sequence[Document]) -> Integers:
        """Return the numbers of texts that are known to have been trained on or held out."""
        return np.flatnonzero(np.isin(text_hashes(documents), self.texts))

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "labels": self.labels.to_json(),
            "gazetteer": dict(self.gazetteer),
            "frequent_tags": dict(self.frequent_tags),
            "data": self.data,
            "split": self.split,
            "texts": base64.b64encode(self.texts.astype("<u8").tobytes()).decode(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read what `to_json` wrote."""
        labels = LabelSet.from_json(cast("Mapping[str, object]", value["labels"]))
        names = cast("Mapping[str, str]", value["gazetteer"])
        tags = cast("Mapping[str, str]", value["frequent_tags"])
        texts = np.frombuffer(base64.b64decode(cast("str", value["texts"])), "<u8")
        data, split = cast("str", value["data"]), cast("str", value["split"])
        return cls(labels, names, tags, data, split, texts.astype(np.uint64))
