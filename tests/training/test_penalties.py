"""Penalties equal their formulas, follow their schedules, and proximal steps act once a step."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from tutelage.core.errors import ConfigError
from tutelage.training.penalties import PENALTIES, Penalties, Schedule, factor


@dataclass(frozen=True)
class Held:
    name: str
    parameters: str = "*weight"
    strength: float = 0.5
    schedule: Schedule = "constant"
    start: float = 0.0
    end: float = 1.0


def naive(name: str, weight: Tensor) -> float:
    """The formula with loops over single numbers."""
    rows = weight.reshape(len(weight), -1).tolist()
    if name == "l1":
        return sum(abs(w) for row in rows for w in row)
    if name == "l2":
        return sum(w * w for row in rows for w in row)
    if name == "group_lasso":
        return sum(sum(w * w for w in row) ** 0.5 for row in rows)
    if name == "orthogonality":
        norms = [sum(w * w for w in row) ** 0.5 for row in rows]
        total = 0.0
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                dot = sum(a * b for a, b in zip(one, other, strict=True)) / norms[i] / norms[j]
                total += (dot - (i == j)) ** 2
        return total
    total = 0.0
    for plane in weight.reshape(-1, *weight.shape[-2:]).tolist():
        height, width = len(plane), len(plane[0])
        for y in range(height):
            for x in range(width):
                around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                values = [
                    plane[min(max(b, 0), height - 1)][min(max(a, 0), width - 1)] for b, a in around
                ]
                total += (sum(values) - 4 * plane[y][x]) ** 2
    return total


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_equals_its_formula(name: str) -> None:
    weight = torch.randn(4, 2, 3, 5, dtype=torch.float64, generator=torch.manual_seed(0))
    assert float(PENALTIES[name](weight)) == pytest.approx(naive(name, weight))


def test_a_group_of_zeros_has_a_finite_gradient() -> None:
    weight = torch.zeros(2, 3, requires_grad=True)
    PENALTIES["group_lasso"](weight).backward()
    assert weight.grad is not None and bool(weight.grad.isfinite().all())


def test_strength_follows_its_schedule() -> None:
    at = (0.0, 0.2, 0.4, 0.6, 1.0)
    assert [factor("constant", p, 0.2, 0.6) for p in at] == [1, 1, 1, 1, 1]
    assert [factor("warmup", p, 0.2, 0.6) for p in at] == [0, 1, 1, 1, 1]
    assert [factor("ramp", p, 0.2, 0.6) for p in at] == pytest.approx([0, 0, 0.5, 1, 1])
    assert [factor("decay", p, 0.2, 0.6) for p in at] == pytest.approx([1, 1, 0.5, 0, 0])


def test_the_total_is_of_the_named_parameters_alone() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)})
    rules = [Held("l2", "a.*"), Held("l1", "b.weight", 2.0, "ramp", 0.0, 0.5)]
    total = Penalties(rules, model.named_parameters()).total(0.25)
    assert total is not None
    a, b = model["a"], model["b"]
    expected = 0.5 * (a.weight.square().sum() + a.bias.square().sum()) + b.weight.abs().sum()
    torch.testing.assert_close(total, expected)


def test_a_pattern_that_fits_nothing_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"(?s)'wieght'.*weight"):
        Penalties([Held("l1", "wieght")], nn.Linear(2, 2).named_parameters())


def test_a_map_is_asked_for_where_a_penalty_needs_one() -> None:
    with pytest.raises(ConfigError, match=r"laplacian.*bias.*dimensions"):
        Penalties([Held("laplacian", "*")], nn.Linear(2, 2).named_parameters())


def two_groups() -> tuple[nn.ModuleDict, Optimizer]:
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)})
    groups = [{"params": list(part.parameters()), "lr": 0.1} for part in model.values()]
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    return model, SGD(groups, lr=0.1)


def test_a_proximal_step_is_taken_once_a_step_and_not_once_a_group() -> None:
    model, optimizer = two_groups()
    rule = Held("proximal_l1", "*.weight")
    Penalties([rule], model.named_parameters()).hold(optimizer, lambda: 0.0)
    optimizer.step()
    for part in model.values():
        torch.testing.assert_close(part.weight, torch.full((2, 3), 1 - 0.1 * 0.5))
        torch.testing.assert_close(part.bias, torch.ones(2))


def test_proximal_l1_makes_zeros_and_follows_its_schedule() -> None:
    model, optimizer = two_groups()
    progress = [0.0]
    rule = Held("proximal_l1", "a.weight", 100.0, "warmup", start=0.5)
    Penalties([rule], model.named_parameters()).hold(optimizer, lambda: progress[0])
    optimizer.step()
    assert bool((model["a"].weight == 1).all())
    progress[0] = 0.5
    optimizer.step()
    assert bool((model["a"].weight == 0).all())


def test_proximal_l1_takes_adams_own_step() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -1.0, 1.0]))
    optimizer = AdamW([weight], lr=0.01, weight_decay=0.0)
    Penalties([Held("proximal_l1", "w")], [("w", weight)]).hold(optimizer, lambda: 0.0)
    gradient = torch.tensor([2.0, 0.5, -4.0])
    weight.grad = gradient.clone()
    optimizer.step()
    plain = torch.tensor([1.0, -1.0, 1.0]) - 0.01 * gradient.sign()
    expected = plain.sign() * (plain.abs() - 0.5 * 0.01 / gradient.abs())
    torch.testing.assert_close(weight.detach(), expected)


def test_a_clamp_holds_weights_within_its_strength() -> None:
    model, optimizer = two_groups()
    Penalties([Held("proximal_clamp", "b.*")], model.named_parameters()).hold(
        optimizer, lambda: 0.0
    )
    optimizer.step()
    assert bool((model["b"].weight == 0.5).all())
    assert bool((model["a"].weight == 1.0).all())
