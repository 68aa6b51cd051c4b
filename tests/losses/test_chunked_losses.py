"""Normalisers made tile by tile equal those of the whole matrix, in value and in gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.losses import functional, get_loss
from tutelage.losses.tiles import Exclusion, tile_side


def draw(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def groups(seed: int, n: int, kinds: int) -> Tensor:
    return torch.randint(0, kinds, (n,), generator=torch.Generator().manual_seed(seed))


def by_id(n: int, m: int) -> Exclusion:
    """Same-id entries but the diagonal, of ids that no row is without a negative for."""
    return Exclusion(groups(5, n, 4), groups(6, m, 4), torch.arange(n), torch.arange(m))


def cross(chunk_size: int | None, excluded: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        exclusion = by_id(len(a), len(b)) if excluded else None
        rows, columns = functional.cross_logsumexp(a, b, exclusion, chunk_size)
        return (rows * draw(8, len(a))).sum() + (columns.sin() * draw(9, len(b))).sum()

    return loss


def alone(chunk_size: int | None, excluded: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        z = torch.cat([a, b])
        index = torch.arange(len(z)) % len(a)
        exclusion = Exclusion(index, index) if excluded else None
        return (functional.self_logsumexp(z, exclusion, chunk_size) * draw(8, len(z))).sum()

    return loss


def softplus(chunk_size: int | None, excluded: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        exclusion = by_id(len(a), len(b)) if excluded else None
        return functional.softplus_sum(a, b, a.mean(), exclusion, chunk_size)

    return loss


KINDS = [cross, alone, softplus]
# Logits of about 1; of 80, which float32 shifts; of 4,000, where sums vanish in float64 as well.
SCALES = [0.3, 3.0, 22.0]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("excluded", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_tiles_equal_the_whole_in_value_and_gradient(
    kind: Callable[[int | None, bool], Callable[[Tensor, Tensor], Tensor]],
    excluded: bool,
    scale: float,
) -> None:
    found = []
    for chunk_size in (None, 4, 64):
        a = draw(1, 11, 6, scale=scale).requires_grad_()
        b = draw(2, 9 if kind is not alone else 11, 6, scale=scale).requires_grad_()
        value = kind(chunk_size, excluded)(a, b)
        found.append((value.detach(), *torch.autograd.grad(value, (a, b))))
    for tiled in found[1:]:
        torch.testing.assert_close(tiled, found[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("excluded", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_hand_are_those_of_finite_differences(
    kind: Callable[[int | None, bool], Callable[[Tensor, Tensor], Tensor]], excluded: bool
) -> None:
    a, b = draw(1, 5, 3).requires_grad_(), draw(2, 5, 3).requires_grad_()
    assert torch.autograd.gradcheck(kind(2, excluded), (a, b))


@pytest.mark.parametrize("scale", SCALES)
def test_in_float32_no_sum_overflows_or_vanishes(scale: float) -> None:
    a, b = draw(1, 40, 6, scale=scale), draw(2, 40, 6, scale=scale)
    b[0], b[1] = -a[0], a[0]  # a row whose logits lie far apart
    for kind in KINDS:
        x, y = a.float().requires_grad_(), b.float().requires_grad_()
        value = kind(16, False)(x, y)
        gradients = torch.autograd.grad(value, (x, y))
        exact = kind(None, False)(a, b)
        assert all(g.isfinite().all() for g in gradients)
        assert float(value.detach()) == pytest.approx(float(exact), rel=1e-4)


def test_a_row_with_nothing_left_is_minus_infinity_and_has_no_gradient() -> None:
    a = draw(1, 3, 2).requires_grad_()
    same = torch.zeros(3, dtype=torch.long)
    for chunk_size in (None, 2):
        rows, _ = functional.cross_logsumexp(a, a, Exclusion(same, same), chunk_size)
        assert rows.isneginf().all()
        (gradient,) = torch.autograd.grad(rows.sum(), a)
        assert not gradient.isnan().any()


def test_what_needs_no_gradient_costs_none() -> None:
    a, b = draw(1, 6, 3).requires_grad_(), draw(2, 7, 3)
    rows, _ = functional.cross_logsumexp(a, b, None, 4)
    rows.sum().backward()
    assert a.grad is not None and b.grad is None


def test_many_logits_are_tiled_and_few_are_not() -> None:
    few, many = torch.empty(1000, 2), torch.empty(2000, 2)
    assert tile_side(few, few, None) is None
    assert tile_side(many, many, None) == 512
    assert tile_side(few, few, 64) == 64
    for function, tensors in (
        (functional.cross_logsumexp, (torch.randn(1100, 2), torch.randn(1100, 2))),
        (functional.self_logsumexp, (torch.randn(1100, 2),)),
    ):
        value = function(*(t.requires_grad_() for t in tensors))
        node = (value[0] if isinstance(value, tuple) else value).grad_fn
        assert type(node).__name__ in {"CrossLogSumExpBackward", "SelfLogSumExpBackward"}


@pytest.mark.parametrize("name", ["clip", "siglip", "nt_xent", "supcon"])
@pytest.mark.parametrize("with_ids", [False, True])
def test_a_loss_in_tiles_is_the_loss(name: str, with_ids: bool) -> None:
    ids = groups(3, 20, 6) if with_ids else None
    found = []
    for chunk_size in (None, 7):
        loss = get_loss(name, chunk_size=chunk_size, learn_temperature=True).double()
        a, b = draw(1, 20, 5).requires_grad_(), draw(2, 20, 5).requires_grad_()
        value = loss(a, b, ids=ids).loss
        leaves = (a, b, *loss.parameters())
        found.append((value.detach(), *torch.autograd.grad(value, leaves)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


class LargestTensor(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(made, Tensor):
                self.numel = max(self.numel, made.untyped_storage().nbytes() // made.itemsize)
        return result


@pytest.mark.parametrize("name", ["clip", "siglip", "nt_xent", "supcon", "dcl", "hard_negative"])
def test_no_tensor_of_a_large_batch_is_larger_than_a_tile_or_the_embeddings(name: str) -> None:
    n, width = 1100, 4
    a, b = draw(1, n, width).float().requires_grad_(), draw(2, n, width).float().requires_grad_()
    ids, loss = groups(3, n, 300), get_loss(name)
    with LargestTensor() as largest:
        loss(a, b, ids=ids).loss.backward()
    assert largest.numel <= max(512 * 512, 2 * n * (width + 1))
    assert a.grad is not None and a.grad.isfinite().all()
