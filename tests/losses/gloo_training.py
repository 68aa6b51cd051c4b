"""What one of several processes does in the test of gathered losses."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tutelage.losses import get_loss
from tutelage.losses.base import BaseContrastiveLoss
from tutelage.losses.distributed import GatheredLoss

OPTIONS: dict[str, dict[str, object]] = {
    "clip": {"chunk_size": 3},
    "siglip": {},
    "nt_xent": {"learn_temperature": True},
    "supcon": {"learn_temperature": True},
    "vicreg": {},
    "barlow_twins": {},
    "moco": {"embedding_dim": 4, "queue_size": 16},
}
NEEDS_IDS = {"clip", "supcon", "moco"}
SHARES = (5, 3)
"""Unequal on purpose: the last batch of an epoch is."""


class Towers(nn.Module):
    """Two towers and their loss."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.towers = nn.ModuleList([nn.Linear(6, 4), nn.Linear(5, 4)])
        loss = get_loss(name, **OPTIONS[name])
        assert isinstance(loss, BaseContrastiveLoss)
        self.loss = GatheredLoss(loss)
        self.double()

    def forward(self, x: Tensor, y: Tensor, ids: Tensor | None) -> Tensor:
        return self.loss(self.towers[0](x), self.towers[1](y), ids=ids).loss


def data(name: str) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(sum(SHARES), 6, generator=generator, dtype=torch.float64)
    y = torch.randn(sum(SHARES), 5, generator=generator, dtype=torch.float64)
    return x, y, torch.tensor([0, 1, 2, 3, 0, 1, 4, 4]) if name in NEEDS_IDS else None


def gradients(model: nn.Module, name: str, rows: slice) -> dict[str, Tensor]:
    """Two training steps' worth of backward passes, so that queues and counters count."""
    x, y, ids = data(name)
    for _ in range(2):
        model.zero_grad()
        model(x[rows], y[rows], None if ids is None else ids[rows]).backward()
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    return {n: p.grad for n, p in inner.named_parameters() if p.grad is not None}


def work(rank: int, folder: str) -> None:
    """Train as process ``rank``; the first one saves its gradients."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    path = Path(folder)
    dist.init_process_group(
        "gloo", init_method=(path / "meeting").as_uri(), rank=rank, world_size=len(SHARES)
    )
    start = sum(SHARES[:rank])
    found: dict[str, Tensor] = {}
    for name in OPTIONS:
        model = DistributedDataParallel(Towers(name))
        own = gradients(model, name, slice(start, start + SHARES[rank]))
        found |= {f"{name}/{parameter}": value for parameter, value in own.items()}
    if rank == 0:
        save_file(found, path / "gradients.safetensors")
    dist.destroy_process_group()
