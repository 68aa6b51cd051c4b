"""What one of several processes does in the tests of scores and losses over processes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.distributed as dist
from made_sessions import movie_arrays, write
from torch.nn.parallel import DistributedDataParallel

from tutelage.core.overrides import build_config
from tutelage.tasks.neural.batch import NeuralBatch
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import TRAIN
from tutelage.tasks.neural.modules import NeuralModule, build_module

SETTINGS = (
    "data.chunk_frames=6",
    "model.frontend={name: temporal, lags: 4, channels: 2}",
    "model.convnet={channels: [3], kernels: [3], pools: [1]}",
)
FEW = 3
"""Stretches that a step's loss is taken of: fewer than the processes of the largest world."""


def make(folder: Path) -> None:
    """Write two recordings."""
    for seed in range(2):
        write(folder / "data", f"s{seed}", movie_arrays(seed, trials=30))


def prepared(folder: Path) -> tuple[MultiDatasetDM, NeuralModule]:
    """Return the recordings and a fresh model, the same in every process."""
    typed = (f"data.root={folder / 'data'}", *SETTINGS)
    config = build_config(NeuralConfig, [], typed)
    data = MultiDatasetDM(config, folder / "cache")
    data.setup("fit")
    torch.manual_seed(0)
    module = build_module(config.model, config.training, data.learned)
    data.fit_module(module)
    return data, module


def scores(data: MultiDatasetDM, module: NeuralModule) -> dict[str, float]:
    """Return what a validation logs."""
    found: dict[str, float] = {}
    module.log = lambda name, value: found.update({name: float(value)})  # type: ignore[assignment]
    module.eval()
    with torch.inference_mode():
        for number, batch in enumerate(data.val_dataloader()):
            module.validation_step(batch, number)
        module.on_validation_epoch_end()
    return found


class Step(torch.nn.Module):
    """A training step as a model's own pass, for data-parallel training."""

    def __init__(self, module: NeuralModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: NeuralBatch) -> torch.Tensor:
        return self.module.step(batch)["loss"]


def gradients(data: MultiDatasetDM, module: NeuralModule) -> dict[str, list[float]]:
    """Return the gradients of a step's loss over few stretches, of which each takes its share."""
    table = data.tables[TRAIN]
    places = torch.arange(FEW)
    mine = places[data.rank :: data.world_size]
    batch = data.batch(table, mine) if len(mine) else data.idle(table, places[:1])
    step = Step(module.train())
    alone = data.world_size == 1
    run = step if alone else DistributedDataParallel(step, find_unused_parameters=True)
    run(batch).backward()
    named = module.named_parameters()
    return {n: p.grad.flatten().tolist() for n, p in named if p.grad is not None}


def work(rank: int, world: int, folder: Path) -> None:
    """Be process ``rank`` of ``world`` and write down what it found."""
    torch.set_num_threads(1)
    meeting = (folder / f"meeting{world}").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    data, module = prepared(folder)
    data.rank, data.world_size = rank, world
    found = {"scores": scores(data, module), "gradients": gradients(data, module)}
    (folder / f"{rank}of{world}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
