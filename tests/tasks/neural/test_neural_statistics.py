"""Sums per unit give the scores that whole arrays give, however they are dealt out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tutelage.tasks.neural.evaluation.statistics import UnitStatistics


def _predictions(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rates = torch.rand(6, 40, 5, generator=generator) * 3 + 0.05
    responses = torch.poisson(rates.flip(1) * 0.5 + 0.3, generator=generator)
    valid = torch.rand(6, 40, 5, generator=generator) < 0.8
    return rates, responses, valid


def test_scores_equal_those_of_whole_arrays() -> None:
    rates, responses, valid = _predictions(1)
    statistics = UnitStatistics(5)
    statistics.update(rates, responses, valid)
    for unit in range(5):
        seen = valid[..., unit].flatten().numpy()
        r, y = (each[..., unit].flatten().double().numpy()[seen] for each in (rates, responses))
        expected = np.corrcoef(r, y)[0, 1]
        assert float(statistics.corr()[unit]) == pytest.approx(expected, abs=1e-9)
        m = y.mean()
        bits = ((y * np.log(r) - r) - (y * math.log(m) - m)).sum() / y.sum() / math.log(2)
        assert float(statistics.bits_per_spike()[unit]) == pytest.approx(bits, abs=1e-9)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_bits_per_spike_are_negative_and_the_same_for_any_number_of_processes(world: int) -> None:
    rates, responses, valid = _predictions(2)
    whole = UnitStatistics(5)
    whole.update(rates, responses, valid)
    total = UnitStatistics(5)
    for rank in range(world):
        shard = UnitStatistics(5)
        shard.update(rates[rank::world], responses[rank::world], valid[rank::world])
        for name in total._defaults:
            setattr(total, name, getattr(total, name) + getattr(shard, name))
    expected = whole.bits_per_spike()
    assert float(expected.mean()) < 0  # a clamp in each shard would lift it with the world size
    torch.testing.assert_close(total.bits_per_spike(), expected, rtol=0, atol=1e-12)


def test_entries_that_are_not_valid_may_hold_anything() -> None:
    rates, responses, valid = _predictions(3)
    clean, dirty = UnitStatistics(5), UnitStatistics(5)
    clean.update(rates, responses, valid)
    dirty.update(
        rates.masked_fill(~valid, torch.nan), responses.masked_fill(~valid, -torch.inf), valid
    )
    torch.testing.assert_close(dirty.corr(), clean.corr())
    torch.testing.assert_close(dirty.bits_per_spike(), clean.bits_per_spike())


def test_silent_and_constant_units_have_no_score_instead_of_a_wrong_one() -> None:
    rates, responses = torch.rand(50, 2) + 0.5, torch.poisson(torch.ones(50, 2))
    responses[:, 0] = 0
    rates[:, 1] = 0.7
    statistics = UnitStatistics(2)
    statistics.update(rates, responses, torch.ones(50, 2, dtype=torch.bool))
    assert statistics.corr().isnan().all()
    assert statistics.bits_per_spike()[0].isnan()
    assert statistics.bits_per_spike()[1].isfinite()
