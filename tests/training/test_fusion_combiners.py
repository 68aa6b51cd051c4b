"""Combiners: what each computes, against a naive reference, and that its settings act."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_fusion import makers
from torch import Tensor

from tutelage.core.config import Training
from tutelage.training.fusion.agents import (
    BanditCombiner,
    DQNCombiner,
    Exploration,
    weight_choices,
)
from tutelage.training.fusion.calibration import best_threshold, platt
from tutelage.training.fusion.combiners import SURE, Combiner, GatedCombiner, PerceptronCombiner
from tutelage.training.fusion.fitting import cross_fit, fit, pass_order, seeded
from tutelage.training.fusion.replay import ReplayBuffer
from tutelage.training.fusion.states import StateBatch, States

ALWAYS_TRY = Exploration(1.0, 1.0, 1, 3.0)


def states(n: int = 120, seed: int = 0, noise: float = 1.0) -> States:
    """Two experts, of which the first is right, and two columns of noise."""
    generator = torch.Generator().manual_seed(seed)
    label = (torch.rand(n, generator=generator) < 0.4).long()
    values = torch.randn(n, 4, generator=generator)
    values[:, 0] = values[:, 0] * noise + 3 * (label - 0.5)
    names = ("good.margin", "bad.margin", "a", "b")
    stretch = torch.arange(n) // 10
    return States(values, label, stretch, values[:, :2] > 0, names, ("good", "bad"))


def fitted(name: str, data: States, seed: int = 0, rate: float = 0.02) -> Combiner:
    training = Training(learning_rate=rate)
    with seeded(seed):
        made: Combiner = makers(data.width, 2)[name]()
        return fit(made, data, training, pass_order(len(data), 16, seed, 20))


@pytest.mark.parametrize("name", ["mean", "logistic", "mlp", "gated", "bandit", "dqn"])
def test_every_combiner_learns_which_expert_to_trust(name: str) -> None:
    train, test = states(seed=1), states(400, seed=2)
    combiner = fitted(name, train)
    with torch.inference_mode():
        score = combiner(test.state)
    assert score.shape == (400,) and score.min() >= 0 and score.max() <= 1
    right = ((score > 0.5).long() == test.label).float().mean()
    assert right > 0.85
    weights = combiner.weights(test.state)
    if weights is not None:
        assert torch.allclose(weights.sum(1), torch.ones(400))
        assert weights.mean(0)[0] > 0.5


def test_the_mean_is_that_of_calibrated_probabilities() -> None:
    data = states()
    combiner = fitted("mean", data)
    for row in range(5):
        p = [
            1 / (1 + math.exp(-(combiner.slope[k] * data.state[row, k] + combiner.intercept[k])))
            for k in (0, 1)
        ]
        clipped = [min(max(value, SURE), 1 - SURE) for value in p]
        assert float(combiner(data.state)[row]) == pytest.approx(sum(clipped) / 2, rel=1e-5)


def test_calibration_finds_the_curve_that_made_the_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    margin = 40 * torch.randn(20_000, generator=generator) + 7
    truth = torch.sigmoid(0.05 * margin - 1)
    label = (torch.rand(20_000, generator=generator) < truth).long()
    slope, intercept = platt(margin, label)
    assert slope == pytest.approx(0.05, rel=0.05) and intercept == pytest.approx(-1, rel=0.08)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_calibration_of_classes_that_lie_apart_stays_finite(scale: float) -> None:
    margin = scale * torch.cat([torch.linspace(-3, -1, 50), torch.linspace(1, 3, 20)])
    label = (margin > 0).long()
    slope, intercept = platt(margin, label)
    p = torch.sigmoid(slope * margin + intercept)
    assert math.isfinite(slope) and p[label == 0].max() < 0.25 and p[label == 1].min() > 0.75


def test_the_threshold_has_the_greatest_f1_and_is_the_lowest_of_such() -> None:
    def f1(score: Tensor, label: Tensor, threshold: float) -> float:
        alarm, truth = score > threshold, label == 1
        return float(2 * (alarm & truth).sum() / (alarm.sum() + truth.sum()))

    score, label = torch.rand(80, generator=torch.Generator().manual_seed(3)), torch.zeros(80)
    label[score.argsort()[-20:]] = 1
    label[::9] = 1 - label[::9]
    found = best_threshold(score, label.long())
    tried = [f1(score, label, float(t)) for t in torch.linspace(0, 1, 2001)]
    assert f1(score, label, found) == pytest.approx(max(tried))
    apart = torch.tensor([0.1, 0.2, 0.8, 0.85])
    assert best_threshold(apart, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.2)
    assert best_threshold(torch.full((4,), 0.5), torch.tensor([0, 0, 1, 1])) < 0.5


@pytest.mark.parametrize(
    ("experts", "at_most", "count", "step"),
    [(2, 21, 21, 1 / 20), (2, 11, 11, 1 / 10), (3, 21, 21, 1 / 5), (4, 21, 20, 1 / 3)],
)
def test_the_choices_are_spread_evenly(experts: int, at_most: int, count: int, step: float) -> None:
    choices = weight_choices(experts, at_most)
    assert choices.shape == (count, experts) == torch.unique(choices, dim=0).shape
    assert torch.allclose(choices.sum(1), torch.ones(count))
    assert torch.allclose((choices / step).round() * step, choices, atol=1e-6)


def test_two_experts_are_weighed_by_alpha_from_0_to_1() -> None:
    choices = weight_choices(2, 21)
    alpha = torch.linspace(0, 1, 21)
    assert torch.allclose(choices, torch.stack([1 - alpha, alpha], dim=1), atol=1e-6)


def agent(kind: type = BanditCombiner, exploration: Exploration = ALWAYS_TRY, **more: float) -> Any:
    torch.manual_seed(0)
    return kind(4, 2, 8, 21, exploration, **more)


def test_a_miss_costs_what_is_set_and_a_false_alarm_one() -> None:
    found = agent()
    state = torch.zeros(4, 4)
    state[:, 0], state[:, 1] = torch.tensor([9.0, 9, -9, -9]), torch.tensor([9.0, 9, -9, -9])
    label = torch.tensor([1, 0, 1, 0])
    batch = StateBatch(state, label, state, torch.ones(4, dtype=torch.bool))
    assert found.reward(batch, torch.zeros(4, dtype=torch.long)).tolist() == [1, -1, -3, 1]


def test_exploration_falls_in_a_straight_line() -> None:
    share = Exploration(1.0, 0.2, 100, 1.0).share
    assert [share(0), share(50), share(100), share(900)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    data = states(400)
    batch = data.batch(torch.arange(400))
    greedy = agent(exploration=Exploration(0.0, 0.0, 1, 1.0))
    assert greedy.explore(batch)[0].equal(greedy.value(batch.state).argmax(1))
    tried = agent().explore(batch)[0]
    assert len(tried.unique()) == 21


@torch.no_grad()
def test_the_bandit_learns_from_the_reward_of_what_was_tried_alone() -> None:
    found, data = agent(), states(50)
    batch = data.batch(torch.arange(50))
    action, reward = found.explore(batch)
    loss = found.learn(batch, action, reward)
    values = found.value(batch.state)
    naive = sum(float(values[row, action[row]] - reward[row]) ** 2 for row in range(50))
    assert float(loss) == pytest.approx(naive / 50, rel=1e-5)


@torch.no_grad()
def test_the_dqn_looks_at_the_next_state_with_two_networks() -> None:
    found = agent(DQNCombiner, discount=0.9, capacity=500, target_every=1000)
    data = states(50)
    batch = data.batch(torch.arange(50))
    found.learn(batch, *found.explore(batch))  # the target network takes over the weights
    target = {n: v.clone() for n, v in found.learning_state()["target"].items()}
    for parameter in found.values.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    found.updates += 1
    action, reward = found.explore(batch)
    found.replay = ReplayBuffer(500)
    torch.manual_seed(5)
    loss = found.learn(batch, action, reward)
    torch.manual_seed(5)
    rows = torch.randint(50, (50,))
    frozen = agent(DQNCombiner, discount=0.9, capacity=1, target_every=1000)
    frozen.values.load_state_dict(target)
    naive = 0.0
    for row in rows.tolist():
        best = int(found.value(batch.following[row : row + 1]).argmax())
        worth = float(frozen.value(batch.following[row : row + 1])[0, best])
        wanted = float(reward[row]) + (0.0 if batch.last[row] else 0.9 * worth)
        naive += (float(found.value(batch.state[row : row + 1])[0, action[row]]) - wanted) ** 2
    assert float(loss) == pytest.approx(naive / 50, rel=1e-4)


def test_what_follows_is_the_next_sample_of_the_same_stretch() -> None:
    data = states(30)
    batch = data.batch(torch.tensor([0, 8, 9, 29]))
    assert batch.last.tolist() == [False, False, True, True]
    assert batch.following[0].equal(data.state[1]) and batch.following[1].equal(data.state[9])
    assert batch.following[2].equal(data.state[9]) and batch.following[3].equal(data.state[29])


def test_the_replay_buffer_keeps_the_newest() -> None:
    buffer, data = ReplayBuffer(25), states(100)
    for first in range(0, 100, 10):
        rows = torch.arange(first, first + 10)
        buffer.push(data.batch(rows), rows, rows.float())
    assert len(buffer) == 25
    drawn = buffer.sample(1000)
    assert set(drawn["action"].tolist()) == set(range(75, 100))
    again = ReplayBuffer(25)
    again.load_state_dict(buffer.state_dict())
    for one in (buffer, again):
        one.push(data.batch(torch.arange(10)), torch.arange(10), torch.zeros(10))
    with seeded(1):
        first = buffer.sample(50)
    with seeded(1):
        second = again.sample(50)
    assert all(first[name].equal(second[name]) for name in first)


def moved(change: Callable[[], Combiner], plain: Callable[[], Combiner]) -> bool:
    """Whether two combiners, fitted alike, end up with other scores."""
    data = states(noise=2.0)
    scores = []
    for make in (plain, change):
        with seeded(0):
            order = pass_order(len(data), 16, 0, 10)
            combiner = fit(make(), data, Training(learning_rate=0.01), order)
        scores.append(torch.cat([p.flatten() for p in combiner.parameters()]))
    return not scores[0].equal(scores[1]) if scores[0].shape == scores[1].shape else True


def test_each_setting_of_a_combiner_acts() -> None:
    def bandit(hidden: int = 8, choices: int = 21, **more: float) -> Callable[[], Combiner]:
        tries = {"first": 1.0, "final": 0.1, "updates": 30, "miss_cost": 2.0} | more
        exploration = Exploration(**tries)  # type: ignore[arg-type]
        return lambda: BanditCombiner(4, 2, hidden, choices, exploration)

    def dqn(**more: float) -> Callable[[], Combiner]:
        settings = {"discount": 0.5, "capacity": 64, "target_every": 10} | more
        tries = Exploration(1.0, 0.1, 30, 2.0)
        return lambda: DQNCombiner(4, 2, 8, 21, tries, **settings)  # type: ignore[arg-type]

    for change in (
        *({"hidden": 9}, {"choices": 11}, {"first": 0.5}, {"final": 0.5}),
        *({"updates": 90}, {"miss_cost": 4.0}),
    ):
        assert moved(bandit(**change), bandit()), change  # type: ignore[arg-type]
    for change in ({"discount": 0.9}, {"capacity": 20}, {"target_every": 3}):
        assert moved(dqn(**change), dqn()), change
    mlp = [
        lambda d=d, h=h: PerceptronCombiner(4, 2, h, d) for h, d in ((8, 0.1), (8, 0.5), (9, 0.1))
    ]
    assert moved(mlp[1], mlp[0]) and moved(mlp[2], mlp[0])
    assert moved(lambda: GatedCombiner(4, 2, 9), lambda: GatedCombiner(4, 2, 8))


def test_a_sample_is_scored_by_a_combiner_that_never_saw_it() -> None:
    data = states(noise=2.0)
    fold = data.stretch % 3
    training = Training(learning_rate=0.02)

    def crossed(given: States) -> Tensor:
        make = lambda: PerceptronCombiner(4, 2, 8)  # noqa: E731
        return cross_fit(make, given, fold, training, 5, 16).score

    before = crossed(data)
    away = fold == 1
    flipped = States(
        data.state,
        torch.where(away, 1 - data.label, data.label),
        data.stretch,
        data.alarm,
        data.columns,
        data.experts,
    )
    after = crossed(flipped)
    assert after[away].equal(before[away])
    assert not after[~away].equal(before[~away])


def test_cross_fitting_leaves_the_random_state_alone_and_is_repeatable() -> None:
    data = states(60)
    make = lambda: agent_of(data)  # noqa: E731
    torch.manual_seed(4)
    first = cross_fit(make, data, data.stretch % 3, Training(), 2, 16)
    state = torch.get_rng_state()
    torch.manual_seed(4)
    assert torch.get_rng_state().equal(state)
    second = cross_fit(make, data, data.stretch % 3, Training(), 2, 16)
    assert first.score.equal(second.score) and first.threshold == second.threshold


def agent_of(data: States) -> Combiner:
    made: Combiner = makers(data.width, 2)["dqn"]()
    return made
