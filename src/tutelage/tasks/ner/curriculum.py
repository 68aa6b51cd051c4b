"""`NERCurriculumData`: training windows that can be drawn at will, and how hard each is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.tasks.ner.datamodule import EVALUATION_BATCH, NERDataModule
from tutelage.tasks.ner.preprocessing import Preprocessing
from tutelage.tasks.ner.tokens.batch import TokenBatch
from tutelage.training.curriculum import CurriculumData, Stage
from tutelage.training.length_batches import POOL, pooled_batches
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import SeededBatchSampler


class NERCurriculumData(NERDataModule, CurriculumData):
    """Texts as windows that a curriculum draws; what it draws is put in batches of like length."""

    @property
    def measures(self) -> Mapping[str, Callable[[], Tensor]]:
        """Length in tokens, and how rare the words are."""
        return {"length": self._by_length, "rarity": self._by_rarity}

    def _by_length(self) -> Tensor:
        return self.train.lengths.float()

    def _by_rarity(self) -> Tensor:
        """Return the mean of -log p of each window's words, p being their share of all words."""
        texts = [word.lower() for d in self.corpus.train for word in d.word_texts()]
        _, form, counts = np.unique(texts, return_inverse=True, return_counts=True)
        surprise = -np.log(counts / counts.sum())[form]
        sums = np.concatenate([[0.0], np.cumsum(surprise)])
        windows = self.train.windows
        shown = windows.stop - windows.first
        return torch.from_numpy((sums[windows.stop] - sums[windows.first]) / shown).float()

    def arrange(self, places: Tensor, size: int, stage: Stage, epoch: int) -> Sequence[Tensor]:
        """Put what an epoch draws into batches of like length, as without a curriculum."""
        lengths = self.train.lengths.numpy()
        seed = self.config.training.seed
        return pooled_batches(places, lengths, len(places) // size, POOL, seed, epoch)

    def batch_at(self, places: Tensor) -> TokenBatch:
        """Return the training windows at some places as one batch."""
        return self.train_batch(places)

    def train_dataloader(self) -> ResumableLoader[TokenBatch]:
        """Batches of training windows as the curriculum orders them."""
        return ResumableLoader(self.batch_at, self.order)

    def encoded_for(self, preprocessing: Mapping[str, Any], places: Tensor) -> Iterable[TokenBatch]:
        """Return the same windows with the tokens of another run.

        Raises:
            ConfigError: That run's tokens, and with them its windows, are others.
        """
        known = Preprocessing.from_json(preprocessing)
        if known.coder.to_json() != self.known.coder.to_json():
            raise ConfigError(
                "the guide has other tokens, and so other windows, than this run's model",
                where="mode.guide",
                hint="Name a run of the same kind of model, trained on the same texts.",
            )
        order = SeededBatchSampler(len(places), EVALUATION_BATCH, seed=0, shuffle=False)
        return EvalLoader(lambda rows: self.train.batch(places[rows]), order)
