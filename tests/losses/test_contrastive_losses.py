"""Losses of two towers equal naive references, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tutelage.losses import (
    CLIPLoss,
    DCLLoss,
    DecorrelationLoss,
    DynamicTemperatureLoss,
    EMAMoCoLoss,
    HardNegativeLoss,
    HybridLoss,
    MoCoLoss,
    SemiHardLoss,
    SigLIPLoss,
    SimCLRLoss,
    SupConLoss,
    VICRegLoss,
    get_loss,
)

T = 0.2


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosines(a: Tensor, b: Tensor) -> list[list[float]]:
    def unit(row: list[float]) -> list[float]:
        norm = math.sqrt(sum(x * x for x in row))
        return [x / norm for x in row]

    left, right = ([unit(row) for row in z.tolist()] for z in (a, b))
    return [[sum(x * y for x, y in zip(p, q, strict=True)) for q in right] for p in left]


def lse(values: list[float]) -> float:
    return math.log(sum(math.exp(v) for v in values))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def transposed(rows: list[list[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*rows, strict=True)]


def naive_clip(
    s: list[list[float]], positive: list[list[bool]], counted: list[list[bool]]
) -> float:
    """Both directions, over rows that have a positive; ``counted`` says what is in the sum."""
    total = 0.0
    for rows, wanted, kept in (
        (s, positive, counted),
        (transposed(s), transposed(positive), transposed(counted)),
    ):
        losses = [
            lse([x / T for x, k in zip(row, keep, strict=True) if k])
            - mean([x / T for x, p in zip(row, want, strict=True) if p])
            for row, want, keep in zip(rows, wanted, kept, strict=True)
            if any(want)
        ]
        total += mean(losses) / 2
    return total


IDS_A, IDS_B = [0, 1, 2, 0, 5], [0, 2, 1, 1, 0, 7]
SAME = [[i == j for j in IDS_B] for i in IDS_A]
ALL = [[True] * len(IDS_B) for _ in IDS_A]


def test_clip_with_ids_averages_over_positives_and_leaves_out_items_without_one() -> None:
    a, b = draw(0, 5, 3), draw(1, 6, 3)
    found = CLIPLoss(T)(a, b, ids=torch.tensor(IDS_A), ids_b=torch.tensor(IDS_B)).loss
    assert float(found.detach()) == pytest.approx(naive_clip(cosines(a, b), SAME, ALL), rel=1e-9)


def test_clip_that_ignores_same_ids_takes_them_out_of_the_negatives() -> None:
    a, b = draw(0, 5, 3), draw(1, 5, 3)
    own = [[i == j for j in range(5)] for i in range(5)]
    kept = [[i == j or IDS_A[i] != IDS_A[j] for j in range(5)] for i in range(5)]
    loss = CLIPLoss(T, same_id="ignored")
    found = loss(a, b, ids=torch.tensor(IDS_A)).loss
    assert float(found.detach()) == pytest.approx(naive_clip(cosines(a, b), own, kept), rel=1e-9)


def test_clip_on_soft_targets_is_their_cross_entropy_both_ways() -> None:
    a, b, targets = draw(0, 4, 3), draw(1, 5, 3), torch.rand(4, 5)
    targets[2] = 0
    logits = torch.tensor(cosines(a, b)) / T
    total = 0.0
    for rows, wanted in ((logits, targets), (logits.T, targets.T)):
        losses = [
            sum(float(w) * (lse(r.tolist()) - float(x)) for w, x in zip(want, r, strict=True))
            / float(want.sum())
            for r, want in zip(rows, wanted, strict=True)
            if want.sum() > 0
        ]
        total += mean(losses) / 2
    found = CLIPLoss(T)(a, b, targets=targets).loss
    assert float(found.detach()) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_hard_targets_are_ids(name: str) -> None:
    a, b, ids = draw(0, 5, 3), draw(1, 5, 3), torch.tensor(IDS_A)
    targets = (ids[:, None] == ids).to(a.dtype)
    loss = get_loss(name)
    torch.testing.assert_close(loss(a, b, targets=targets).loss, loss(a, b, ids=ids).loss)


@pytest.mark.parametrize("ignored", [False, True])
def test_siglip_is_a_sum_of_binary_questions(ignored: bool) -> None:
    a, b, bias = draw(0, 5, 3), draw(1, 5, 3), -1.5
    total = 0.0
    for i, row in enumerate(cosines(a, b)):
        for j, x in enumerate(row):
            same = IDS_A[i] == IDS_A[j]
            if ignored and same and i != j:
                continue
            sign = 1 if same else -1
            total += math.log1p(math.exp(-sign * (x / T + bias)))
    loss = SigLIPLoss(T, bias=bias, same_id="ignored" if ignored else "positive")
    found = loss(a, b, ids=torch.tensor(IDS_A)).loss
    assert float(found.detach()) == pytest.approx(total / 5, rel=1e-9)


def naive_views(s: list[list[float]], ids: list[int], left_out: set[tuple[int, int]]) -> float:
    """The mean over views of lse over the others less the mean positive."""
    n, losses = len(s), []
    for i in range(n):
        positives = [s[i][k] / T for k in range(n) if k != i and ids[k] == ids[i]]
        others = [s[i][k] / T for k in range(n) if k != i and (i, k) not in left_out]
        if positives and others:
            losses.append(lse(others) - mean(positives))
    return mean(losses)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(0, 3), min_size=2, max_size=7))
def test_losses_over_views_equal_the_naive_reference(seed: int, ids: list[int]) -> None:
    n = len(ids)
    a, b = draw(seed, n, 3), draw(seed + 1, n, 3)
    s, twice, pairs = cosines(*(torch.cat([a, b]),) * 2), ids * 2, [*range(n)] * 2
    same = {(i, k) for i in range(2 * n) for k in range(2 * n) if twice[i] == twice[k]}
    strangers = {(i, k) for i, k in same if pairs[i] != pairs[k]}
    given = torch.tensor(ids)
    for loss, naive_ids, left_out in (
        (SimCLRLoss(T), twice, set[tuple[int, int]]()),
        (SupConLoss("all", T), twice, set[tuple[int, int]]()),
        (SimCLRLoss(T, same_id="ignored"), pairs, strangers),
        (DCLLoss(T), twice, same),
    ):
        if loss.__class__ is DCLLoss and len(set(ids)) == 1:
            assert float(loss(a, b, ids=given).loss) == 0  # nothing is a negative
            continue
        expected = naive_views(s, naive_ids, left_out)
        assert float(loss(a, b, ids=given).loss) == pytest.approx(expected, rel=1e-9)


def test_items_with_a_label_in_common_are_positives() -> None:
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    a, b = draw(0, 4, 3), draw(1, 4, 3)
    same = ((labels @ labels.T) > 0).tolist()
    everything = [[True] * 4 for _ in range(4)]
    expected = naive_clip(cosines(a, b), same, everything)
    for loss in (CLIPLoss(T), SupConLoss("cross", T)):
        assert float(loss(a, b, ids=labels).loss.detach()) == pytest.approx(expected, rel=1e-9)
    twice = torch.cat([labels, labels])
    s = cosines(*(torch.cat([a, b]),) * 2)
    losses = []
    for i in range(8):
        found = [s[i][k] / T for k in range(8) if k != i and bool((twice[i] & twice[k]).any())]
        losses.append(lse([s[i][k] / T for k in range(8) if k != i]) - mean(found))
    value = SupConLoss("all", T)(a, b, ids=labels).loss
    assert float(value) == pytest.approx(mean(losses), rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_hard_negatives_are_weighted_by_their_similarity(beta: float) -> None:
    a, b = draw(0, 5, 3), draw(1, 6, 3)
    total = 0.0
    for rows, same in ((cosines(a, b), SAME), (transposed(cosines(a, b)), transposed(SAME))):
        losses = []
        for row, positive in zip(rows, same, strict=True):
            if not any(positive):
                continue
            attract = mean([x / T for x, p in zip(row, positive, strict=True) if p])
            negatives = [x / T for x, p in zip(row, positive, strict=True) if not p]
            weights = [math.exp(beta * x) for x in negatives]
            mass = sum(w * math.exp(x) for w, x in zip(weights, negatives, strict=True))
            mass *= len(negatives) / sum(weights)
            losses.append(-math.log(math.exp(attract) / (math.exp(attract) + mass)))
        total += mean(losses) / 2
    loss = HardNegativeLoss(beta, T)
    found = loss(a, b, ids=torch.tensor(IDS_A), ids_b=torch.tensor(IDS_B)).loss
    assert float(found.detach()) == pytest.approx(total, rel=1e-9)


def test_without_hardness_hard_negatives_are_clip() -> None:
    a, b = draw(0, 6, 3), draw(1, 6, 3)
    torch.testing.assert_close(HardNegativeLoss(0.0, T)(a, b).loss, CLIPLoss(T)(a, b).loss)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(0.05, 1.5))
def test_semi_hard_triplets_equal_the_naive_reference(seed: int, margin: float) -> None:
    a, b = draw(seed, 5, 3), draw(seed + 1, 6, 3)
    total = 0.0
    for rows, same in ((cosines(a, b), SAME), (transposed(cosines(a, b)), transposed(SAME))):
        losses = []
        for row, positive in zip(rows, same, strict=True):
            if not any(positive):
                continue
            distances = [2 - 2 * x for x in row]
            far = max(d for d, p in zip(distances, positive, strict=True) if p)
            negatives = [d for d, p in zip(distances, positive, strict=True) if not p]
            beyond = [d for d in negatives if d > far]
            losses.append(max(0.0, margin + far - (min(beyond) if beyond else max(negatives))))
        total += mean(losses) / 2
    ids = {"ids": torch.tensor(IDS_A), "ids_b": torch.tensor(IDS_B)}
    assert float(SemiHardLoss(margin)(a, b, **ids).loss) == pytest.approx(total, abs=1e-9)


def test_the_dynamic_temperature_swings_in_training_alone_and_is_resumed() -> None:
    a, b = draw(0, 5, 3), draw(1, 5, 3)
    loss = DynamicTemperatureLoss(0.1, 0.5, period=8)
    seen = [float(loss(a, b).metrics["temperature"]) for _ in range(5)]
    expected = [0.1 + 0.4 * (1 + math.cos(2 * math.pi * t / 8)) / 2 for t in range(5)]
    assert seen == pytest.approx(expected)
    resumed = DynamicTemperatureLoss(0.1, 0.5, period=8)
    resumed.load_state_dict(loss.state_dict())
    found = resumed.eval()(a, b)
    assert float(found.metrics["temperature"]) == pytest.approx(
        0.1 + 0.4 * (1 + math.cos(2 * math.pi * 5 / 8)) / 2
    )
    assert torch.equal(resumed(a, b).loss, found.loss)  # evaluation is no step
    temperature = float(found.metrics["temperature"])
    torch.testing.assert_close(found.loss, CLIPLoss(temperature)(a, b).loss.detach())


def test_decorrelation_equals_the_naive_reference() -> None:
    a, b, n, d = draw(0, 6, 3), draw(1, 6, 3), 6, 3
    views = []
    for z in (a.tolist(), b.tolist()):
        columns = []
        for column in zip(*z, strict=True):
            middle = mean(list(column))
            spread = math.sqrt(mean([(x - middle) ** 2 for x in column]) + 1e-5)
            columns.append([(x - middle) / spread for x in column])
        views.append(columns)
    total = sum((views[0][k][i] - views[1][k][i]) ** 2 for k in range(d) for i in range(n)) / n
    for columns in views:
        for k in range(d):
            for m in range(d):
                if k != m:
                    product = mean([x * y for x, y in zip(columns[k], columns[m], strict=True)])
                    total += 0.3 * product**2
    assert float(DecorrelationLoss(0.3)(a, b).loss) == pytest.approx(total, rel=1e-9)


def test_moco_queues_what_it_saw_and_never_counts_a_querys_own_id() -> None:
    loss = MoCoLoss(3, queue_size=4, temperature=T, learn_temperature=False)
    first, second = draw(0, 2, 3, 3), draw(1, 2, 2, 3)
    first_ids, ids = torch.tensor([0, 1, 2]), torch.tensor([1, 5])
    loss(*first, ids=first_ids)
    found = float(loss(*second, ids=ids).loss)
    total = 0.0
    for (queries, keys), past in ((second, first[1]), (second.flip(0), first[0])):
        now, before = cosines(queries, keys), cosines(queries, past)
        for i, row in enumerate(now):
            logits = [x / T for x in row]
            logits += [x / T for x, k in zip(before[i], first_ids, strict=True) if k != ids[i]]
            total += (lse(logits) - row[i] / T) / 4
    assert found == pytest.approx(total, rel=1e-9)
    assert loss.queues.queue_a.ids.tolist() == [5, 1, 2, 1]  # the oldest made room
    assert int(loss.queues.queue_a.count) == 5
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.eval()(*second, ids=ids)
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_momentum_moves_the_key_projections_slowly_and_keys_have_no_gradient() -> None:
    loss = EMAMoCoLoss(3, projection_dim=2, momentum=0.9, queue_size=4)
    start = loss.project_a.weight.detach().clone()
    assert torch.equal(loss.slow_a.copy.weight, start)
    with torch.no_grad():
        loss.project_a.weight.add_(1.0)
    loss(draw(0, 4, 3), draw(1, 4, 3)).loss.backward()
    torch.testing.assert_close(loss.slow_a.copy.weight, start + 0.1)
    assert loss.slow_a.copy.weight.grad is None and loss.project_a.weight.grad is not None
    trained = {name for name, p in loss.named_parameters() if p.requires_grad}
    assert trained == {
        "temperature.log_temperature.value", "project_a.weight", "project_b.weight",
    }  # fmt: skip


def test_hybrid_hands_over_from_the_first_loss_to_vicreg() -> None:
    a, b = draw(0, 6, 3), draw(1, 6, 3)
    loss = HybridLoss("clip", pretrain_steps=2, ramp_steps=3)
    clip, vicreg = CLIPLoss()(a, b).loss, VICRegLoss()(a, b).loss
    for weight in (0, 0, 0.25, 0.5, 0.75, 1, 1):
        torch.testing.assert_close(loss(a, b).loss, (1 - weight) * clip + weight * vicreg)
    resumed = HybridLoss("clip", pretrain_steps=2, ramp_steps=3)
    resumed.load_state_dict(loss.state_dict())
    assert float(resumed.weight()) == 1
