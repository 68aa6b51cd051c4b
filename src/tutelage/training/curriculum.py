"""A curriculum: which samples each epoch draws, as a pure function of (seed, epoch)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.core.config import CurriculumMode
from tutelage.training.contracts import TaskData
from tutelage.training.samplers import BatchOrder, permutation, weighted_draw

_POSITIVE, _NORMAL, _REPLAYED, _MIXED = range(4)  # independent random streams of an epoch
_STREAMS = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs that draw from the same samples in the same mix.

    Args:
        first_epoch: From 0.
        ratio: Normal samples for each positive one; null where all samples are of one kind.
        easiest: Share of the samples that are too easy to be drawn.
        hardest: Share of the samples up to which they aren't too hard to be drawn.
        evenness: How much alike easy and hard samples are drawn, from 0 (the easiest twice as often
            as the mean, the hardest never) to 1 (all alike).
        progress: From 0 in the first stage to 1 in the last.

    Where there are positive samples, only the normal ones are easy or hard.
    """

    first_epoch: int
    ratio: float | None
    easiest: float = 0.0
    hardest: float = 1.0
    evenness: float = 1.0
    progress: float = 1.0


def plan(mode: CurriculumMode, max_epochs: int, two_kinds: bool = True) -> tuple[Stage, ...]:
    """Return the stages that come to pass in so many epochs, in their order.

    The ratio moves from `start_ratio` to `end_ratio`; where difficulty is known, what is drawn
    moves from easy to hard (Bengio et al. 2009, https://doi.org/10.1145/1553374.1553380).

    Args:
        mode: The settings.
        max_epochs: Epochs of the whole run.
        two_kinds: Whether there are positive and normal samples.
    """
    last = mode.stages - 1
    ramp = max(1, min(max_epochs - 1, round(mode.ramp_fraction * max_epochs)))
    found: dict[int, Stage] = {}
    for epoch in range(max_epochs):
        step = min(last, epoch * last // ramp)
        if step not in found:
            ratio = _ratio(mode, step / last) if two_kinds else None
            found[step] = _stage(mode, epoch, ratio, step / last)
    return tuple(found.values())


def _ratio(mode: CurriculumMode, progress: float) -> float:
    start, end = mode.start_ratio, mode.end_ratio
    if mode.shape == "geometric":
        return start * math.pow(end / start, progress)
    return start + (end - start) * progress


def _stage(mode: CurriculumMode, epoch: int, ratio: float | None, progress: float) -> Stage:
    if not mode.knows_difficulty:
        return Stage(epoch, ratio, progress=progress)
    if mode.draw == "weighted":
        return Stage(epoch, ratio, evenness=progress, progress=progress)
    easiest = progress * (1 - mode.hardest_share)
    hardest = mode.easiest_share + progress * (1 - mode.easiest_share)
    return Stage(epoch, ratio, easiest, hardest, progress=progress)


@dataclass(frozen=True)
class Curriculum:
    """What each epoch draws. Everything follows from these values: there is no state to restore.

    Args:
        stages: In their order.
        max_epochs: Epochs of the whole run.
        positives: (P,) int64, places of the positive training samples; none where all samples are
            of one kind.
        normals: (N,) int64, places of the normal ones, or of all; the easiest first.
        seed: Any integer.
        buffer: Normal samples of earlier stages that are drawn again, all stages together.
        replay: Share of an epoch's normal samples that comes from these; 0 for none.
    """

    stages: tuple[Stage, ...]
    max_epochs: int
    positives: Tensor
    normals: Tensor
    seed: int
    buffer: int = 0
    replay: float = 0.0

    @property
    def size(self) -> int:
        """All training samples."""
        return len(self.positives) + len(self.normals)

    def stage_of(self, epoch: int) -> int:
        """Return the number of the stage that ``epoch`` belongs to, from 0."""
        return sum(stage.first_epoch <= epoch for stage in self.stages) - 1

    def last_epoch(self, stage: int) -> int:
        """Return the last epoch of a stage."""
        following = self.stages[stage + 1 :]
        return following[0].first_epoch - 1 if following else self.max_epochs - 1

    def pool(self, stage: int) -> Tensor:
        """Return the normal samples that a stage draws from, the easiest first; never none."""
        now, count = self.stages[stage], len(self.normals)
        first = min(int(now.easiest * count), count - 1)
        return self.normals[first : max(math.ceil(now.hardest * count), first + 1)]

    def remembered(self, stage: int) -> Tensor:
        """Return what the buffer holds in a stage: as many samples of each earlier one."""
        each = max(1, self.buffer // max(1, stage))
        drawn = [self._cycle(self.pool(k), each, self.last_epoch(k), _NORMAL) for k in range(stage)]
        held: Tensor = torch.cat(drawn).unique()  # type: ignore[no-untyped-call]
        return held

    def draw(self, epoch: int, count: int) -> Tensor:
        """Return places of training samples for an epoch, in random order, (count,) int64.

        No sample of a kind comes a second time before all of that kind have come once, unless they
        are drawn by weight.
        """
        stage = self.stage_of(epoch)
        ratio, positives = self.stages[stage].ratio, 0
        if ratio is not None:
            positives = min(max(1, round(count / (1 + ratio))), max(1, count - 1))
        replayed = round(self.replay * (count - positives)) if stage else 0
        parts = [
            self._cycle(self.positives, positives, epoch, _POSITIVE),
            self._normals(stage, count - positives - replayed, epoch),
        ]
        if replayed:
            parts.append(self._cycle(self.remembered(stage), replayed, epoch, _REPLAYED))
        return torch.cat(parts)[permutation(self.seed, epoch, count, _MIXED)]

    def _normals(self, stage: int, count: int, epoch: int) -> Tensor:
        """Return normal samples: each as often as any other, or the easier the oftener."""
        pool, evenness = self.pool(stage), self.stages[stage].evenness
        if evenness == 1:
            return self._cycle(pool, count, epoch, _NORMAL)
        ease = torch.linspace(2, 0, len(pool) + 2, dtype=torch.float64)[1:-1]
        weights = evenness + (1 - evenness) * ease
        return pool[weighted_draw(weights, self.seed, epoch, count)]

    def sample(self) -> Tensor:
        """Return about `size` places in the mix of the whole run, the same from each epoch."""
        each = math.ceil(self.size / self.max_epochs)
        return torch.cat([self.draw(epoch, each) for epoch in range(self.max_epochs)])

    def _cycle(self, places: Tensor, count: int, epoch: int, stream: int) -> Tensor:
        if not count:
            return places[:0]
        rounds = [
            permutation(self.seed, epoch, len(places), stream + _STREAMS * done)
            for done in range(math.ceil(count / len(places)))
        ]
        return places[torch.cat(rounds)[:count]]


Arrange = Callable[[Tensor, int, Stage, int], Sequence[Tensor]]


class CurriculumOrder:
    """Full batches of what a curriculum draws; each stage may have a batch size of its own.

    Every epoch has as many batches, since Lightning reads their number once, and the whole run
    draws as many samples as passes over the data would.

    Args:
        curriculum: What is drawn.
        sizes: Samples in a batch, for each stage; no batch holds more than there are.
        arrange: How what an epoch draws becomes batches (`CurriculumData.arrange`).
    """

    def __init__(self, curriculum: Curriculum, sizes: Sequence[int], arrange: Arrange) -> None:
        self.curriculum: Curriculum = curriculum
        self._arrange = arrange
        self.sizes: tuple[int, ...] = tuple(min(size, curriculum.size) for size in sizes)
        epochs = range(curriculum.max_epochs)
        a_step_of_each = sum(self.sizes[curriculum.stage_of(epoch)] for epoch in epochs)
        self._steps = math.ceil(curriculum.size * curriculum.max_epochs / a_step_of_each)

    def __len__(self) -> int:
        return self._steps

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the places of each batch of ``epoch``."""
        number = self.curriculum.stage_of(epoch)
        size = self.sizes[number]
        drawn = self.curriculum.draw(epoch, self._steps * size)
        return self._arrange(drawn, size, self.curriculum.stages[number], epoch)


class CurriculumData(TaskData, ABC):
    """Data whose training samples can be taken by their place, in any order and mix."""

    order: BatchOrder
    """Which samples form a training batch; the mode sets it before the loaders are made."""
    mix: Tensor
    """Places of training samples as they will be drawn: class weights and batch sizes follow it.

    The mode sets it before `fit_module` and `batch_of_size` are called."""

    @property
    def positives(self) -> Tensor | None:
        """(n,) bool, which training samples are of the rare class; null if all are of one kind."""
        return None

    @property
    def measures(self) -> Mapping[str, Callable[[], Tensor]]:
        """What says how hard a training sample is, by name: (n,) each, larger is harder."""
        return {}

    def arrange(self, places: Tensor, size: int, stage: Stage, epoch: int) -> Sequence[Tensor]:
        """Put what an epoch draws into batches, by default as it was drawn.

        A pure function of what it is given, and of the seed; the batches are as many in every
        epoch.

        Args:
            places: (steps * size,) int64, places of training samples.
            size: Samples in a batch.
            stage: The epoch's stage.
            epoch: From 0.
        """
        return torch.split(places, size)

    @abstractmethod
    def batch_at(self, places: Tensor) -> Any:
        """Return the training samples at some places, (B,) int64, as one batch."""

    @abstractmethod
    def encoded_for(self, preprocessing: Mapping[str, object], places: Tensor) -> Iterable[Any]:
        """Return batches of training samples, as a model with that preprocessing takes them.

        Args:
            preprocessing: What another run learned.
            places: (B,) int64, which samples, in which order.

        Raises:
            ConfigError: That run cuts its samples in another way.
        """
