"""Values and gradients are those of lightly, pytorch-metric-learning and open_clip, to 1e-6."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import loss_peers
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses import (
    BarlowTwinsLoss,
    CLIPLoss,
    DCLLoss,
    DCLWLoss,
    FeatureConsistencyLoss,
    MoCoLoss,
    SigLIPLoss,
    SimCLRLoss,
    SupConLoss,
    SupervisedContrastiveLoss,
    VICRegLoss,
)

Peer = Callable[[Tensor, Tensor], Tensor]
LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3, 0, 0, 1, 2])


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Parameters in float64, so that they are not rounded before they are compared."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def lightly() -> Any:
    pytest.importorskip("lightly", reason="the peers are not installed", exc_type=ImportError)
    return loss_peers.lightly_loss()


@pytest.fixture(scope="module")
def metric_learning() -> Any:
    pytest.importorskip("pytorch_metric_learning", reason="the peers are not installed")
    return loss_peers.metric_learning_losses()


@pytest.fixture(scope="module")
def open_clip() -> Any:
    try:
        return loss_peers.open_clip_loss()
    except ImportError:
        pytest.skip("the peers are not installed")


def embeddings() -> tuple[Tensor, Tensor]:
    """The 16 x 8 embeddings of the reference values."""
    state = np.random.RandomState(0)
    a, b = (torch.from_numpy(state.randn(16, 8)).requires_grad_() for _ in range(2))
    return a, b


def both(ours: Peer, theirs: Peer) -> float:
    """Assert that values and gradients are equal; return the value."""
    a, b = embeddings()
    found, wanted = ours(a, b), theirs(a, b)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), abs=1e-6)
    for mine, other in zip(
        torch.autograd.grad(found, (a, b)), torch.autograd.grad(wanted, (a, b)), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)
    return float(found.detach())


def test_clip_equals_open_clip_and_so_does_its_temperature(open_clip: Any) -> None:
    ours, theirs = CLIPLoss(0.07), open_clip.ClipLoss()
    scale = torch.tensor(1 / 0.07, requires_grad=True)

    def peer(a: Tensor, b: Tensor) -> Tensor:
        return theirs(F.normalize(a, dim=-1), F.normalize(b, dim=-1), scale)

    assert both(lambda a, b: ours(a, b).loss, peer) == pytest.approx(8.126605877, abs=1e-6)
    log_temperature = ours.get_parameter("temperature.log_temperature.value")
    (mine,) = torch.autograd.grad(ours(*embeddings()).loss, log_temperature)
    (other,) = torch.autograd.grad(peer(*embeddings()), scale)
    assert float(mine) == pytest.approx(float(-other * scale.detach()), rel=1e-6)


def test_siglip_equals_open_clip_with_its_temperature_and_bias(open_clip: Any) -> None:
    ours, theirs = SigLIPLoss(0.1, bias=-10.0), open_clip.SigLipLoss()
    scale, bias = torch.tensor(10.0, requires_grad=True), torch.tensor(-10.0, requires_grad=True)

    def peer(a: Tensor, b: Tensor) -> Tensor:
        return theirs(F.normalize(a, dim=-1), F.normalize(b, dim=-1), scale, bias)

    assert both(lambda a, b: ours(a, b).loss, peer) == pytest.approx(9.938073654, abs=1e-6)
    parameters = (ours.get_parameter("temperature.log_temperature.value"), ours.bias.value)
    mine = torch.autograd.grad(ours(*embeddings()).loss, parameters)
    others = torch.autograd.grad(peer(*embeddings()), (scale, bias))
    assert float(mine[0]) == pytest.approx(float(-others[0] * 10), rel=1e-6)
    assert float(mine[1]) == pytest.approx(float(others[1]), rel=1e-6)


def test_nt_xent_equals_lightly_and_metric_learning(lightly: Any, metric_learning: Any) -> None:
    ours = SimCLRLoss(0.07)
    found = both(lambda a, b: ours(a, b).loss, lightly.NTXentLoss(temperature=0.07))
    peer = metric_learning.SelfSupervisedLoss(metric_learning.NTXentLoss(temperature=0.07))
    both(lambda a, b: ours(a, b).loss, peer)
    assert found == pytest.approx(10.103266495, abs=1e-6)


def test_dcl_equals_lightly(lightly: Any) -> None:
    found = both(lambda a, b: DCLLoss(0.07)(a, b).loss, lightly.DCLLoss(temperature=0.07))
    assert found == pytest.approx(10.102333339, abs=1e-6)


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_dclw_equals_lightly(lightly: Any) -> None:
    both(lambda a, b: DCLWLoss(0.1, 0.5)(a, b).loss, lightly.DCLWLoss(0.1, 0.5))


def test_supcon_over_all_views_equals_metric_learning(metric_learning: Any) -> None:
    theirs = metric_learning.SupConLoss(temperature=0.07)

    def peer(a: Tensor, b: Tensor) -> Tensor:
        return theirs(torch.cat([a, b]), torch.cat([LABELS, LABELS]))

    both(lambda a, b: SupConLoss("all", 0.07)(a, b, ids=LABELS).loss, peer)
    ours = SupervisedContrastiveLoss(0.07)
    both(lambda a, b: ours(torch.cat([a, b]), torch.cat([LABELS, LABELS])), peer)


def test_supcon_has_the_reference_value_of_the_field() -> None:
    state = np.random.RandomState(0)
    a, b = (torch.from_numpy(state.randn(16, 8)) for _ in range(2))
    ids = torch.from_numpy(state.randint(0, 4, 16))
    value = SupConLoss("all", 0.07)(a, b, ids=ids).loss
    assert float(value.detach()) == pytest.approx(10.825005563, abs=1e-6)


def test_supcon_within_and_across_towers_equals_metric_learning(metric_learning: Any) -> None:
    theirs = metric_learning.SupConLoss(temperature=0.07)

    def within(a: Tensor, b: Tensor) -> Tensor:
        return (theirs(a, LABELS) + theirs(b, LABELS)) / 2

    def across(a: Tensor, b: Tensor) -> Tensor:
        others = LABELS.clone()  # the same object would mean the same embeddings
        forth = theirs(a, LABELS, ref_emb=b, ref_labels=others)
        return (forth + theirs(b, LABELS, ref_emb=a, ref_labels=others)) / 2

    both(lambda a, b: SupConLoss("intra", 0.07)(a, b, ids=LABELS).loss, within)
    both(lambda a, b: SupConLoss("cross", 0.07)(a, b, ids=LABELS).loss, across)
    both(lambda a, b: CLIPLoss(0.07)(a, b, ids=LABELS).loss, across)


def test_vicreg_equals_lightly_and_metric_learning(lightly: Any, metric_learning: Any) -> None:
    found = both(lambda a, b: VICRegLoss()(a, b).loss, lightly.VICRegLoss())
    theirs = metric_learning.VICRegLoss()
    both(lambda a, b: VICRegLoss()(a, b).loss, lambda a, b: theirs(a, ref_emb=b))
    assert found == pytest.approx(49.895435097, abs=1e-6)


def test_barlow_twins_equals_lightly(lightly: Any) -> None:
    found = both(lambda a, b: BarlowTwinsLoss()(a, b).loss, lightly.BarlowTwinsLoss())
    assert found == pytest.approx(7.970086075, abs=1e-6)


def test_moco_equals_lightlys_memory_bank_in_each_direction(lightly: Any) -> None:
    ours = MoCoLoss(8, queue_size=32, temperature=0.1, in_batch_negatives=False)
    past = [F.normalize(torch.from_numpy(np.random.RandomState(s).randn(32, 8))) for s in (1, 2)]
    for queue, keys in zip((ours.queues.queue_a, ours.queues.queue_b), past, strict=True):
        queue.push(keys, None)
    ours.eval()
    peers = []
    for keys in past:
        peer = lightly.NTXentLoss(temperature=0.1, memory_bank_size=(32, 8))
        peer.memory_bank.bank = keys.clone()
        peer.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.long)
        peers.append(peer)

    def theirs(a: Tensor, b: Tensor) -> Tensor:
        return (peers[1](a, b.detach()) + peers[0](b, a.detach())) / 2

    both(lambda a, b: ours(a, b).loss, theirs)


def test_feature_consistency_is_lightlys_negative_cosine_from_zero(lightly: Any) -> None:
    theirs = lightly.NegativeCosineSimilarity()
    both(lambda a, b: FeatureConsistencyLoss()(a, b).loss, lambda a, b: 2 + 2 * theirs(a, b))
