"""Texts that nobody marked: which of them a network may learn from, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from tutelage.core.config import AutoencoderMode, DistillationMode
from tutelage.core.records import AuditStamp
from tutelage.tasks.ner.config import NERConfig
from tutelage.tasks.ner.corpus import Corpus
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.near_duplicates import find_pairs
from tutelage.tasks.ner.sets import read_set
from tutelage.training.length_batches import LengthBatchSampler
from tutelage.training.samplers import permutation

_MIXED: Final = 2
"""The random stream that mixes texts with tags and others; the batches' own are 0 and 1."""


def with_own_texts(corpus: Corpus, config: NERConfig) -> Corpus:
    """Return the corpus with the texts of the user's own among its unlabelled ones.

    In other modes than *autoencoder* and *distillation* no text without tags is kept. Texts like
    held-out or test texts are left out, as the words of those are not to be learned.

    Raises:
        DataError: The files are missing, unreadable, or too many of them wrong.
    """
    if not isinstance(config.mode, (AutoencoderMode, DistillationMode)):
        return replace(corpus, unlabelled=())
    more, findings = corpus.unlabelled, list(corpus.stamp.findings)
    if config.own_texts is not None:
        texts = read_set(config.data, config.own_texts)
        more += tuple(replace(one, spans=(), labelled=False) for one in texts.documents)
        findings += texts.problems.findings()
    apart = _unlike(more, corpus, config.data.near_duplicate)
    if len(apart) < len(more):
        findings.append(
            f"{len(more) - len(apart)} texts without tags are like held-out or test texts: left out"
        )
    verdict = "warnings" if findings and corpus.stamp.verdict == "clean" else corpus.stamp.verdict
    stamp = AuditStamp(verdict=verdict, findings=tuple(findings))
    return replace(corpus, unlabelled=apart, stamp=stamp)


def _unlike(texts: Sequence[Document], corpus: Corpus, threshold: float) -> tuple[Document, ...]:
    """Return the texts that are like none that is held out or tests."""
    held = [*corpus.validation, *(d for documents in corpus.tests.values() for d in documents)]
    pairs = find_pairs([*held, *texts], threshold)
    alike = set(pairs.second[pairs.first < len(held)].tolist())
    originals = pairs.original[len(held) :].tolist()
    return tuple(
        document
        for number, (document, original) in enumerate(zip(texts, originals, strict=True), len(held))
        if not {number, original} & alike and original >= len(held)
    )


@dataclass(frozen=True)
class PretrainingOrder:
    """Batches of all texts in the first epochs, then of those with tags; as many an epoch.

    The first epochs go through a random order of all texts, and then through another, each taking
    up where the one before it ended.

    Args:
        lengths: (n,) tokens of each window of all texts, those with tags first.
        tagged: Batches of the windows of texts with tags.
        epochs: How many epochs take all texts.
    """

    lengths: Tensor
    tagged: LengthBatchSampler
    epochs: int

    def __len__(self) -> int:
        return len(self.tagged)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the windows of each of this process's batches of ``epoch``, int64."""
        if epoch >= self.epochs:
            return self.tagged.batches(epoch)
        return self.tagged.dealt(self._drawn(epoch), self.lengths.numpy(), epoch)

    def _drawn(self, epoch: int) -> Tensor:
        return next_ones(self.tagged.seed, epoch, len(self.lengths), self.tagged.samples)


@dataclass(frozen=True)
class TeachingOrder:
    """Batches of the texts with tags together with as many others, the next ones each epoch.

    Args:
        lengths: (n,) tokens of each window of all texts, the T windows with tags first.
        paired: Batches of 2 T windows.
    """

    lengths: Tensor
    paired: LengthBatchSampler

    def __len__(self) -> int:
        return len(self.paired)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the windows of each of this process's batches of ``epoch``, int64."""
        seed, tagged = self.paired.seed, self.paired.samples // 2
        others = next_ones(seed, epoch, len(self.lengths) - tagged, tagged)
        drawn = torch.cat([torch.arange(tagged), tagged + others])
        order = drawn[permutation(seed, epoch, len(drawn), _MIXED)]
        return self.paired.dealt(order, self.lengths.numpy(), epoch)


def next_ones(seed: int, epoch: int, every: int, count: int) -> Tensor:
    """Return the next ``count`` places of random orders of ``every`` one, int64.

    An epoch takes up where the one before it ended; when an order is done, another begins.
    """
    begin = epoch * count
    rounds = range(begin // every, (begin + count - 1) // every + 1)
    order = torch.cat([permutation(seed, turn, every) for turn in rounds])
    first = begin - rounds[0] * every
    return order[first : first + count]
