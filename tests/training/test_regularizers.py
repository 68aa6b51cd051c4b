"""Elastic weight consolidation against a naive reference, and without side effects."""

from __future__ import annotations

import pytest
import torch
from tiny_task import Batch, TinyModule, sample, tiny
from torch import Tensor

from tutelage.training.regularizers import ElasticWeightConsolidation, trained


def module() -> TinyModule:
    torch.manual_seed(0)
    return TinyModule(tiny(), [0.0] * 8, lambda module, batch: None)


def singles(seed: int, count: int = 5) -> list[Batch]:
    x, y = sample(count, seed)
    return [(x[i : i + 1], y[i : i + 1]) for i in range(count)]


def naive_fisher(net: TinyModule, samples: list[Batch]) -> list[Tensor]:
    """The mean over samples of each parameter's squared gradient, the slow way."""
    sums = [torch.zeros_like(p) for p in net.parameters()]
    net.eval()
    for one in samples:
        net.zero_grad()
        net.loss(one).backward()
        for total, parameter in zip(sums, net.parameters(), strict=True):
            assert parameter.grad is not None
            total += parameter.grad**2
    net.train()
    net.zero_grad()
    return [total / len(samples) for total in sums]


def test_the_penalty_and_its_gradient_are_those_of_the_paper() -> None:
    net, before = module(), module()
    ewc = ElasticWeightConsolidation(sum(p.numel() for p in trained(net)), weight=7.0)
    ewc.consolidate(net, singles(1))
    fisher = naive_fisher(before, singles(1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.arange(parameter.numel()).reshape(parameter.shape).cos()
    moved = [p.detach() - q.detach() for p, q in zip(trained(net), trained(before), strict=True)]
    net.eval()
    batch = sample(6, 2)
    scalars = ewc(net, batch)
    penalty = 3.5 * sum(float((f * d**2).sum()) for f, d in zip(fisher, moved, strict=True))
    assert float(scalars["penalty"]) == pytest.approx(penalty, rel=1e-5)
    whole, task = float(scalars["loss"].detach()), float(net.loss(batch).detach())
    assert whole == pytest.approx(task + penalty, rel=1e-5)
    with_penalty = torch.autograd.grad(scalars["loss"], trained(net))
    without = torch.autograd.grad(net.loss(batch), trained(net))
    for one, other, f, d in zip(with_penalty, without, fisher, moved, strict=True):
        torch.testing.assert_close(one - other, 7.0 * f * d, rtol=1e-4, atol=1e-6)


def test_before_the_first_stage_has_ended_nothing_is_added() -> None:
    net = module()
    ewc = ElasticWeightConsolidation(sum(p.numel() for p in trained(net)), weight=1e9)
    net.eval()
    scalars = ewc(net, sample(6, 2))
    assert float(scalars["penalty"]) == 0
    assert float(scalars["loss"].detach()) == float(net.loss(sample(6, 2)).detach())


def test_importance_adds_up_over_stages_and_the_anchor_is_the_newest() -> None:
    net = module()
    ewc = ElasticWeightConsolidation(sum(p.numel() for p in trained(net)), weight=1.0)
    ewc.consolidate(net, singles(1))
    first = ewc.fisher.clone()
    with torch.no_grad():
        net.network[0].weight += 1  # type: ignore[index,union-attr]
    ewc.consolidate(net, singles(2))
    second = torch.cat([f.flatten() for f in naive_fisher(net, singles(2))])
    torch.testing.assert_close(ewc.fisher, first + second)
    assert ewc.anchor.equal(torch.cat([p.detach().flatten() for p in net.parameters()]))


def test_consolidating_leaves_gradients_modes_statistics_and_random_states_alone() -> None:
    net = module().train()
    net.network[3].eval()  # type: ignore[index,union-attr]
    net.loss(sample(6, 2)).backward()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    modes = [part.training for part in net.modules()]
    draws = torch.get_rng_state()
    ewc = ElasticWeightConsolidation(sum(p.numel() for p in trained(net)), weight=1.0)
    ewc.consolidate(net, singles(1))
    assert torch.equal(torch.get_rng_state(), draws)
    assert [part.training for part in net.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), grads, strict=True))
