"""Fit a combiner or blend outside the trainer; cross-fit it, to judge what it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from tutelage.core.config import Training
from tutelage.training.fusion.calibration import best_threshold
from tutelage.training.fusion.combiners import Combiner
from tutelage.training.fusion.learner import N
from tutelage.training.fusion.states import States
from tutelage.training.samplers import SeededBatchSampler
from tutelage.training.schedulers import LinearWarmupCosineAnnealingLR


@dataclass(frozen=True, slots=True)
class PassOrder:
    """Batches of several passes over the samples in a row, each in its own random order.

    Args:
        sampler: The order of one pass.
        passes: How many make an epoch.
    """

    sampler: SeededBatchSampler
    passes: int

    def __len__(self) -> int:
        return len(self.sampler) * self.passes

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the rows of each batch of an epoch."""
        first = epoch * self.passes
        return [
            rows
            for number in range(first, first + self.passes)
            for rows in self.sampler.batches(number)
        ]


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """What combiners said of samples that they were not fitted on.

    Args:
        score: (n,) probability of an attack.
        alarm: (n,) bool, whether it lies above a threshold chosen on the other folds.
        weights: (n, E), how much each expert counted, where that is defined.
        threshold: The best one on all scores, for a combiner fitted on all samples.
    """

    score: Tensor
    alarm: Tensor
    weights: Tensor | None
    threshold: float

    def rows(self, chosen: Tensor) -> CrossFitted:
        """What was said of some samples, rows or a mask."""
        weights = None if self.weights is None else self.weights[chosen]
        return CrossFitted(self.score[chosen], self.alarm[chosen], weights, self.threshold)


def pass_order(samples: int, batch_size: int, seed: int, passes: int) -> PassOrder:
    """Return the order in which a combiner sees its training samples."""
    return PassOrder(SeededBatchSampler(samples, batch_size, seed), passes)


class Samples(Protocol):
    """What a fit takes batches from."""

    def batch(self, rows: Tensor, /) -> Any:
        """Return the samples at ``rows`` (B,)."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


def fit(learner: N, samples: Samples, training: Training, order: PassOrder) -> N:
    """Fit with AdamW and a cosine schedule, all passes in one; return the learner, to be used."""
    learner.fit_inputs(samples)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    if parameters:
        rate, decay = training.learning_rate, training.weight_decay
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        warmup, floor = training.scheduler.warmup_fraction, training.scheduler.minimum_factor
        total = len(order)
        schedule = LinearWarmupCosineAnnealingLR(optimizer, total, round(warmup * total), floor)
        learner.train()
        for rows in order.batches(0):
            optimizer.zero_grad()
            learner.step(samples.batch(rows))["loss"].backward()  # type: ignore[no-untyped-call]
            if training.gradient_clip:
                torch.nn.utils.clip_grad_norm_(parameters, training.gradient_clip)
            optimizer.step()
            schedule.step()
    learner.eval()
    return learner


def cross_fit(
    make: Callable[[], Combiner],
    states: States,
    fold: Tensor,
    training: Training,
    passes: int,
    batch_size: int,
) -> CrossFitted:
    """Score each sample by a combiner that was fitted on the other folds.

    Args:
        make: Returns a fresh combiner.
        states: Samples that belong to a fold.
        fold: (n,) their folds.
        training: Seed, rate, decay and schedule.
        passes: Passes of a fit over its samples.
        batch_size: Samples a step.
    """
    score = torch.zeros(len(states))
    weights: list[Tensor | None] = []
    folds = range(int(fold.max()) + 1)
    for number in folds:
        away, rest = fold == number, fold != number
        order = pass_order(int(rest.sum()), batch_size, training.seed, passes)
        with seeded(training.seed + number):
            fitted = fit(make(), states.rows(rest), training, order)
        with torch.inference_mode():
            score[away] = fitted(states.state[away])
            weights.append(fitted.weights(states.state[away]))
    alarm = torch.zeros(len(states), dtype=torch.bool)
    for number in folds:
        away, rest = fold == number, fold != number
        alarm[away] = score[away] > best_threshold(score[rest], states.label[rest])
    threshold = best_threshold(score, states.label)
    return CrossFitted(score, alarm, _joined(weights, fold, states), threshold)


def _joined(weights: Sequence[Tensor | None], fold: Tensor, states: States) -> Tensor | None:
    joined = torch.zeros(len(states), len(states.experts))
    for number, part in enumerate(weights):
        if part is None:
            return None
        joined[fold == number] = part
    return joined


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's generator as seeded; it goes on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
