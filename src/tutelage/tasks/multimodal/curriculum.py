"""Pairs for a curriculum: batches of what is alike, ever more of it; captions easy and hard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.errors import ConfigError
from tutelage.tasks.multimodal.data.batches import KeyedOrder, PairBatch, keys_of
from tutelage.tasks.multimodal.data.semantics import (
    caption_lengths,
    caption_rarity,
    semantic_groups,
)
from tutelage.tasks.multimodal.datamodule import EVALUATION_BATCH, DataHandler
from tutelage.tasks.multimodal.preprocessing import Preprocessing
from tutelage.tasks.multimodal.samplers import arrange_by_groups
from tutelage.tasks.multimodal.towers.two_towers import tokens_differ
from tutelage.training.curriculum import CurriculumData, Stage
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import SeededBatchSampler


class CurriculumPairs(DataHandler, CurriculumData):
    """Pairs that can be drawn at will, put together by meaning.

    Batches are random in the first stage; in the last, all samples stand with their semantic group,
    so that negatives are hard. A sample's place is its number among those that train.
    """

    @cached_property
    def groups(self) -> Tensor:
        """(n,) semantic group of each training sample."""
        return torch.from_numpy(semantic_groups(self.pairs, self._pictures))

    @property
    def _pictures(self) -> NDArray[np.int64]:
        """The picture of each training sample."""
        if self.config.data.samples == "images":
            return self.train_rows
        return self.pairs.image_of[self.train_samples]

    @property
    def measures(self) -> Mapping[str, Callable[[], Tensor]]:
        """Captions' length in words, and how rare their words are."""
        return {
            "length": lambda: caption_lengths(self.pairs, self._pictures),
            "rarity": lambda: caption_rarity(self.pairs, self._pictures),
        }

    def arrange(self, places: Tensor, size: int, stage: Stage, epoch: int) -> Sequence[Tensor]:
        """Put what an epoch draws into batches, by meaning as far as the stage says."""
        seed = self.config.training.seed
        return arrange_by_groups(places, self.groups[places], size, stage.progress, seed, epoch)

    def train_dataloader(self) -> ResumableLoader[PairBatch]:
        """Batches as the curriculum draws them."""
        samples = torch.from_numpy(self.train_samples)

        def fetch(index: Tensor) -> PairBatch:
            return self.keyed_batch(samples[index[:, 0]], index[:, 1])

        seed = self.config.training.seed
        return ResumableLoader(fetch, KeyedOrder(self.order, seed, self.rank, self.world_size))

    def batch_at(self, places: Tensor) -> PairBatch:
        """Return training samples as they are, with their first caption."""
        samples = torch.from_numpy(self.train_samples)[places]
        return self.keyed_batch(samples, torch.zeros_like(samples))

    def batch_of_size(self, size: int) -> PairBatch:
        """A batch of the curriculum's own mix, with augmentation."""
        places = self.mix[torch.arange(size) % len(self.mix)]
        return self.batch_at(places)._replace(keys=keys_of(0, 0, size))

    def encoded_for(
        self, preprocessing: Mapping[str, object], places: Tensor
    ) -> EvalLoader[PairBatch]:
        """Return training samples, in order, for a guide of the same inputs.

        Raises:
            ConfigError: The guide reads other inputs.
        """
        if apart := inputs_apart(Preprocessing.from_json(preprocessing), self.learned):
            raise ConfigError(f"the guide sees other inputs: {apart}", where="mode.guide")
        order = SeededBatchSampler(len(places), EVALUATION_BATCH, seed=0, shuffle=False)
        return EvalLoader(lambda at: self.batch_at(places[at]), order)


def inputs_apart(one: Preprocessing, other: Preprocessing) -> str:
    """Say how the inputs of two models differ; nothing where they don't."""
    if (one.size, one.fit) != (other.size, other.fit):
        return f"pictures of {one.size} pixels ({one.fit}) and of {other.size} ({other.fit})"
    if tokens_differ(one.tokens, other.tokens):
        return "captions are cut into other tokens"
    return ""
