"""Losses over both modalities, and sums of losses, equal naive references."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.core.errors import ConfigError, DataError, UnknownNameError
from tutelage.losses import (
    CLIPLoss,
    CombinedLoss,
    CrossModalLoss,
    FeatureConsistencyLoss,
    FusionLoss,
    LinearProjection,
    MLPProjection,
    MultitaskLoss,
    RelationalDistillationLoss,
    SupervisedContrastiveLoss,
    UncertaintyWeightedLoss,
    VICRegLoss,
)
from tutelage.losses.multimodal.cross_modal import cyclic_inconsistency


def draw(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_cyclic_inconsistency_is_that_of_all_pairs_similarities() -> None:
    a, b = (F.normalize(draw(seed, 7, 3), dim=-1) for seed in (0, 1))
    s, of_a, of_b = a @ b.T, a @ a.T, b @ b.T
    expected = ((s - s.T).square().mean(), (of_a - of_b).square().mean())
    torch.testing.assert_close(cyclic_inconsistency(a, b), expected)
    loss, clip = CrossModalLoss(0.5, 2.0).double(), CLIPLoss().double()
    wanted = clip(a, b).loss + 0.5 * expected[0] + 2.0 * expected[1]
    torch.testing.assert_close(loss(a, b).loss, wanted)


def test_towers_that_are_the_same_are_consistent() -> None:
    a = F.normalize(draw(0, 50, 8).float(), dim=-1)
    assert all(abs(float(x)) < 1e-12 for x in cyclic_inconsistency(a, a))


def test_fusion_asks_of_each_item_about_its_pair_and_its_hardest_negative() -> None:
    a, b, ids = draw(0, 5, 3), draw(1, 5, 3), [0, 1, 0, 2, 3]
    loss = FusionLoss(3, hidden_dim=4).double()
    x, y = F.normalize(a, dim=-1), F.normalize(b, dim=-1)

    def asked(i: int, j: int) -> float:
        pair = torch.cat([x[i], y[j], x[i] * y[j], (x[i] - y[j]).abs()])
        return float(loss.matches(pair).detach())

    yes = [math.log1p(math.exp(-asked(i, i))) for i in range(5)]
    no = []
    for i in range(5):
        others = [j for j in range(5) if ids[j] != ids[i]]
        no.append(math.log1p(math.exp(asked(i, max(others, key=lambda j: float(x[i] @ y[j]))))))
        no.append(math.log1p(math.exp(asked(max(others, key=lambda j: float(x[j] @ y[i])), i))))
    expected = (sum(yes) / 5 + sum(no) / 10) / 2
    found = loss(a, b, ids=torch.tensor(ids))
    assert float(found.loss.detach()) == pytest.approx(expected, rel=1e-9)
    assert 0 <= float(found.metrics["matching_accuracy"]) <= 1


def test_fusion_needs_a_negative() -> None:
    with pytest.raises(DataError, match="all ids of a batch are equal"):
        FusionLoss(3).double()(draw(0, 4, 3), draw(1, 4, 3), ids=torch.zeros(4))


def test_consistency_is_the_squared_distance_and_a_target_has_no_gradient() -> None:
    a, b = draw(0, 5, 3).requires_grad_(), draw(1, 5, 3).requires_grad_()
    value = FeatureConsistencyLoss(detach_targets=True)(a, b).loss
    expected = (F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).square().sum(1).mean()
    torch.testing.assert_close(value, expected)
    value.backward()
    assert a.grad is not None and b.grad is None


def test_a_combination_is_the_weighted_sum_of_its_parts() -> None:
    a, b = draw(0, 6, 3), draw(1, 6, 3)
    options = {"clip": {"temperature": 0.2}}
    loss = CombinedLoss({"clip": 2.0, "vicreg": 0.1}, options=options).double()
    parts = CLIPLoss(0.2).double()(a, b).loss, VICRegLoss()(a, b).loss
    found = loss(a, b)
    torch.testing.assert_close(found.loss, 2 * parts[0] + 0.1 * parts[1])
    torch.testing.assert_close(found.metrics["clip"], parts[0].detach())
    assert "clip_temperature" in found.metrics
    assert [name for name, _ in loss.named_parameters()] == [
        "parts.clip.temperature.log_temperature.value"
    ]


def test_a_combination_refuses_what_is_no_loss_of_two_towers() -> None:
    with pytest.raises(ConfigError, match="'focal' is no loss of two towers"):
        CombinedLoss({"focal": 1.0})
    with pytest.raises(UnknownNameError, match="Did you mean 'vicreg'"):
        CombinedLoss({"vicregg": 1.0})
    with pytest.raises(ConfigError, match="no option 'temp'"):
        CombinedLoss({"clip": 1.0}, options={"clip": {"temp": 1}})


def test_static_weights_add_up_and_know_their_tasks() -> None:
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert float(MultitaskLoss({"a": 0.5, "b": 2.0})(losses).loss) == 7.0
    with pytest.raises(ConfigError, match=r"differ in \['b'\]"):
        MultitaskLoss({"a": 1.0})(losses)
    for wrong in ({}, {"a": -1.0}):
        with pytest.raises(ConfigError, match="of a sum of losses"):
            MultitaskLoss(wrong)


def test_learned_uncertainties_go_to_the_logarithms_of_the_losses() -> None:
    loss = UncertaintyWeightedLoss(["a", "b"])
    losses = {"a": torch.tensor(4.0), "b": torch.tensor(0.25)}
    assert float(loss(losses).loss.detach()) == pytest.approx((4 + 0.25) / 2)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss(losses).loss.backward()
        optimizer.step()
    found = [float(scalar().detach()) for scalar in loss.log_variances.values()]
    assert found == pytest.approx([math.log(4), math.log(0.25)], abs=1e-3)
    with pytest.raises(ConfigError, match="each once"):
        UncertaintyWeightedLoss(["a", "a"])


def test_a_combination_learns_its_weights_where_asked() -> None:
    loss = CombinedLoss({"clip": 1.0, "vicreg": 0.04}, weighting="uncertainty").double()
    a, b = draw(0, 6, 3), draw(1, 6, 3)
    found = loss(a, b)
    parts = float(found.metrics["clip"]) + float(found.metrics["vicreg"])
    assert float(found.loss.detach()) == pytest.approx(parts / 2)
    found.loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in loss.parameters())


def test_relations_are_distances_of_pairs_and_angles_of_triplets() -> None:
    student, teacher = draw(0, 5, 3), draw(1, 5, 4)

    def huber(x: float) -> float:
        return x * x / 2 if abs(x) < 1 else abs(x) - 0.5

    def relations(z: Tensor) -> tuple[list[float], list[float]]:
        n = len(z)
        d = [[float((z[i] - z[j]).norm()) for j in range(n)] for i in range(n)]
        middle = sum(map(sum, d)) / (n * (n - 1))
        angles = [
            float((z[i] - z[j]) @ (z[k] - z[j])) / (d[i][j] * d[k][j]) if i != j != k else 0.0
            for j in range(n)
            for i in range(n)
            for k in range(n)
        ]
        return [x / middle for row in d for x in row], angles

    ours, theirs = relations(student), relations(teacher)
    parts = [
        sum(huber(x - y) for x, y in zip(p, q, strict=True)) / len(p)
        for p, q in zip(ours, theirs, strict=True)
    ]
    found = RelationalDistillationLoss(0.5, 2.0)(student, teacher)
    assert float(found) == pytest.approx(0.5 * parts[0] + 2.0 * parts[1], rel=1e-9)


def test_a_student_that_is_its_teacher_turned_and_enlarged_has_the_same_relations() -> None:
    teacher = draw(0, 6, 3)
    turn, _ = torch.linalg.qr(draw(1, 3, 3))
    student = (5 * teacher @ turn + 2).requires_grad_()
    loss = RelationalDistillationLoss()(student, teacher)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
    assert student.grad is not None and student.grad.isfinite().all()
    with pytest.raises(DataError, match="no relations"):
        RelationalDistillationLoss()(teacher[:1], teacher[:1])


def test_projections_map_features_to_embeddings_item_by_item() -> None:
    x = draw(0, 6, 5).float()
    for projection in (LinearProjection(5, 3), MLPProjection(5, 3, hidden_dim=7, layers=3)):
        whole = projection(x)
        assert whole.shape == (6, 3)
        torch.testing.assert_close(torch.cat([projection(x[:2]), projection(x[2:])]), whole)
    with pytest.raises(ConfigError, match="perceptron of 1 layers"):
        MLPProjection(5, 3, layers=1)


def test_gradients_of_what_has_no_two_towers_are_those_of_finite_differences() -> None:
    z, teacher, labels = (
        draw(0, 5, 3).requires_grad_(),
        draw(1, 5, 4),
        torch.tensor([0, 1, 0, 1, 2]),
    )
    supervised = SupervisedContrastiveLoss(0.2, learn_temperature=True).double()
    (temperature,) = supervised.parameters()
    assert torch.autograd.gradcheck(lambda x, _: supervised(x, labels), (z, temperature))
    tiled = SupervisedContrastiveLoss(0.2, chunk_size=2).double()
    assert torch.autograd.gradcheck(lambda x: tiled(x, labels), (z,))
    relational = RelationalDistillationLoss()
    assert torch.autograd.gradcheck(lambda x: relational(x, teacher), (z,))
    uncertain = UncertaintyWeightedLoss(["a", "b"]).double()

    def weighed(x: Tensor, *_: Tensor) -> Tensor:
        return uncertain({"a": x.square().mean(), "b": x.exp().mean()}).loss

    assert torch.autograd.gradcheck(weighed, (z, *uncertain.parameters()))


def test_an_embedding_alone_in_its_class_is_no_anchor_and_still_a_negative() -> None:
    z = draw(0, 5, 3)
    alone, without = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1])
    loss = SupervisedContrastiveLoss(0.5).double()
    rows = F.normalize(z, dim=-1) @ F.normalize(z, dim=-1).T / loss.temperature().detach()
    rows.fill_diagonal_(-torch.inf)
    wanted = torch.stack([rows[i].logsumexp(0) - rows[i, i ^ 1] for i in range(4)]).mean()
    torch.testing.assert_close(loss(z, alone), wanted)
    assert not torch.isclose(loss(z[:4], without), wanted)
