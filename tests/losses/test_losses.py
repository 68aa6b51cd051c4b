"""Each loss equals a naive reference, and the registry refuses what it does not know."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.losses import LOSSES, BaseSupervisedLoss, CrossEntropyLoss, FocalLoss, get_loss
from tutelage.losses.registry import register_loss


def probabilities(row: list[float]) -> list[float]:
    """The softmax of one sample's logits."""
    most = max(row)
    powers = [math.exp(value - most) for value in row]
    return [power / sum(powers) for power in powers]


def naive_cross_entropy(
    logits: Tensor, targets: Tensor, weights: list[float], smoothing: float
) -> float:
    """Sample by sample; the smoothed part is weighted by each class's own weight, as in PyTorch."""
    classes, total, divisor = logits.shape[1], 0.0, 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        p = probabilities(row)
        total += (1 - smoothing) * weights[target] * -math.log(p[target])
        total += (
            smoothing / classes * sum(-w * math.log(q) for w, q in zip(weights, p, strict=True))
        )
        divisor += weights[target]
    return total / divisor


def naive_focal(logits: Tensor, targets: Tensor, weights: list[float], gamma: float) -> float:
    """Lin et al. 2017, equation 5, sample by sample."""
    total, divisor = 0.0, 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        p = probabilities(row)[target]
        total += -weights[target] * (1 - p) ** gamma * math.log(p)
        divisor += weights[target]
    return total / divisor


def case(seed: int, samples: int, classes: int) -> tuple[Tensor, Tensor, list[float]]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, classes, (samples,), generator=generator)
    weights = (0.1 + torch.rand(classes, generator=generator)).tolist()
    return logits, targets, weights


def weighted(loss: BaseSupervisedLoss, weights: list[float]) -> BaseSupervisedLoss:
    loss = loss.double()
    loss.class_weights.copy_(torch.tensor(weights))
    return loss


SHAPES = (st.integers(0, 999), st.integers(1, 12), st.integers(2, 5))


@settings(max_examples=30, deadline=None)
@given(*SHAPES, st.floats(0, 0.9))
def test_cross_entropy_equals_the_naive_reference(
    seed: int, samples: int, classes: int, smoothing: float
) -> None:
    logits, targets, weights = case(seed, samples, classes)
    loss = weighted(CrossEntropyLoss(classes, smoothing), weights)
    expected = naive_cross_entropy(logits, targets, weights, smoothing)
    assert float(loss(logits, targets)) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(*SHAPES, st.floats(0, 5))
def test_focal_loss_equals_the_naive_reference(
    seed: int, samples: int, classes: int, gamma: float
) -> None:
    logits, targets, weights = case(seed, samples, classes)
    loss = weighted(FocalLoss(classes, gamma), weights)
    expected = naive_focal(logits, targets, weights, gamma)
    assert float(loss(logits, targets)) == pytest.approx(expected, rel=1e-6)


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    logits, targets, weights = case(7, 10, 3)
    focal = weighted(FocalLoss(3, gamma=0.0), weights)
    plain = weighted(CrossEntropyLoss(3), weights)
    torch.testing.assert_close(focal(logits, targets), plain(logits, targets))


MAKERS: list[Callable[[], BaseSupervisedLoss]] = [
    lambda: CrossEntropyLoss(3, 0.1),
    lambda: FocalLoss(3, 2.0),
]


@pytest.mark.parametrize("make", MAKERS)
def test_gradients_are_those_of_finite_differences(make: Callable[[], BaseSupervisedLoss]) -> None:
    logits, targets, weights = case(3, 4, 3)
    loss = weighted(make(), weights)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), logits.requires_grad_())


@pytest.mark.parametrize("make", MAKERS)
def test_losses_and_gradients_stay_finite_for_extreme_logits(
    make: Callable[[], BaseSupervisedLoss],
) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    value = make()(logits, torch.tensor([0, 0]))
    value.backward()
    assert torch.isfinite(value) and logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("make", MAKERS)
def test_class_weights_begin_as_ones_and_are_saved(make: Callable[[], BaseSupervisedLoss]) -> None:
    state = make().state_dict()
    assert state["class_weights"].tolist() == [1.0, 1.0, 1.0]


def test_a_loss_is_made_by_name_with_its_options() -> None:
    assert set(LOSSES) >= {"cross_entropy", "focal"}
    loss = get_loss("focal", num_classes=4, gamma=1.5)
    assert isinstance(loss, FocalLoss)
    assert loss.gamma == 1.5 and len(loss.class_weights) == 4


def test_an_unknown_loss_or_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'focal'"):
        get_loss("fokal")
    with pytest.raises(ConfigError, match="no option 'gama'.*\n.*gamma"):
        get_loss("focal", gama=2.0)


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="registered twice"):
        register_loss("focal")(CrossEntropyLoss)
