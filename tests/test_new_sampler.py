"""The sampler of the how-to page: balanced, whole, and a function of seed and epoch alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from new_sampler import BalancedBatches  # noqa: E402
from tutelage.core.errors import ConfigError  # noqa: E402
from tutelage.training.loaders import ResumableLoader  # noqa: E402

CLASSES = torch.tensor([0] * 7 + [1] * 3 + [2])


def test_each_batch_holds_as_many_of_each_class() -> None:
    batches = BalancedBatches(CLASSES, each=2, seed=0).batches(0)
    assert [CLASSES[rows].bincount().tolist() for rows in batches] == [[2, 2, 2]] * 4


def test_an_epoch_meets_every_sample() -> None:
    batches = BalancedBatches(CLASSES, each=2, seed=0).batches(3)
    assert torch.cat(list(batches)).unique().tolist() == list(range(11))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    one, same, other = (BalancedBatches(CLASSES, each=2, seed=s) for s in (0, 0, 1))
    one.batches(0)  # what was asked before changes nothing
    assert torch.equal(torch.stack([*one.batches(1)]), torch.stack([*same.batches(1)]))
    for differing in (one.batches(2), other.batches(1)):
        assert not torch.equal(torch.stack([*one.batches(1)]), torch.stack([*differing]))


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 samples"):
        BalancedBatches(CLASSES[:0], each=2, seed=0)


def test_a_loader_goes_on_with_the_batch_that_was_not_delivered() -> None:
    def loader() -> ResumableLoader[list[int]]:
        return ResumableLoader(torch.Tensor.tolist, BalancedBatches(CLASSES, each=2, seed=0))

    whole, broken, resumed = loader(), loader(), loader()
    delivered = list(whole)
    next(iter(broken))
    resumed.load_state_dict(broken.state_dict())
    assert list(resumed) == delivered[1:]
