"""A loss gathered over two gloo processes has one process's gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from gloo_training import OPTIONS, SHARES, Towers, gradients, work
from safetensors.torch import load_file

from tutelage.losses import CLIPLoss
from tutelage.losses.distributed import GatheredLoss


@pytest.mark.system
def test_two_processes_give_each_weight_the_gradient_of_one(tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=len(SHARES))
    found = load_file(tmp_path / "gradients.safetensors")
    for name in OPTIONS:
        alone = gradients(Towers(name), name, slice(None))
        assert alone and all(gradient.any() for gradient in alone.values())
        for parameter, wanted in alone.items():
            torch.testing.assert_close(
                found[f"{name}/{parameter}"],
                wanted,
                rtol=1e-6,
                atol=1e-9,
                msg=f"{name}/{parameter}",
            )


def test_in_one_process_a_gathered_loss_is_the_loss_and_holds_its_parameters() -> None:
    a, b = torch.randn(2, 6, 4)
    loss = CLIPLoss()
    gathered = GatheredLoss(loss)
    assert torch.equal(gathered(a, b).loss, loss(a, b).loss)
    assert [id(p) for p in gathered.parameters()] == [id(p) for p in loss.parameters()]
