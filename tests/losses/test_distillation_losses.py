"""Losses against a teacher equal naive references, and hold what their papers promise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tutelage.losses import LOSSES, FeatureMatchingLoss, SoftTargetLoss, get_loss

SHAPES = (st.integers(0, 999), st.integers(1, 12), st.integers(2, 5))


def draw(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def softened(row: list[float], temperature: float) -> list[float]:
    """The softmax of one sample's logits over a temperature."""
    powers = [math.exp((value - max(row)) / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def naive_soft_targets(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """Hinton et al. 2015, sample by sample and class by class."""
    total = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = softened(theirs, temperature), softened(ours, temperature)
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


@settings(max_examples=30, deadline=None)
@given(*SHAPES, st.floats(0.5, 20))
def test_soft_targets_equal_the_naive_reference(
    seed: int, samples: int, classes: int, temperature: float
) -> None:
    student, teacher = draw(seed, samples, classes), draw(seed + 1, samples, classes)
    expected = naive_soft_targets(student, teacher, temperature)
    found = float(SoftTargetLoss(temperature)(student, teacher))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_student_that_agrees_with_its_teacher_has_no_loss_however_its_logits_are_shifted() -> (
    None
):
    teacher = draw(3, 5, 4)
    assert float(SoftTargetLoss()(teacher + 7, teacher)) == pytest.approx(0, abs=1e-12)


def test_at_high_temperatures_the_gradient_is_that_of_centred_logits() -> None:
    student, teacher = draw(1, 6, 3).requires_grad_(), draw(2, 6, 3)
    SoftTargetLoss(1e4)(student, teacher).backward()  # type: ignore[no-untyped-call]
    ours, theirs = (z - z.mean(1, keepdim=True) for z in (student.detach(), teacher))
    torch.testing.assert_close(student.grad, (ours - theirs) / (3 * 6), rtol=1e-3, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(1, 8), st.integers(1, 6), st.integers(1, 6))
def test_feature_matching_equals_the_naive_reference(
    seed: int, samples: int, ours: int, theirs: int
) -> None:
    student, teacher = draw(seed, samples, ours), draw(seed + 1, samples, theirs)
    loss = FeatureMatchingLoss(ours, theirs).double()
    projected = student.tolist()
    if isinstance(loss.projection, nn.Linear):
        weight, bias = loss.projection.weight.tolist(), loss.projection.bias.tolist()
        projected = [
            [
                sum(w * x for w, x in zip(line, row, strict=True)) + b
                for line, b in zip(weight, bias, strict=True)
            ]
            for row in projected
        ]
    wanted = teacher.tolist()
    squares = [
        (a - b) ** 2
        for p, w in zip(projected, wanted, strict=True)
        for a, b in zip(p, w, strict=True)
    ]
    assert float(loss(student, teacher).detach()) == pytest.approx(
        sum(squares) / len(squares), rel=1e-6
    )


def test_features_of_one_width_are_compared_as_they_are_and_others_through_learned_weights() -> (
    None
):
    assert not list(FeatureMatchingLoss(4, 4).parameters())
    loss = FeatureMatchingLoss(3, 4).double()
    loss(draw(0, 5, 3), draw(1, 5, 4)).backward()
    assert all(p.grad is not None and p.grad.any() for p in loss.parameters())


@pytest.mark.parametrize("name", ["soft_targets", "feature_matching"])
def test_no_gradient_is_wrong_by_finite_differences(name: str) -> None:
    options = {"student_width": 3, "teacher_width": 3} if name == "feature_matching" else {}
    loss, teacher = get_loss(name, **options), draw(5, 4, 3)
    assert torch.autograd.gradcheck(lambda z: loss(z, teacher), draw(6, 4, 3).requires_grad_())


def test_extreme_logits_leave_loss_and_gradient_finite() -> None:
    student = torch.tensor([[900.0, -900.0]], requires_grad=True)
    value = SoftTargetLoss(1.0)(student, -student.detach())
    value.backward()
    assert value.isfinite() and student.grad is not None and student.grad.isfinite().all()


def test_both_are_found_by_name() -> None:
    assert set(LOSSES) >= {"soft_targets", "feature_matching"}
    assert isinstance(get_loss("soft_targets", temperature=2.0), SoftTargetLoss)
