"""Encoding in parts keeps no activations and has the gradients of the whole batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tutelage.core.errors import ConfigError
from tutelage.losses import CLIPLoss
from tutelage.losses.gradcache import grad_cache


def tower(seed: int, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = (nn.Linear(6, 32), nn.GELU(), nn.Dropout(dropout), nn.Linear(32, 4))
    return nn.Sequential(*layers).double()


def batch(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(2, n, 6, generator=generator, dtype=torch.float64)
    return x, y


def gradients(
    towers: tuple[nn.Module, nn.Module], loss: CLIPLoss, a: Tensor, b: Tensor
) -> tuple[Tensor, ...]:
    parameters = [p for module in (*towers, loss) for p in module.parameters()]
    return torch.autograd.grad(loss(a, b).loss, parameters)


def test_gradients_are_the_direct_ones_and_the_temperatures_is_not_multiplied() -> None:
    towers, loss, (x, y) = (tower(0), tower(1)), CLIPLoss().double(), batch(11)
    direct = gradients(towers, loss, towers[0](x), towers[1](y))
    parts = [grad_cache(t, z, chunk_size=3) for t, z in zip(towers, (x, y), strict=True)]
    in_parts = gradients(towers, loss, *parts)
    torch.testing.assert_close(in_parts, direct, rtol=1e-12, atol=1e-14)
    assert in_parts[-1].ndim == 0 and in_parts[-1].abs() > 0  # the log-temperature's


def test_under_dropout_each_part_is_encoded_again_with_the_masks_that_it_had() -> None:
    towers, loss, (x, y) = (tower(0, 0.5), tower(1, 0.5)), CLIPLoss().double(), batch(12)
    found = []
    for keep_graph in (True, False):
        torch.manual_seed(9)
        a, b = (
            torch.cat([t(part) for part in z.split(4)])
            if keep_graph
            else grad_cache(t, z, chunk_size=4)
            for t, z in zip(towers, (x, y), strict=True)
        )
        state = torch.get_rng_state()
        found.append((a.detach(), b.detach(), *gradients(towers, loss, a, b)))
        assert torch.equal(state, torch.get_rng_state())  # going back draws nothing
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_no_activation_is_held_between_forward_and_backward() -> None:
    encoder, (x, _) = tower(0), batch(64)

    def held(chunk_size: int) -> int:
        sizes: list[int] = []

        def count(kept: Tensor) -> Tensor:
            sizes.append(kept.numel())
            return kept

        with torch.autograd.graph.saved_tensors_hooks(count, lambda kept: kept):
            grad_cache(encoder, x, chunk_size=chunk_size)
        return sum(sizes)

    assert held(8) == x.numel()  # what each part is encoded from again
    assert held(64) > 64 * 32


def test_an_encoder_of_several_inputs_gets_a_part_of_each() -> None:
    class Masked(nn.Module):
        def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
            return tokens * mask

    tokens, mask = torch.randn(5, 2, requires_grad=True), torch.rand(5, 2)
    found = grad_cache(Masked(), tokens, mask, chunk_size=2)
    torch.testing.assert_close(found, tokens * mask)


def test_what_would_not_be_exact_is_refused() -> None:
    mixing = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).double()
    with pytest.raises(ConfigError, match="1 normalises over the batch"):
        grad_cache(mixing, batch(6)[0], chunk_size=2)
    mixing.eval()
    assert grad_cache(mixing, batch(6)[0], chunk_size=2).shape == (6, 4)
    with pytest.raises(ConfigError, match="parts of 0 items"):
        grad_cache(tower(0), batch(6)[0], chunk_size=0)
