"""`DataHandler`: pictures with captions in, batches of pairs out; whole groups on one side."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.folds import HELD_OUT, FoldUnits, held_out_units
from tutelage.core.records import AuditStamp
from tutelage.losses.positives import check_ids, distinct_ids
from tutelage.tasks.multimodal.config import MultimodalConfig
from tutelage.tasks.multimodal.data.batches import KeyedOrder, PairBatch, keys_of, trimmed
from tutelage.tasks.multimodal.data.groups import group_ids, thumbnail_digests
from tutelage.tasks.multimodal.data.pairs import Pairs
from tutelage.tasks.multimodal.data.sources import load_pairs
from tutelage.tasks.multimodal.data.splits import Split, split_pairs
from tutelage.tasks.multimodal.data.words import words_left_out
from tutelage.tasks.multimodal.folds import fold_units, pool_of, unit_names
from tutelage.tasks.multimodal.module import TwoTowerModule
from tutelage.tasks.multimodal.preprocessing import (
    Preprocessing,
    channel_statistics,
    packed_looks,
)
from tutelage.tasks.multimodal.towers.two_towers import (
    text_config,
    token_card,
    tokenize,
    tokens_differ,
)
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import SeededBatchSampler

_log = logging.getLogger(__name__)

EVALUATION_BATCH = 256
SPLIT_SEED = 0
"""Of the choice of held-out groups: the same whatever `training.seed` is."""


class DataHandler(TaskData):
    """The data of one multimodal run.

    Args:
        config: The whole run.
        cache: Folder of decoded pictures.
        preprocessing: What an earlier run learned; with it every picture that the run has not seen
            tests, else part of them trains.
    """

    pairs: Pairs
    looks: NDArray[np.uint64]
    ids: NDArray[np.int64]
    train_rows: NDArray[np.int64]
    validation_rows: NDArray[np.int64]
    test_rows: NDArray[np.int64]
    learned: Preprocessing

    def __init__(
        self, config: MultimodalConfig, cache: Path, preprocessing: Preprocessing | None = None
    ) -> None:
        super().__init__()
        self.config, self.cache = config, cache
        self._given = preprocessing
        self._findings: list[str] = []
        self._ready = False
        self.batch_size = EVALUATION_BATCH
        self.taught = torch.zeros(0, 0, dtype=torch.int16)

    def setup(self, stage: str) -> None:
        """Read, decode, group, split, learn the preprocessing, and turn captions into tokens."""
        if self._ready:
            return
        data = self.config.data
        if self._given is not None:
            self._check_inputs(self._given)
        self.pairs = load_pairs(data, self.cache)
        self._note_bad()
        self.looks = thumbnail_digests(self.pairs.images)
        self.ids = group_ids(self.pairs, self.looks)
        self.tokens = tokenize(self.pairs.captions, self.config.model.text)
        if self._given is None:
            self._divide()
            self._check_positives()
            self.learned = self._learn()
        elif self.in_fold:
            self.learned = self._given
            self._divide()
            self.train_rows = self.validation_rows = self.train_rows[:0]
        else:
            self.learned = self._given
            self._all_test(self._given)
        self._ready = True

    @property
    def in_fold(self) -> bool:
        """Whether what is scored is a fold of the pictures that may train."""
        return isinstance(self.config.data.fold, int)

    @property
    def test_split(self) -> str:
        """Name of the split that is scored."""
        return HELD_OUT if self.in_fold else "test"

    @property
    def own_split(self) -> Split:
        """What trains, validates and tests without folds."""
        data = self.config.data
        shares = data.validation_fraction, data.test_fraction
        return split_pairs(self.pairs, self.ids, *shares, SPLIT_SEED)

    def fold_units(self) -> FoldUnits:
        """Return the pictures that train or validate without folds, as what folds are dealt from.

        `setup` need not have been called.
        """
        self.pairs = load_pairs(self.config.data, self.cache)
        self.looks = thumbnail_digests(self.pairs.images)
        self.ids = group_ids(self.pairs, self.looks)
        return self._units(pool_of(self.own_split))

    def _units(self, pool: NDArray[np.int64]) -> FoldUnits:
        return fold_units(self.pairs, self.ids, unit_names(self.pairs, self.looks), pool)

    def _divide(self) -> None:
        """Choose what trains, validates and tests, as `data.fold` says."""
        split, data = self.own_split, self.config.data
        for finding in split.findings:
            self._note(finding)
        self.train_rows, self.validation_rows = split.train, split.validation
        self.test_rows = split.test
        if data.fold is None:
            return
        pool = pool_of(split)
        held = np.array(held_out_units(self._units(pool), data))
        self.train_rows, self.validation_rows = pool[~held], pool[held]
        if self.in_fold:
            self.test_rows = self.validation_rows

    def _all_test(self, learned: Preprocessing) -> None:
        """Let every picture test that the model has not seen."""
        seen = np.isin(self.looks, learned.looks_seen())
        self.train_rows = self.validation_rows = np.zeros(0, dtype=np.int64)
        self.test_rows = np.flatnonzero(~seen)
        if seen.any() and not self._held_out_of_own(seen):
            self._note(f"{int(seen.sum())} pictures left out of the scores: training saw them")

    def _held_out_of_own(self, seen: NDArray[np.bool_]) -> bool:
        """Whether these are the run's own data, of which the rest was held out for testing."""
        return int(seen.sum()) == len(self.learned.looks_seen())

    def read_for(self, teacher: Preprocessing) -> None:
        """Let batches hold captions as a teacher of another tokenizer reads them, too."""
        if tokens_differ(teacher.tokens, self.learned.tokens):
            self.taught = tokenize(self.pairs.captions, text_config(teacher.tokens))

    def _check_inputs(self, learned: Preprocessing) -> None:
        """Refuse settings under which the model would see other inputs than it was trained on."""
        data = self.config.data
        if (data.size, data.fit) != (learned.size, learned.fit):
            raise ConfigError(
                f"data.size={data.size} data.fit={data.fit} are not the model's "
                f"{learned.size} and {learned.fit}",
                hint="Leave them out.",
            )
        if tokens_differ(learned.tokens, token_card(self.config.model.text)):
            raise ConfigError(
                "the text tower's tokenizer is not the one that it was trained with",
                where="model.text.source",
                hint="Restore the encoder's files.",
            )

    def _note_bad(self) -> None:
        report = self.pairs.report
        if report.bad:
            shown = "; ".join(f"{name} {reason}" for name, reason in report.bad[:5])
            more = f"; and {len(report.bad) - 5} more" if len(report.bad) > 5 else ""
            self._note(f"{len(report.bad)} of {report.asked} pictures left out: {shown}{more}")
        if report.empty_captions:
            self._note(f"{report.empty_captions} empty captions left out")

    def _check_positives(self) -> None:
        """Say where ids teach nothing.

        Raises:
            DataError: All training pictures belong together, so that there are no negatives.
        """
        ids = torch.from_numpy(self.ids[self.train_rows])
        if distinct_ids(ids) < 2:
            raise DataError(
                f"all {len(ids)} training pictures belong together: their captions are equal",
                where=self.config.data.root,
                hint="Give captions that tell pictures apart.",
            )
        check_ids(ids)

    def _learn(self) -> Preprocessing:
        mean, std = channel_statistics(self.pairs.images, self.train_rows)
        categories = {self.pairs.categories[row] for row in self.train_rows} - {""}
        return Preprocessing(
            size=self.config.data.size,
            fit=self.config.data.fit,
            mean=mean,
            std=std,
            tokens=token_card(self.config.model.text),
            seen=packed_looks(self.looks[np.concatenate([self.train_rows, self.validation_rows])]),
            categories=tuple(sorted(categories)),
        )

    def _note(self, finding: str) -> None:
        self._findings.append(finding)
        _log.info(finding)

    # ---- what the core asks

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """Sizes, channel statistics, tokenizer and seen pictures, as JSON values."""
        return self.learned.to_json()

    @property
    def audit(self) -> AuditStamp:
        """What had to be left out so that training and test are apart."""
        verdict = "warnings" if self._findings else "clean"
        return AuditStamp(verdict=verdict, findings=tuple(self._findings))

    def fit_module(self, module: TaskModule) -> None:
        """Set the statistics by which pictures are standardised."""
        if not isinstance(module, TwoTowerModule):
            return  # a blend's experts bring their own
        module.network.mean.copy_(torch.tensor(self.learned.mean))
        module.network.std.copy_(torch.tensor(self.learned.std))

    @property
    def train_size(self) -> int:
        """Training samples an epoch: pictures or captions, as `data.samples` says."""
        return len(self.train_samples)

    @property
    def train_samples(self) -> NDArray[np.int64]:
        """Pictures that train, or rows of their captions."""
        if self.config.data.samples == "images":
            return self.train_rows
        return np.flatnonzero(np.isin(self.pairs.image_of, self.train_rows))

    def train_dataloader(self) -> ResumableLoader[PairBatch]:
        """Shuffled batches of training pairs."""
        seed = self.config.training.seed
        order = SeededBatchSampler(
            self.train_size,
            self.batch_size,
            seed,
            drop_last=self.train_size > self.batch_size * self.world_size,
            rank=self.rank,
            world_size=self.world_size,
        )
        samples = torch.from_numpy(self.train_samples)

        def fetch(index: Tensor) -> PairBatch:
            return self.keyed_batch(samples[index[:, 0]], index[:, 1])

        return ResumableLoader(fetch, KeyedOrder(order, seed, self.rank, self.world_size))

    def val_dataloader(self) -> EvalLoader[PairBatch]:
        """Each validation picture with its last caption, which says most, in order."""
        return self.evaluation_loader(self.validation_rows)

    def test_loaders(self) -> Mapping[str, EvalLoader[PairBatch]]:
        """Each test picture with its last caption, in order."""
        return {self.test_split: self.evaluation_loader(self.test_rows)}

    def evaluation_loader(self, rows: NDArray[np.int64]) -> EvalLoader[PairBatch]:
        """Batches of some pictures as they are, each with its last caption."""
        chosen = torch.from_numpy(rows)
        captions = torch.from_numpy(self.last_captions(rows))
        order = SeededBatchSampler(len(rows), EVALUATION_BATCH, seed=0, shuffle=False)
        return EvalLoader(
            lambda at: self.batch_of(chosen[at], captions[at], torch.zeros_like(at)), order
        )

    def picture_loader(self, rows: NDArray[np.int64]) -> EvalLoader[PairBatch]:
        """Batches of some pictures as they are, without captions."""
        chosen, none = torch.from_numpy(rows), torch.zeros(0, 0, dtype=torch.int64)
        order = SeededBatchSampler(len(rows), EVALUATION_BATCH, seed=0, shuffle=False)

        def fetch(at: Tensor) -> PairBatch:
            images = torch.from_numpy(self.pairs.images[chosen[at].numpy()])
            ids = torch.from_numpy(self.ids)[chosen[at]]
            return PairBatch(images, none, ids, torch.zeros_like(at), chosen[at], none)

        return EvalLoader(fetch, order)

    def last_captions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of the last caption of each of some pictures."""
        return self.pairs.first_caption[rows] + self.pairs.captions_of[rows] - 1

    def keyed_batch(self, samples: Tensor, keys: Tensor) -> PairBatch:
        """Return training samples; the key of each chooses its caption, and words to leave out."""
        if self.config.data.samples == "captions":
            rows, captions = torch.from_numpy(self.pairs.image_of)[samples], samples
        else:
            first = torch.from_numpy(self.pairs.first_caption)[samples]
            count = torch.from_numpy(self.pairs.captions_of)[samples]
            rows, captions = samples, first + (keys >> 1) % count
        batch, share = self.batch_of(rows, captions, keys), self.config.data.augmentation.words
        if not share or not bool(keys.any()):
            return batch
        kind = self.config.model.text.name
        return batch._replace(tokens=words_left_out(batch.tokens, keys, share, kind))

    def batch_of(self, rows: Tensor, captions: Tensor, keys: Tensor) -> PairBatch:
        """Return pictures at ``rows`` (B,), each with one of its captions (B,)."""
        images = torch.from_numpy(self.pairs.images[rows.numpy()])
        taught = trimmed(self.taught[captions]) if self.taught.numel() else self.taught.long()
        return PairBatch(
            images=images,
            tokens=trimmed(self.tokens[captions]),
            ids=torch.from_numpy(self.ids)[rows],
            keys=keys,
            rows=rows,
            taught=taught if len(taught) else torch.zeros(len(rows), 0, dtype=torch.int64),
        )

    def batch_of_size(self, size: int) -> PairBatch:
        """A batch of ``size`` training pairs, those with the longest captions first."""
        longest = (self.tokens[torch.from_numpy(self.last_captions(self.train_rows))] != 0).sum(1)
        order = longest.argsort(descending=True, stable=True)[torch.arange(size) % len(longest)]
        rows = torch.from_numpy(self.train_rows)[order]
        captions = torch.from_numpy(self.last_captions(rows.numpy()))
        return self.batch_of(rows, captions, keys_of(0, 0, size))

    def captions_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of all captions of some pictures, ascending."""
        return np.flatnonzero(np.isin(self.pairs.image_of, rows))
