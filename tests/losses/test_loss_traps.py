"""Slips that others made with their losses: each refused, warned of, or out of reach."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError, DataError, UnknownNameError
from tutelage.losses import (
    LOSSES,
    BarlowTwinsLoss,
    BaseContrastiveLoss,
    CLIPLoss,
    DecorrelationLoss,
    LossEntry,
    Pairing,
    SupConLoss,
    Temperature,
    VICRegLoss,
    check_ids,
    get_loss,
    positive_mask,
)
from tutelage.losses.registry import register_loss

TWO_TOWERS = sorted(
    {entry.name for entry in map(LOSSES.get, LOSSES) if issubclass(entry.loss, BaseContrastiveLoss)}
)

IN_TILES = [(name, 2) for name in TWO_TOWERS if "chunk_size" in LOSSES.get(name).options]


def draw(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def made(name: str) -> BaseContrastiveLoss:
    options = {"embedding_dim": 4} if "embedding_dim" in LOSSES.get(name).options else {}
    loss = get_loss(name, **options)
    assert isinstance(loss, BaseContrastiveLoss)
    return loss.double()


def orthogonal(n: int, d: int) -> Tensor:
    """(N, d) features with mean zero, variance one and no covariance."""
    columns = torch.cat([torch.ones(n, 1, dtype=torch.float64), draw(0, n, d)], dim=1)
    q, _ = torch.linalg.qr(columns)
    return q[:, 1:] * (n - 1) ** 0.5


@pytest.mark.parametrize("name", [n for n in TWO_TOWERS if n != "dclw"])  # its weights have none
def test_gradients_of_embeddings_and_parameters_are_those_of_finite_differences(name: str) -> None:
    loss, ids = made(name).eval(), torch.tensor([0, 1, 0, 2, 3])
    a, b = draw(1, 5, 4).requires_grad_(), draw(2, 5, 4).requires_grad_()
    parameters = [p for p in loss.parameters() if p.requires_grad]
    if "moco" in name:  # its keys have no gradient: they stay as they are
        keys = (torch.nn.functional.normalize(draw(3, 5, 4), dim=-1),) * 2
        loss.queues = type(loss.queues)(4, 8, True, None).double()
        loss.queues.queue_a.push(draw(4, 3, 4), None)
        loss.queues.queue_b.push(draw(5, 3, 4), None)
        loss.queues.eval()
        pairing = Pairing(5, 5, ids, ids)

        def value(a: Tensor, b: Tensor, *_: Tensor) -> Tensor:
            return loss.queues((a, b), keys, loss.temperature(), pairing)

        parameters = [p for p in parameters if p.ndim == 0]
    else:

        def value(a: Tensor, b: Tensor, *_: Tensor) -> Tensor:
            return loss(a, b, ids=ids).loss

    assert torch.autograd.gradcheck(value, (a, b, *parameters))


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_whatever_a_loss_learns_is_optimised_and_checkpointed(name: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = nn.Linear(3, 4).double()
            self.loss = made(name)

    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, ids = draw(1, 6, 3), torch.tensor([0, 1, 2, 3, 4, 4])
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    for _ in range(2):
        optimizer.zero_grad()
        output = model.loss(model.tower(x), model.tower(x + 0.3 * draw(2, 6, 3)), ids=ids)
        output.loss.backward()
        optimizer.step()
    assert output.loss.isfinite() and output.loss.ndim == 0
    assert not any(value.requires_grad for value in output.metrics.values())
    after = dict(model.named_parameters())
    still = [n for n, p in before.items() if torch.equal(p, after[n]) and "bias" not in n]
    assert not still
    assert set(before) <= set(model.state_dict())
    other = Model()
    other.load_state_dict(model.state_dict())
    model.eval(), other.eval()
    again = [m.loss(x @ x.T[:, :4], x @ x.T[:, 2:], ids=ids).loss for m in (model, other)]
    assert torch.equal(*again)


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_a_loss_draws_nothing_at_random_and_minds_no_order(name: str) -> None:
    loss = made(name).eval()
    a, b, ids = draw(1, 6, 4), draw(2, 6, 4), torch.tensor([0, 1, 2, 0, 1, 3])
    state = torch.get_rng_state()
    first = loss(a, b, ids=ids).loss
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    torch.testing.assert_close(loss(a[order], b[order], ids=ids[order]).loss, first)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_half_precision_embeddings_are_compared_in_float32(name: str) -> None:
    loss = made(name).float().eval()
    a, b = draw(1, 6, 4).bfloat16(), draw(2, 6, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(a, b).loss
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(a.float(), b.float()).loss)


@pytest.mark.parametrize(("name", "chunk_size"), [(n, None) for n in TWO_TOWERS] + IN_TILES)
def test_odd_batches_leave_loss_and_gradients_finite(name: str, chunk_size: int | None) -> None:
    options = {} if chunk_size is None else {"chunk_size": chunk_size}
    if "embedding_dim" in LOSSES.get(name).options:
        options["embedding_dim"] = 4
    equal, apart = torch.zeros(5, dtype=torch.long), torch.arange(5)
    nowhere, same = draw(1, 5, 4).float(), draw(2, 5, 4).float()
    nowhere[0], same[:] = 0, same[0].clone()
    for a, ids in ((nowhere, None), (same, apart), (draw(3, 5, 4).float(), equal)):
        if name == "fusion" and ids is equal:
            continue  # refused: see its own test
        loss = get_loss(name, **options)
        left, right = a.clone().requires_grad_(), draw(4, 5, 4).float().requires_grad_()
        for _ in range(2):
            value = loss(left, right, ids=ids).loss
        gradients = torch.autograd.grad(value, (left, right), allow_unused=True)
        assert value.isfinite()
        assert all(g is None or (g.isfinite().all() and g.abs().max() < 1e4) for g in gradients)


def test_a_temperature_stays_within_bounds_however_far_it_is_driven_and_comes_back() -> None:
    temperature = Temperature(0.07, minimum=0.01, maximum=1.0)
    optimizer = torch.optim.Adam(temperature.parameters(), lr=0.5)

    def drive(sign: float, steps: int) -> float:
        for _ in range(steps):
            optimizer.zero_grad()
            (sign * temperature()).backward()
            optimizer.step()
        return float(temperature().detach())

    assert drive(1.0, 100) == pytest.approx(0.01)
    assert drive(-1.0, 100) == pytest.approx(1.0)
    assert drive(1.0, 100) == pytest.approx(0.01)
    with pytest.raises(ConfigError, match="temperature of 2"):
        Temperature(2.0)
    with pytest.raises(ConfigError, match="temperature of -1.6"):
        get_loss("clip", temperature=-1.6)


def test_a_temperature_that_is_fixed_is_saved_and_not_trained() -> None:
    fixed = Temperature(0.2, learnable=False)
    assert not [p for p in fixed.parameters() if p.requires_grad]
    other = Temperature(0.5, learnable=False)
    other.load_state_dict(fixed.state_dict())
    assert float(other()) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("loss", "floor"),
    [(BarlowTwinsLoss(), 1e-8), (VICRegLoss(epsilon=1e-4), 1e-12), (DecorrelationLoss(), 1e-8)],
)
def test_the_optimum_is_zero_where_views_agree_and_features_say_different_things(
    loss: BaseContrastiveLoss, floor: float
) -> None:
    z = orthogonal(64, 8)
    assert 0 <= float(loss(z, z).loss) < floor
    assert float(loss(z, z @ z[:8]).loss) > 0.1


def test_clip_goes_to_zero_as_pairs_agree_and_all_else_is_orthogonal() -> None:
    z = torch.eye(16, dtype=torch.float64)
    assert float(CLIPLoss(0.01)(z, z).loss.detach()) < 1e-12
    assert float(get_loss("siglip", temperature=0.01, bias=-50.0)(z, z).loss.detach()) < 1e-12


def test_barlow_twins_standardises_features_over_the_batch_and_not_items() -> None:
    z = orthogonal(64, 8)
    by_row = (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True)
    wrong = by_row.T @ by_row / 64
    assert float((wrong.diagonal() - 1).square().sum()) > 1e-3  # the slip's optimum isn't zero
    torch.testing.assert_close(BarlowTwinsLoss()(5 * z + 3, z).loss, BarlowTwinsLoss()(z, z).loss)


def test_a_typo_is_no_simclr_and_no_option_is_swallowed() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'nt_xent'"):
        get_loss("nt_xnet")
    with pytest.raises(ConfigError, match="no option 'temprature'.*\n.*'temperature'"):
        get_loss("clip", temprature=0.1)
    with pytest.raises(ConfigError, match="'moco' needs 'embedding_dim'"):
        get_loss("moco")
    with pytest.raises(ConfigError, match="'simclr' is registered twice"):
        register_loss("new", aliases=("simclr",))(CLIPLoss)
    assert "new" not in LOSSES  # all of its names, or none


def test_a_loss_without_options_has_none() -> None:
    class Plain(nn.Module):
        """Nothing."""

    assert LossEntry("plain", Plain, "0", "https://example.org").options == {}


def test_an_alias_names_the_same_loss() -> None:
    assert LOSSES.get("simclr") is LOSSES.get("nt_xent")
    assert type(get_loss("simclr")) is type(get_loss("nt_xent"))


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_says_what_it_computes_and_where_it_comes_from(name: str) -> None:
    entry = LOSSES.get(name)
    assert entry.formula and entry.paper.startswith("https://")
    assert entry.summary.endswith(".") or "(" in entry.summary
    assert all(p.kind != inspect.Parameter.VAR_KEYWORD for p in signature(entry.loss))


def signature(loss: type[nn.Module]) -> list[inspect.Parameter]:
    return list(inspect.signature(loss.__init__).parameters.values())


def test_ids_that_teach_nothing_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert check_ids(torch.tensor([1, 1, 2])) is None
        assert check_ids(torch.tensor([[1, 0], [1, 0], [0, 1]])) is None
    assert not caplog.records
    assert "all 3 titles are equal" in str(check_ids(torch.tensor([4, 4, 4]), "titles"))
    assert "no two of 3 ids are equal" in str(check_ids(torch.tensor([1, 2, 3])))
    assert len(caplog.records) == 2


def test_a_loss_warns_once_of_a_batch_without_negatives(caplog: pytest.LogCaptureFixture) -> None:
    loss, equal = CLIPLoss().double(), torch.zeros(4, dtype=torch.long)
    for _ in range(2):
        loss(draw(0, 4, 3), draw(1, 4, 3), ids=equal)
    assert [r.getMessage() for r in caplog.records] == [
        "all 4 ids of the first batch are equal: nothing is a negative of anything."
    ]


def test_supcon_warns_of_ids_that_are_all_different(caplog: pytest.LogCaptureFixture) -> None:
    a, b, different = draw(0, 4, 3), draw(1, 4, 3), torch.arange(4)
    SupConLoss()(a, b, ids=different)
    assert "no two of 4 ids of the first batch are equal" in caplog.text
    caplog.clear()
    CLIPLoss().double()(a, b, ids=different)  # for CLIP such a batch is what it should be
    assert not caplog.records
    with pytest.raises(DataError, match="within towers has no positives"):
        SupConLoss("intra")(a, b)


def test_ids_mean_the_same_to_everyone() -> None:
    left, right = torch.tensor([0, 1, 1]), torch.tensor([1, 0])
    assert positive_mask(left, right).tolist() == [[False, True], [True, False], [True, False]]
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]])
    assert positive_mask(labels, labels).tolist() == [[True, False], [False, True]]
    with pytest.raises(DataError, match="do not compare"):
        positive_mask(left, labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": (5, 3)}, "4 and 5 embeddings without ids"),
        ({"b": (4, 2)}, r"shapes \(4, 3\) and \(4, 2\) do not compare"),
        ({"a": (0, 3), "b": (0, 3)}, "a batch without embeddings"),
        ({"ids": 3}, "3 and 3 ids for 4 and 4"),
        ({"ids_b": 4}, "ids_b is given without ids"),
        ({"targets": (4, 3)}, r"soft targets of shape \(4, 3\) for 4 and 4"),
        ({"targets": (4, 4), "ids": 4}, "both ids and soft targets"),
    ],
)
def test_a_batch_whose_shapes_do_not_fit_is_refused(
    arguments: dict[str, tuple[int, ...] | int], message: str
) -> None:
    shapes = {"a": (4, 3), "b": (4, 3)} | arguments
    a, b = torch.ones(shapes.pop("a")), torch.ones(shapes.pop("b"))
    options = {
        key: torch.ones(shape) if key == "targets" else torch.arange(shape)
        for key, shape in shapes.items()
    }
    with pytest.raises(DataError, match=message):
        CLIPLoss()(a, b, **options)


def test_losses_of_statistics_refuse_what_has_none() -> None:
    for loss in (VICRegLoss(), BarlowTwinsLoss(), DecorrelationLoss()):
        with pytest.raises(DataError, match="one pair has no variance"):
            loss(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ConfigError, match="VICRegLoss takes no soft targets"):
        VICRegLoss()(torch.ones(2, 3), torch.ones(2, 3), targets=torch.ones(2, 2))


def test_nothing_of_ours_imports_torchvision() -> None:
    source = Path(inspect.getfile(CLIPLoss)).parents[2]
    files = list(source.rglob("*.py"))
    assert len(files) > 100
    assert not [f for f in files if "import torchvision" in f.read_text(encoding="utf-8")]


def test_the_documentation_names_every_loss() -> None:
    page = Path(__file__).parents[2] / "docs" / "losses.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in LOSSES if f"`{name}`" not in text] == []
